"""What a person is told: which dependency failed, and what it probably means."""

import pytest
from pyiceberg.exceptions import CommitStateUnknownException, ServerError
from requests import ConnectionError as NoConnectionError
from requests import ReadTimeout

from consumer_crypto.trouble import explain

# As the clients said it when the real thing was broken.
SAID = (
    (
        OSError(
            "When uploading part for key 'k' in bucket 'warehouse': AWS Error INTERNAL_FAILURE "
            "during UploadPart operation: An internal error occurred. Try again."
        ),
        "the store fails inside (is its disk full?)",
    ),
    (
        OSError("AWS Error ACCESS_DENIED during HeadObject operation: No response body."),
        "the store refuses our key (access denied)",
    ),
    (
        OSError("AWS Error NETWORK_CONNECTION during PutObject operation: curlCode: 28, Timeout"),
        "the store does not answer in time",
    ),
    (
        CommitStateUnknownException("UncheckedSQLException: Unknown failure"),
        "the catalog's database refuses or is away (full? read-only?)",
    ),
    (ServerError("RuntimeException: whatever"), "the catalog fails inside"),
    (ReadTimeout("Read timed out."), "the catalog does not answer in time"),
    (NoConnectionError("refused"), "the catalog cannot be reached"),
    (OSError(28, "No space left on device"), "this container's own disk is full"),
    (RuntimeError("whatever"), "unforeseen"),
)


@pytest.mark.parametrize("error, meaning", SAID)
def test_a_failure_names_the_dependency_and_keeps_what_the_client_said(
    error: Exception, meaning: str
) -> None:
    said = explain(error)
    assert said.startswith(f"{meaning}: {type(error).__name__}: ")
    assert str(error)[:100] in said


def test_a_client_that_says_too_much_is_cut() -> None:
    assert len(explain(RuntimeError("x" * 10_000))) < 500
