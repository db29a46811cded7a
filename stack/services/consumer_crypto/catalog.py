"""Reaching the catalog and the store, with a limit on how long either may keep us waiting."""

from __future__ import annotations

from typing import Any, Final

from pyiceberg.catalog import Catalog
from pyiceberg.catalog.rest import RestCatalog
from requests import PreparedRequest, Response, Session
from requests.adapters import HTTPAdapter

from consumer_crypto.settings import Settings

_CONNECT_SECONDS: Final = 2.0
_ANSWER_SECONDS: Final = 10.0


class _Impatient(HTTPAdapter):
    """Gives every request a timeout, for the catalog's client sets none."""

    def send(self, request: PreparedRequest, *args: Any, **kwargs: Any) -> Response:
        kwargs["timeout"] = (_CONNECT_SECONDS, _ANSWER_SECONDS)
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
            "py-io-impl": "pyiceberg.io.pyarrow.PyArrowFileIO",
            "s3.endpoint": settings.s3_endpoint,
            "s3.access-key-id": settings.s3_access_key,
            "s3.secret-access-key": settings.s3_secret_key,
            "s3.region": "us-east-1",
            "s3.connect-timeout": "2",
            "s3.request-timeout": "5",
        },
    )
