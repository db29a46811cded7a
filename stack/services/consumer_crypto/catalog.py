"""
Reaching the catalog, with a limit on how long it may keep us waiting.

A request waits 2 s for a connection and 10 s for a silent catalog, and is sent once. The catalog
itself waits up to 15 s for its database: by then we have asked again, which is harmless (see 4. in
`table.py`). One try of a commit asks two things of the catalog (load, commit) and, between them,
at most eight of the store; whichever is silent ends the try, after 17 s at most (`store.py`).
"""

from __future__ import annotations

from typing import Any, Final

from pyiceberg.catalog import Catalog
from pyiceberg.catalog.rest import RestCatalog
from requests import PreparedRequest, Response, Session
from requests.adapters import HTTPAdapter

from consumer_crypto.settings import Settings
from consumer_crypto.store import CONNECT_SECONDS, SILENCE_SECONDS

_ANSWER_SECONDS: Final = 10.0


class _Impatient(HTTPAdapter):
    """Gives every request a timeout, for the catalog's client sets none."""

    def send(self, request: PreparedRequest, *args: Any, **kwargs: Any) -> Response:
        kwargs["timeout"] = (CONNECT_SECONDS, _ANSWER_SECONDS)
        return super().send(request, *args, **kwargs)


class _ImpatientCatalog(RestCatalog):
    def _create_session(self) -> Session:
        session = super()._create_session()
        for scheme in ("http://", "https://"):
            # No retries of the adapter's own: a commit sent twice is for the caller to judge.
            session.mount(scheme, _Impatient(max_retries=0))
        return session


def connect(settings: Settings) -> Catalog:
    """
    Connect to the catalog.

    Raises:
        requests.RequestException: It does not answer.
        RESTError: It refuses.
    """
    return _ImpatientCatalog(
        "lab",
        **{
            "uri": settings.catalog_uri,
            "py-io-impl": "consumer_crypto.store.ImpatientFileIO",
            "s3.endpoint": settings.s3_endpoint,
            "s3.access-key-id": settings.s3_access_key,
            "s3.secret-access-key": settings.s3_secret_key,
            "s3.region": "us-east-1",
            "s3.connect-timeout": str(CONNECT_SECONDS),
            "s3.request-timeout": str(SILENCE_SECONDS),
        },
    )
