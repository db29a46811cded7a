"""
What ends the process.

Everything else that goes wrong (a catalog that hangs, a store that refuses, a registry that is
away) is retried for as long as it takes: nothing is lost by waiting, for offsets move only
together with the data.
"""


class FatalError(Exception):
    """The sink must end itself; whoever supervises it starts a fresh one."""


class FencedError(FatalError):
    """Somebody else writes what we write: another sink with our partitions, or our name."""


class HistoryLostError(FatalError):
    """The table holds rows, but no snapshot says up to which offset they were consumed."""


class RewindError(FatalError):
    """A record was read again that is already in the table."""


class TopicTruncatedError(FatalError):
    """The topic no longer has the records that come next: it was cut or made anew."""


class ExpelledError(FatalError):
    """Kafka no longer accepts us: somebody joined the group under our name."""


class StrandedError(FatalError):
    """Kafka answers, but the group does not take us back."""


class WrongTopicError(FatalError):
    """The table was filled from another topic."""


class AbandonedError(Exception):
    """The sink is shutting down and gave up on the batch in hand; it will be read again."""
