"""
Which dependency failed, in words that tell a person what to look at.

The clients' own words follow, shortened: they name an address or a file, but hardly ever what it
means.
"""

from __future__ import annotations

from typing import Final

from confluent_kafka import KafkaException
from pyiceberg.exceptions import CommitFailedException, RESTError, UnauthorizedError
from requests import RequestException, Timeout

from consumer_crypto.codec import RegistryUnavailableError
from consumer_crypto.dlq import DeadLetterError
from consumer_crypto.shape import MisfitError

_LONGEST: Final = 400
# What the AWS client calls it -> what it means. S3Proxy answers 500 without a reason when its
# disk is full; that reading still works then is why writing is what fails.
_STORE: Final = (
    ("ACCESS_DENIED", "the store refuses our key (access denied)"),
    ("SIGNATURE_DOES_NOT_MATCH", "the store refuses our key (wrong secret)"),
    ("INVALID_ACCESS_KEY_ID", "the store refuses our key (unknown)"),
    ("NO_SUCH_BUCKET", "the store has no such bucket"),
    ("INTERNAL_FAILURE", "the store fails inside (is its disk full?)"),
    ("SLOW_DOWN", "the store is overloaded"),
    ("curlCode: 28", "the store does not answer in time"),
    ("NETWORK_CONNECTION", "the store cannot be reached"),
    ("No space left on device", "this container's own disk is full"),
    ("", "the store fails"),
)
_CATALOG: Final = (
    ("SQLException", "the catalog's database refuses or is away (full? read-only?)"),
    ("SdkClientException", "the catalog cannot reach the store"),
    ("S3Exception", "the store refuses the catalog (is its disk full?)"),
    ("", "the catalog fails inside"),
)

# The first kind that fits counts: requests' errors are OSErrors, too, but only PyArrow's, which
# come from reading and writing the table's files, get that far.
_MEANINGS: Final[tuple[tuple[type[Exception], tuple[tuple[str, str], ...]], ...]] = (
    (RegistryUnavailableError, (("", "no schema registry answers"),)),
    (DeadLetterError, (("", "the broker does not take the dead letters"),)),
    (KafkaException, (("", "the broker does not answer as it should"),)),
    (MisfitError, (("", "the table cannot take our rows"),)),
    (CommitFailedException, (("", "the catalog refuses, somebody else committed"),)),
    (Timeout, (("", "the catalog does not answer in time"),)),
    (RequestException, (("", "the catalog cannot be reached"),)),
    (UnauthorizedError, (("", "the catalog refuses us (access denied)"),)),
    (RESTError, _CATALOG),
    (OSError, _STORE),
    (Exception, (("", "unforeseen"),)),
)


def explain(error: Exception) -> str:
    """Say what *error* means; ends with what the client said."""
    said = f"{type(error).__name__}: {error}"
    marks = next(marks for kind, marks in _MEANINGS if isinstance(error, kind))
    meaning = next(meaning for mark, meaning in marks if mark in said)
    return f"{meaning}: {said:.{_LONGEST}}"
