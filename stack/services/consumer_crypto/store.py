"""
The store, as files: with limits on how long it may keep us waiting.

Every request to the store is one of this file system's, and none waits for ever: 2 s for a
connection, 5 s of silence (a body that trickles in goes on), one attempt, for whoever asks tries
again. So a store that hangs is noticed after 5 s in reading, listing and deleting, and after 12 s
in writing, as measured; a call that asks several things fails with the first. Calls of several
threads may wait for each other: a sweep that hangs costs the writer 5 s more.
PyIceberg's own settings reach neither the number of attempts (three) nor the way files are written.
"""

from __future__ import annotations

from typing import Final

from pyarrow.fs import AwsStandardS3RetryStrategy, FileSystem, S3FileSystem
from pyiceberg.io import (
    S3_ACCESS_KEY_ID,
    S3_CONNECT_TIMEOUT,
    S3_ENDPOINT,
    S3_REGION,
    S3_REQUEST_TIMEOUT,
    S3_SECRET_ACCESS_KEY,
)
from pyiceberg.io.pyarrow import PyArrowFileIO

CONNECT_SECONDS: Final = 2.0
# A store squeezed to a twentieth of a core is silent for some seconds, and should be waited for.
SILENCE_SECONDS: Final = 5.0
_ATTEMPTS: Final = 1


class ImpatientFileIO(PyArrowFileIO):
    """PyIceberg's files on the store; loaded by its name."""

    def _initialize_s3_fs(self, netloc: str | None) -> FileSystem:  # noqa: ARG002 - as inherited
        return S3FileSystem(
            endpoint_override=self.properties[S3_ENDPOINT],
            access_key=self.properties[S3_ACCESS_KEY_ID],
            secret_key=self.properties[S3_SECRET_ACCESS_KEY],
            region=self.properties[S3_REGION],
            connect_timeout=float(self.properties[S3_CONNECT_TIMEOUT]),
            request_timeout=float(self.properties[S3_REQUEST_TIMEOUT]),
            retry_strategy=AwsStandardS3RetryStrategy(max_attempts=_ATTEMPTS),
            # One request per file instead of three. And a try that dies leaves no half of an
            # upload behind, which nobody would find: it is in no listing.
            allow_delayed_open=True,
        )
