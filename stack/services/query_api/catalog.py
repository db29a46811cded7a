"""Reaching the catalog and the store, with a limit on how long either may keep us waiting."""

from __future__ import annotations

from typing import Any, Final

from pyarrow.fs import AwsStandardS3RetryStrategy
from pyiceberg.catalog import Catalog
from pyiceberg.catalog.rest import RestCatalog
from requests import PreparedRequest, Response, Session
from requests.adapters import HTTPAdapter

from query_api.settings import Settings

_CONNECT_SECONDS: Final = 2.0
_ANSWER_SECONDS: Final = 5.0


class OnceMore(AwsStandardS3RetryStrategy):  # type: ignore[misc]  # pyarrow has none
    """
    Asks the store twice.

    Twice, for a connection that was kept open may have died with the store's process. Not three
    times, as is usual: a silent store would then keep everybody waiting for 14 s, instead of 9.
    """

    def __init__(self) -> None:
        """Take no arguments: it is made by its name."""
        super().__init__(max_attempts=2)


class _Impatient(HTTPAdapter):
    """Gives every request a timeout, for the catalog's client sets none."""

    def send(self, request: PreparedRequest, *args: Any, **kwargs: Any) -> Response:
        kwargs["timeout"] = (_CONNECT_SECONDS, _ANSWER_SECONDS)
        return super().send(request, *args, **kwargs)


class _ImpatientCatalog(RestCatalog):
    def _create_session(self) -> Session:
        session = super()._create_session()
        for scheme in ("http://", "https://"):
            session.mount(scheme, _Impatient(max_retries=0))
        return session


def connect(settings: Settings, *, history: bool) -> Catalog:
    """
    Connect to the catalog.

    Args:
        settings: Where it is.
        history: Whether loaded tables should know all their snapshots, or the current one only.
            The list grows with every batch written, and is sent whole.

    Raises:
        requests.RequestException: It does not answer.
        RESTError: It refuses.
    """
    return _ImpatientCatalog("lab", **properties(settings, history=history))


def properties(settings: Settings, *, history: bool) -> dict[str, str]:
    """Say how the catalog and the store are reached, as `connect` does it."""
    return {
        "uri": settings.catalog_uri,
        "snapshot-loading-mode": "all" if history else "refs",
        "py-io-impl": "pyiceberg.io.pyarrow.PyArrowFileIO",
        "s3.endpoint": settings.s3_endpoint,
        "s3.access-key-id": settings.s3_access_key,
        "s3.secret-access-key": settings.s3_secret_key,
        "s3.region": "us-east-1",
        "s3.retry-strategy-impl": f"{OnceMore.__module__}.{OnceMore.__name__}",
        "s3.connect-timeout": "2",
        "s3.request-timeout": "4",
    }
