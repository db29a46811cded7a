"""Validating a pipeline: what it sees, on stages that answer over HTTP, and how it exits."""

import io
import json
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

import pytest

from k2chaos.errors import EngineUnreachable
from k2chaos.pipeline import Exchange
from k2chaos.system.runtime import Runtime
from k2chaos.system.stages import open_stages
from k2chaos.validation import Check, Validation, exit_code, print_check, print_json
from tests.fakes.api import KEY, FakeApi, fake_api
from tests.fakes.clock import FakeClock
from tests.fakes.exchange import FakeExchange, fake_exchange
from tests.fakes.pipelines import lab_pipeline
from tests.fakes.runtime import FakeRuntime
from tests.fakes.topic import time_of


class BusyClock(FakeClock):
    """While it is waited, something happens: once, at the first wait."""

    def __init__(self, happens: Callable[[], None]) -> None:
        super().__init__()
        self._happens: Callable[[], None] | None = happens

    def now(self) -> datetime:
        return time_of(200) + timedelta(seconds=self.seconds)

    def wait(self, seconds: float, event: threading.Event | None = None) -> bool:
        if self._happens is not None:
            happens, self._happens = self._happens, None
            happens()
        return super().wait(seconds, event)


@dataclass
class Bench:
    """A pipeline of exchange and API only, whose market moves while it is looked at."""

    exchange: FakeExchange
    api: FakeApi
    runtime: FakeRuntime = field(default_factory=FakeRuntime)
    shown: tuple[int, ...] = tuple(range(101, 301))
    down: str = ""
    key: str = KEY

    def checks(self, connect: Callable[[], Runtime] | None = None) -> dict[str, Check]:
        pipeline = lab_pipeline(topic=None, table=None)
        pipeline = replace(
            pipeline, exchange=Exchange(self.exchange.url), api=replace(self.api.api, key=self.key)
        )
        for service in pipeline.all_services:
            container = self.runtime.add(service)
            if service == self.down:
                self.runtime.send(container, "kill")
        clock = BusyClock(self.trade)
        stages = open_stages(pipeline, clock)
        validation = Validation(pipeline, stages, connect or (lambda: self.runtime), clock, 10.0)
        found = {check.name: check for check in validation.checks()}
        stages.close()
        return found

    def trade(self) -> None:
        self.exchange.last_ids["BTC"] = 300
        self.api.put("BTC", *self.shown)


@pytest.fixture
def bench() -> Iterator[Bench]:
    with fake_exchange(BTC=100) as exchange, fake_api() as api:
        api.put("BTC", *range(1, 101))
        yield Bench(exchange, api)


def test_a_pipeline_that_is_whole_passes_everywhere(bench: Bench) -> None:
    checks = bench.checks()

    assert {"pass"} == {check.outcome for check in checks.values()}, checks
    assert "200 in 10 s, 20.0 a second" == checks["records flow"].seen
    assert "all 200, none lost, none twice" == checks["api records"].seen
    assert 0 == exit_code(checks.values())


def test_a_lost_record_fails_and_is_named(bench: Bench) -> None:
    bench.shown = (*range(101, 150), *range(151, 301))

    checks = bench.checks()

    assert "fail" == checks["api records"].outcome
    assert "1 lost" in checks["api records"].seen
    assert "150" in checks["api records"].seen
    assert 1 == exit_code(checks.values())


def test_a_market_that_hardly_moves_fails_the_pace(bench: Bench) -> None:
    bench.trade = lambda: None  # type: ignore[method-assign]

    checks = bench.checks()

    assert "fail" == checks["records flow"].outcome
    assert "inconclusive" == checks["api records"].outcome


def test_a_service_that_is_down_fails_and_hides_nothing_else(bench: Bench) -> None:
    bench.down = "kafka"

    checks = bench.checks()

    assert "fail" == checks["services"].outcome
    assert "kafka is exited" in checks["services"].seen
    assert "pass" == checks["api records"].outcome


def test_an_engine_that_cannot_be_asked_is_not_a_pass(bench: Bench) -> None:
    def unreachable() -> Runtime:
        message = "no container engine answers"
        raise EngineUnreachable(message)

    checks = bench.checks(unreachable)

    assert "inconclusive" == checks["services"].outcome
    assert 3 == exit_code(checks.values())


def test_a_wrong_key_of_ours_says_nothing_about_the_pipeline(bench: Bench) -> None:
    bench.key = "wrong"

    checks = bench.checks()

    assert "inconclusive" == checks["api fresh"].outcome
    assert 3 == exit_code(checks.values())


@pytest.mark.parametrize(
    "outcomes, code",
    [(("pass", "pass"), 0), (("pass", "fail", "inconclusive"), 1), (("inconclusive",), 3), ((), 3)],
)
def test_the_exit_code_is_the_worst_of_all(outcomes: tuple[str, ...], code: int) -> None:
    assert code == exit_code(Check("x", one, "") for one in outcomes)  # type: ignore[arg-type]


def test_what_is_printed_is_also_json(bench: Bench) -> None:
    lines, document = io.StringIO(), io.StringIO()
    check = Check("services", "fail", "kafka is exited [sic]")

    print_check(check, lines)
    print_json(lab_pipeline(), [check], document)

    assert "fail         services        kafka is exited [sic]\n" == lines.getvalue()
    assert 1 == json.loads(document.getvalue())["exit_code"]
