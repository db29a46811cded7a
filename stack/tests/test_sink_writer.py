"""The writer's thread: what it does with a batch, and what `/health` is told meanwhile."""

import threading
from collections.abc import Callable, Iterator, Sequence
from collections.abc import Set as AbstractSet

import pytest
from sink_kafka import wait_until
from test_sink_codec import a_trade, decoder, schema, wire

from consumer_crypto.batch import Batch, Record
from consumer_crypto.codec import (
    Decoder,
    Reason,
    RegistryUnavailableError,
    Schema,
    UndecodableError,
)
from consumer_crypto.dlq import DeadLetters, Letter
from consumer_crypto.files import Step
from consumer_crypto.health import Vitals, assess
from consumer_crypto.settings import UpkeepSettings
from consumer_crypto.upkeep import Upkeep
from consumer_crypto.writer import Writer

EAGER = UpkeepSettings(seconds=10, files=2, leave=2)


class Mailbox(DeadLetters):
    """Keeps the letters."""

    def __init__(self) -> None:
        self.letters: list[Letter] = []

    def send(self, letters: Sequence[Letter]) -> None:
        self.letters += letters


class Memory:
    """A table that keeps its steps; its upkeep waits, and fails, when it is told to."""

    def __init__(self) -> None:
        self.steps: list[Step] = []
        self.conflicts = 0
        self.error: Exception | None = None
        self.answers = threading.Event()
        self.answers.set()

    def append(self, step: Step, _: AbstractSet[int]) -> None:
        self.steps.append(step)

    def upkeep(self, _: Callable[..., object]) -> None:
        self.answers.wait(60)
        if self.error is not None:
            raise self.error


class Clock:
    """Stands still until moved."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class Bench:
    """A writer at work, and what it reports."""

    def __init__(self, decoder: Decoder) -> None:
        self.vitals = Vitals(0.0, polled_at=0.0, broker_heard_at=0.1, partitions=1)
        self.memory, self.mailbox, self.clock = Memory(), Mailbox(), Clock()
        upkeep = Upkeep(self.memory, EAGER, self.vitals, self.clock)
        self.writer = Writer(decoder, self.mailbox, self.memory, upkeep, self.vitals)
        self.writer.start()
        self.offset = 0

    def submit(self, *values: bytes) -> None:
        records = [Record(0, self.offset + n, None, value) for n, value in enumerate(values)]
        self.offset += len(values)
        self.writer.submit(Batch(tuple(records), 0.0))

    def write(self, *values: bytes) -> None:
        self.submit(*values)
        assert self.writer.await_idle(30)

    def told(self, buffered_since: float | None = None) -> tuple[bool, str]:
        """What `/health` says of a sink that polls and has records since then."""
        now = self.vitals.step_since or 100.0
        self.vitals.polled_at = self.vitals.broker_heard_at = now + 20
        self.vitals.buffered_since = buffered_since and now + buffered_since
        return assess(self.vitals, now + 20)


@pytest.fixture
def bench() -> Iterator[Bench]:
    one = Bench(decoder())
    yield one
    one.memory.answers.set()
    one.writer.abandon()


TRADE = wire(a_trade(), schema())


def test_what_was_told_of_a_record_is_not_asked_again_when_a_later_one_must_wait() -> None:
    asked: list[int] = []

    def schema_of(schema_id: int) -> Schema:
        asked.append(schema_id)
        if schema_id == 9:
            raise UndecodableError(Reason.UNKNOWN_SCHEMA, "no registry knows schema id 9")
        if schema_id == 4 and asked.count(4) < 3:
            raise RegistryUnavailableError
        return schema()

    bench = Bench(Decoder(schema_of))
    bench.write(b"\0\0\0\0\x09", TRADE, wire(a_trade(), schema(), 4), TRADE)
    bench.writer.abandon()
    assert asked == [9, 3, 4, 4, 4, 3]
    assert [letter.record.offset for letter in bench.mailbox.letters] == [0]
    assert [step.rows.num_rows for step in bench.memory.steps] == [3]


@pytest.mark.parametrize(
    "batches, name",
    [(0, "expire, which waits for the catalog"), (1, "compact, which waits for the store or the")],
)
def test_health_names_the_step_of_upkeep_that_hangs(bench: Bench, batches: int, name: str) -> None:
    bench.write(TRADE)
    bench.clock.now += 11
    if not batches:  # compacting comes first and finds nothing to do
        bench.write(TRADE)
    bench.memory.answers.clear()
    bench.submit(TRADE)
    wait_until(lambda: bench.vitals.step_since is not None and "upkeep" in bench.vitals.step)
    healthy, reason = bench.told(buffered_since=1)
    assert not healthy
    assert reason.startswith("records have waited 19 s to be written, upkeep (")
    assert f"{name}" in reason
    assert "under way for 20 s" in reason
    bench.memory.answers.set()
    assert bench.writer.await_idle(30)
    assert "under way" not in bench.told(buffered_since=1)[1]


def test_health_tells_of_failing_upkeep_until_it_succeeds_and_stays_healthy(bench: Bench) -> None:
    bench.memory.error = OSError("AWS Error INTERNAL_FAILURE during UploadPart operation")
    bench.clock.now += 11
    bench.write(TRADE)
    for _ in range(3):
        bench.write(TRADE)
        healthy, reason = bench.told()
        assert healthy
        assert "upkeep, compact: the store fails inside (is its disk full?)" in reason
    bench.memory.error = None
    for _ in range(3):
        bench.clock.now += 11
        bench.write(TRADE)
    healthy, reason = bench.told()
    assert healthy
    assert "upkeep" not in reason
