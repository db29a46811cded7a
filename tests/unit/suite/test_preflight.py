"""What the end-to-end suite refuses to begin with."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any, cast

import pyarrow as pa
import pytest

from k2chaos.evidence.state import Holder, PipelineLock, state_directory
from tests.e2e.lab import Lab
from tests.e2e.preflight import NotUsableError, check_clock, check_nobody_else, foreign_rows
from tests.e2e.session import Found, alone, remember


def rows(*found: tuple[str, int]) -> pa.Table:
    symbols, ids = zip(*found, strict=True)
    return pa.table({"symbol": list(symbols), "source_sequence": pa.array(ids, pa.int64())})


def test_rows_of_another_symbol_or_with_an_id_never_emitted_are_foreign() -> None:
    held = rows(("BTCUSDT", 1), ("BTCUSDT", 7), ("BTCUSDT", 8), ("DOGEUSD", 1))

    found = foreign_rows(held, {"BTCUSDT": 7})

    assert {("BTCUSDT", 8), ("DOGEUSD", 1)} == set(
        zip(found["symbol"].to_pylist(), found["source_sequence"].to_pylist(), strict=True)
    )


@dataclass
class ExchangeAt:
    """An exchange with a clock of its own."""

    off: timedelta

    def ledger(self) -> Any:
        return SimpleNamespace(now=datetime.now(UTC) + self.off)


def lab_with_clock_off(seconds: float) -> Lab:
    exchange = ExchangeAt(timedelta(seconds=seconds))
    return cast("Lab", SimpleNamespace(stages=SimpleNamespace(exchange=exchange)))


@pytest.mark.parametrize("seconds", [-180, 180])
def test_a_clock_off_by_minutes_is_refused_with_the_difference(seconds: float) -> None:
    with pytest.raises(NotUsableError, match=r"clock is 1(79|80) s off"):
        check_clock(lab_with_clock_off(seconds))


def test_a_clock_off_by_a_second_is_as_good_as_ours() -> None:
    check_clock(lab_with_clock_off(1))


@pytest.fixture
def state(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))


@pytest.mark.usefixtures("state")
def test_a_run_on_the_lab_is_named() -> None:
    holder = Holder("some-run", 42, "2026-11-25T00:00:00+00:00", "journals/some-run")
    with (
        PipelineLock(state_directory(), "k2-lab").held_by(holder),
        pytest.raises(NotUsableError, match=r"some-run \(process 42\) is using it"),
    ):
        check_nobody_else("k2-lab")
    check_nobody_else("k2-lab")


@pytest.mark.usefixtures("state")
def test_two_sessions_are_not_at_work_on_one_lab() -> None:
    with (
        alone("k2-lab"),
        pytest.raises(NotUsableError, match="another session"),
        alone("k2-lab"),
    ):
        pass


@pytest.mark.usefixtures("state")
def test_what_a_killed_session_had_found_is_what_the_next_one_puts_back() -> None:
    def lab(rate: float) -> Lab:
        running = SimpleNamespace(status="running")
        found = SimpleNamespace(states=lambda: {"api": running}, rate_or_none=lambda: rate)
        return cast("Lab", found)

    with alone("k2-lab") as file:
        assert Found(was_up=True, rate=100) == remember(file, lab(100))
    with alone("k2-lab") as file:
        assert Found(was_up=True, rate=100) == remember(file, lab(0))
