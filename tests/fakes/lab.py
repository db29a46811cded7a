"""A whole pipeline of fakes, through which records flow when the test says so."""

import dataclasses
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from k2chaos.pipeline import Compose, Exchange, Pipeline
from k2chaos.system.stages import Stages, open_stages
from tests.fakes.api import FakeApi, fake_api
from tests.fakes.clock import FakeClock
from tests.fakes.exchange import FakeExchange, fake_exchange
from tests.fakes.table import FakeTable, fake_table, rows_of
from tests.fakes.topic import RECORD, FakeTopic, fake_topic, time_of

SERVICES = {"exchange": ("e",), "broker": ("b",), "sink": ("s",), "api": ("a",)}


def pipeline_of(**parts: Any) -> Pipeline:
    """A pipeline with these stages."""
    return Pipeline(
        schema=1,
        name="trial",
        environment="lab",
        compose=Compose("trial"),
        services=SERVICES,  # type: ignore[arg-type]
        record=RECORD,
        **parts,
    )


@dataclasses.dataclass
class Lab:
    """A whole pipeline of fakes."""

    exchange: FakeExchange
    topic: FakeTopic
    table: FakeTable
    api: FakeApi
    clock: FakeClock

    def stages(self, **changes: Any) -> Stages:
        """Clients of all stages, but for *changes* (``None`` where there is none)."""
        return open_stages(self.pipeline(**changes), self.clock)

    def pipeline(self, **changes: Any) -> Pipeline:
        """What a pipeline file would say of it, but for *changes*."""
        parts: dict[str, Any] = {
            "exchange": Exchange(self.exchange.url),
            "topic": self.topic.topic,
            "table": self.table.table,
            "api": self.api.api,
        }
        return pipeline_of(**{**parts, **changes})

    def flow(self, symbol: str, *sequences: int) -> None:
        """Records that pass every stage."""
        self.exchange.last_ids[symbol] = max(sequences)
        self.topic.put(symbol, *sequences, partition=len(symbol) % 4)
        self.table.append(rows_of(symbol, *sequences))
        self.api.put(symbol, *sequences)


@contextmanager
def fake_lab(folder: Path, clock: FakeClock) -> Iterator[Lab]:
    """A pipeline through which nothing flowed yet, its files in *folder*; until the block ends."""
    with ExitStack() as stack:
        lab = Lab(
            stack.enter_context(fake_exchange(BTC=0)),
            stack.enter_context(fake_topic()),
            stack.enter_context(fake_table(folder)),
            stack.enter_context(fake_api()),
            clock,
        )
        # The run's wall clock is where the records' event times are.
        clock.seconds = (time_of(0) - FakeClock().now()).total_seconds()
        yield lab
