"""Opening the catalog of a table so that every request ends, and no retry hides one."""

import os
from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from pyarrow.fs import S3RetryStrategy
    from pyiceberg.catalog import Catalog
    from requests import Session

_CONNECT_SECONDS: Final = 2.0


def open_catalog(properties: Mapping[str, str], seconds: float) -> "Catalog":
    """
    The catalog that *properties* (PyIceberg's) describe.

    Args:
        seconds: How long catalog or store may take for one answer.
    """
    from pyiceberg.catalog import load_catalog

    properties = {
        "s3.connect-timeout": str(_CONNECT_SECONDS),
        "s3.request-timeout": str(seconds),
        "s3.retry-strategy-impl": f"{__name__}.{single_attempt.__name__}",
        # With nothing given, the SDK asks the cloud's metadata service, which may not exist.
        "s3.region": "us-east-1",
        # Only the current snapshot: the whole history grows by one every two seconds.
        "snapshot-loading-mode": "refs",
        **properties,
    }
    if properties.get("type", "rest") == "rest":
        return _bounded_rest_catalog(properties, (_CONNECT_SECONDS, seconds))
    return load_catalog("k2chaos", **properties)


def single_attempt() -> "S3RetryStrategy":
    """PyIceberg's seam for the store's retries (``s3.retry-strategy-impl``): none."""
    from pyarrow.fs import AwsStandardS3RetryStrategy

    return AwsStandardS3RetryStrategy(max_attempts=1)


def _bounded_rest_catalog(properties: Mapping[str, str], timeout: tuple[float, float]) -> "Catalog":
    """
    A REST catalog whose requests end.

    PyIceberg's sessions wait for ever; overriding the method that makes them is the only way in.
    """
    from pyiceberg.catalog.rest import RestCatalog

    class BoundedRestCatalog(RestCatalog):
        def _create_session(self) -> "Session":
            session = super()._create_session()
            session.request = partial(session.request, timeout=timeout)  # type: ignore[method-assign]
            # Straight to the address of the pipeline file, as http.py does, with the host's CAs.
            session.trust_env = False
            if session.verify is True:
                session.verify = os.environ.get("SSL_CERT_FILE") or True
            return session

    return BoundedRestCatalog("k2chaos", **properties)
