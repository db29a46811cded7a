import dataclasses
import threading
from collections.abc import Callable, Collection, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from k2chaos.errors import Interrupted, StageBlind, StageError, StageUnavailable, Unsupported
from k2chaos.evidence.baseline import Baseline
from k2chaos.evidence.freshness import Sighting
from k2chaos.evidence.records import Window
from k2chaos.judge.audit import audit
from k2chaos.pipeline import Exchange
from k2chaos.system.api import ApiClient
from k2chaos.system.stages import Stages, open_stages
from k2chaos.system.windows import read_window, take_baseline
from tests.fakes.api import fake_api
from tests.fakes.clock import FakeClock
from tests.fakes.exchange import FakeExchange, fake_exchange
from tests.fakes.lab import Lab, fake_lab, pipeline_of
from tests.fakes.table import rows_of
from tests.fakes.topic import RECORD, time_of


class FakeStage:
    """
    A stage that shows what the test says; an error in its place is raised.

    Attributes:
        shows: One entry for each look; the last one stays.
    """

    def __init__(self, *shows: dict[str, int] | Exception) -> None:
        self.shows = list(shows)
        self.asked: list[set[str]] = []

    def newest(self, keys: Collection[str] = ()) -> dict[str, Sighting]:
        self.asked.append(set(keys))
        now = self.shows.pop(0) if len(self.shows) > 1 else self.shows[0]
        if isinstance(now, Exception):
            raise now
        return {key: Sighting(last, time_of(last)) for key, last in now.items()}

    def close(self) -> None:
        """Nothing is open."""


@pytest.fixture
def exchange() -> Iterator[FakeExchange]:
    with fake_exchange(BTC=100, ETH=100, NEW=0) as fake:
        yield fake


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


def stages_of(exchange: FakeExchange | None, clock: FakeClock, **clients: Any) -> Stages:
    """The exchange and any stand-ins for the other clients."""
    pipeline = pipeline_of(
        **({"exchange": Exchange(exchange.url)} if exchange else {}),
        **{stage: getattr(FILE, stage) for stage in clients},
    )
    return dataclasses.replace(open_stages(pipeline, clock), **clients)


FILE = pipeline_of(
    topic={"bootstrap": "x:1", "name": "t", "dlq": "d", "group": "g", "registry": "http://x:1"},
    table={"name": "n.t", "catalog": {}},
    api={"url": "http://x:1", "key": "k"},
)


def test_a_stage_that_shows_all_is_fresh(exchange: FakeExchange, clock: FakeClock) -> None:
    stages = stages_of(exchange, clock, api=FakeStage({"BTC": 100, "ETH": 100}))

    assert 0.0 == stages.freshness_seconds("api")


def test_freshness_is_measured_with_the_exchanges_clock(
    exchange: FakeExchange, clock: FakeClock
) -> None:
    """Ours is in another year here."""
    stages = stages_of(exchange, clock, api=FakeStage({"BTC": 100, "ETH": 40}))

    expected = (exchange.now - time_of(40)).total_seconds()
    assert expected == pytest.approx(stages.freshness_seconds("api"))


def test_the_time_that_the_stage_takes_to_answer_counts(
    exchange: FakeExchange, clock: FakeClock
) -> None:
    class Slow(FakeStage):
        def newest(self, keys: Collection[str] = ()) -> dict[str, Sighting]:
            clock.seconds += 3.0
            return super().newest(keys)

    stages = stages_of(exchange, clock, api=Slow({"BTC": 100, "ETH": 99}))

    expected = (exchange.now - time_of(99)).total_seconds() + 3.0
    assert expected == pytest.approx(stages.freshness_seconds("api"))


def test_a_record_emitted_between_the_two_looks_makes_no_stage_stale(
    exchange: FakeExchange, clock: FakeClock
) -> None:
    """The stage shows what the ledger said; by then the exchange is far ahead."""

    class Meanwhile(FakeStage):
        def newest(self, keys: Collection[str] = ()) -> dict[str, Sighting]:
            exchange.last_ids["BTC"] = 5000
            return super().newest(keys)

    stages = stages_of(exchange, clock, api=Meanwhile({"BTC": 100, "ETH": 100}))

    assert 0.0 == stages.freshness_seconds("api")


def test_an_api_that_answers_from_what_it_remembers_goes_on_growing_stale(
    exchange: FakeExchange, clock: FakeClock
) -> None:
    with fake_api() as api:
        api.put("BTC", 90)
        api.put("ETH", 100)
        answer = api.answer
        api.server.answer = lambda request: (
            200,
            {**answer(request)[1], "meta": {"age_seconds": 0.1, "degraded": True, "reason": "x"}},
        )
        stages = stages_of(exchange, clock, api=ApiClient(api.api, RECORD))

        before = stages.freshness_seconds("api")
        exchange.now += timedelta(seconds=100)

        assert before + 100 == pytest.approx(stages.freshness_seconds("api"))
        assert not stages.is_drained("api", {"BTC": 100})


def test_a_stage_is_asked_for_the_keys_that_were_emitted(
    exchange: FakeExchange, clock: FakeClock
) -> None:
    stage = FakeStage({"BTC": 100, "ETH": 100})
    stages_of(exchange, clock, api=stage).freshness_seconds("api")

    assert [{"BTC", "ETH"}] == stage.asked


def test_a_stage_that_the_pipeline_lacks_is_unsupported(
    exchange: FakeExchange, clock: FakeClock
) -> None:
    stages = stages_of(exchange, clock, api=FakeStage({}))

    for look in (stages.freshness_seconds, stages.newest):
        with pytest.raises(Unsupported, match="no stage topic; it has exchange, api"):
            look("topic")
    with pytest.raises(Unsupported):
        stages_of(None, clock, topic=FakeStage({})).newest("exchange")


def test_without_exchange_freshness_is_that_of_the_worst_active_key(clock: FakeClock) -> None:
    newest = {"BTC": 9000, "ETH": 8000, "GONE": 1}
    table = FakeStage({"BTC": 8500, "ETH": 7000, "GONE": 1})
    stages = stages_of(None, clock, topic=FakeStage(newest), table=table)

    expected = (clock.now() - time_of(7000)).total_seconds()
    assert expected == pytest.approx(stages.freshness_seconds("table"))
    assert [{"BTC", "ETH"}] == table.asked


def test_without_exchange_and_topic_the_stage_itself_says_which_keys_are_active(
    clock: FakeClock,
) -> None:
    down = StageUnavailable("gone", "refused")
    stages = stages_of(None, clock, topic=FakeStage(down), table=FakeStage({"BTC": 9, "ETH": 8}))

    expected = (clock.now() - time_of(8)).total_seconds()
    assert expected == pytest.approx(stages.freshness_seconds("table"))
    with pytest.raises(StageUnavailable):
        stages.freshness_seconds("topic")


def test_without_exchange_an_empty_topic_is_no_measurement(clock: FakeClock) -> None:
    with pytest.raises(StageUnavailable, match="is anything flowing"):
        stages_of(None, clock, topic=FakeStage({})).freshness_seconds("topic")


def test_throughput_is_counted_over_the_time_that_really_passed(
    exchange: FakeExchange, clock: FakeClock
) -> None:
    class Slow(FakeStage):
        def newest(self, keys: Collection[str] = ()) -> dict[str, Sighting]:
            clock.seconds += 1.0 if len(self.shows) == 1 else 0.0
            return super().newest(keys)

    stage = Slow({"BTC": 100, "ETH": 50}, {"BTC": 130, "ETH": 74, "NEW": 6})

    assert 10.0 == stages_of(exchange, clock, table=stage).throughput_records_per_second("table")


def test_throughput_of_a_stalled_stage_is_zero(exchange: FakeExchange, clock: FakeClock) -> None:
    stages = stages_of(exchange, clock, table=FakeStage({"BTC": 100}))

    assert 0.0 == stages.throughput_records_per_second("table", 5.0)


def test_the_exchanges_throughput_is_what_it_emits(
    exchange: FakeExchange, clock: FakeClock
) -> None:
    stages = stages_of(exchange, clock)
    answer = exchange.server.answer

    def trading(request: Any) -> Any:
        exchange.last_ids["BTC"] += 10
        return answer(request)

    exchange.server.answer = trading

    assert 2.0 == stages.throughput_records_per_second("exchange", 5.0)


def test_without_exchange_a_key_that_appears_meanwhile_does_not_count(clock: FakeClock) -> None:
    """Its first record is not known: it may be its millionth."""
    stage = FakeStage({"BTC": 100}, {"BTC": 110, "ETH": 1_000_000})

    assert 2.0 == stages_of(None, clock, table=stage).throughput_records_per_second("table", 5.0)


def test_an_interrupt_ends_the_measurement(exchange: FakeExchange, clock: FakeClock) -> None:
    told = threading.Event()
    told.set()
    stages = stages_of(exchange, clock, table=FakeStage({"BTC": 1}))

    with pytest.raises(Interrupted):
        stages.throughput_records_per_second("table", 5.0, told)
    with pytest.raises(Interrupted):
        stages.wait_until_drained("table", {"BTC": 2}, 30.0, told)


UNTIL = {"BTC": 100, "ETH": 100, "NEW": 0}


def test_drained_is_when_every_key_is_there(exchange: FakeExchange, clock: FakeClock) -> None:
    stage = FakeStage({"BTC": 100}, {"BTC": 150, "ETH": 99}, {"BTC": 160, "ETH": 100})
    stages = stages_of(exchange, clock, table=stage)

    assert stages.wait_until_drained("table", UNTIL, 10.0)
    assert 3 == len(stage.asked)
    assert 0.0 < clock.seconds < 1.0


def test_not_drained_at_the_deadline_is_false(exchange: FakeExchange, clock: FakeClock) -> None:
    stages = stages_of(exchange, clock, table=FakeStage({"BTC": 100, "ETH": 99}))

    assert not stages.wait_until_drained("table", UNTIL, 10.0)
    assert 10.0 <= clock.seconds < 11.0


def test_a_deadline_of_zero_still_looks_once(exchange: FakeExchange, clock: FakeClock) -> None:
    stages = stages_of(exchange, clock, table=FakeStage({"BTC": 100, "ETH": 100}))

    assert stages.wait_until_drained("table", UNTIL, 0.0)


def test_a_stage_that_is_down_meanwhile_is_only_not_drained_yet(
    exchange: FakeExchange, clock: FakeClock
) -> None:
    down = StageUnavailable("gone", "refused")
    stage = FakeStage(down, down, {"BTC": 100, "ETH": 100})

    assert stages_of(exchange, clock, table=stage).wait_until_drained("table", UNTIL, 10.0)


def test_a_stage_that_is_down_at_the_deadline_is_raised(
    exchange: FakeExchange, clock: FakeClock
) -> None:
    stage = FakeStage({"BTC": 1}, StageUnavailable("gone", "refused"))

    with pytest.raises(StageUnavailable, match="gone"):
        stages_of(exchange, clock, table=stage).wait_until_drained("table", UNTIL, 10.0)


def test_being_blind_is_raised_at_once(exchange: FakeExchange, clock: FakeClock) -> None:
    stages = stages_of(exchange, clock, table=FakeStage(StageBlind("no key", "credentials")))

    with pytest.raises(StageBlind):
        stages.wait_until_drained("table", UNTIL, 10.0)
    assert 0.0 == clock.seconds


@pytest.fixture
def lab(tmp_path: Path, clock: FakeClock) -> Iterator[Lab]:
    with fake_lab(tmp_path, clock) as lab:
        yield lab


def test_the_window_of_a_run_is_read_at_every_stage_and_is_clean(lab: Lab) -> None:
    stages = lab.stages()
    lab.flow("BTC", *range(1, 11))
    baseline = take_baseline(stages, lab.clock)
    lab.flow("BTC", *range(11, 31))
    lab.flow("DOGE", *range(1, 6))
    window = stages.window_since(baseline)
    lab.flow("BTC", 31)

    seen = {stage: read_window(stages, stage, window, baseline) for stage in STAGES}

    assert Window({"BTC": 10}, {"BTC": 30, "DOGE": 5}) == window
    assert {"topic": 25, "table": 25, "api": 25} == {one: len(rows) for one, rows in seen.items()}
    assert () == audit(window, seen)
    stages.close()


STAGES = ("topic", "table", "api")


def test_the_exchange_tells_the_content_of_what_it_emitted(lab: Lab) -> None:
    """As the same digests as the other stages show of it."""
    stages = lab.stages()
    lab.flow("BTC", *range(1, 11))

    rows = read_window(stages, "exchange", Window({"BTC": 3}, {"BTC": 8}), Baseline(time_of(0), {}))

    assert [4, 5, 6, 7, 8] == rows["sequence"].to_pylist()


def test_what_was_never_emitted_is_not_filtered_out(lab: Lab) -> None:
    stages = lab.stages()
    baseline = take_baseline(stages, lab.clock)
    lab.flow("BTC", 1, 2)
    window = stages.window_since(baseline)
    lab.table.append(rows_of("FORGED", 1))

    rows = read_window(stages, "table", window, baseline)

    assert ["phantom"] == [one.anomaly for one in audit(window, {"table": rows})]


def test_without_exchange_the_window_is_what_the_first_stage_saw(lab: Lab) -> None:
    """A key that is new to the topic's tail may be old: where it begins is not known."""
    stages = lab.stages(exchange=None)
    lab.flow("BTC", *range(1, 11))
    baseline = take_baseline(stages, lab.clock)
    lab.flow("BTC", *range(11, 21))
    lab.flow("OLD", 1_000_000)
    window = stages.window_since(baseline)

    seen = {stage: read_window(stages, stage, window, baseline) for stage in STAGES}

    assert Window({"BTC": 10}, {"BTC": 20}) == window
    assert () == audit(window, seen)
    assert {10} == {len(rows) for rows in seen.values()}


def test_of_an_api_alone_a_key_that_fell_silent_stays_in_the_window(lab: Lab) -> None:
    """Meanwhile others had more records than one answer shows."""
    stages = lab.stages(exchange=None, topic=None, table=None)
    lab.flow("BTC", *range(1, 11))
    lab.flow("ETH", 1)
    baseline = take_baseline(stages, lab.clock)
    lab.flow("BTC", *range(11, 311))

    assert Window({"BTC": 10, "ETH": 1}, {"BTC": 310, "ETH": 1}) == stages.window_since(baseline)


def test_the_baselines_offsets_are_older_than_its_ids(lab: Lab) -> None:
    """A record that arrives between the two looks is read again, and then left out."""
    stages = lab.stages()
    answer = lab.exchange.server.answer

    def racing(request: Any) -> Any:
        lab.topic.put("BTC", 1)
        lab.exchange.last_ids["BTC"] = 1
        lab.exchange.server.answer = answer
        return answer(request)

    lab.exchange.server.answer = racing

    baseline = take_baseline(stages, lab.clock)

    assert {"BTC": 1} == dict(baseline.last_ids)
    assert baseline.topic_offsets is not None
    assert 0 == sum(baseline.topic_offsets.values())


def test_a_baseline_without_offsets_makes_the_topic_unreadable(lab: Lab) -> None:
    stages = lab.stages()

    with pytest.raises(StageBlind, match="no offsets"):
        read_window(stages, "topic", Window({}, {}), Baseline(lab.clock.now(), {}))


@pytest.mark.parametrize("stage", ["exchange", "topic", "table", "api", "moon"])
def test_read_window_knows_no_other_stage(lab: Lab, stage: str) -> None:
    baseline = Baseline(lab.clock.now(), {}, {})
    stages = lab.stages(**dict.fromkeys(["exchange", "topic", "table", "api"]))

    with pytest.raises(Unsupported):
        read_window(stages, stage, Window({}, {}), baseline)


def test_latency_without_an_api_is_unsupported(lab: Lab) -> None:
    with pytest.raises(Unsupported):
        lab.stages(api=None).api_latency_seconds()


def test_credentials_that_fit_are_silent(lab: Lab) -> None:
    lab.stages().check_credentials()


def test_a_wrong_key_is_found_by_the_check_of_credentials(lab: Lab) -> None:
    wrong = dataclasses.replace(lab.api.api, key="wrong")
    stages = open_stages(pipeline_of(api=wrong))

    with pytest.raises(StageBlind, match=r"api\.key"):
        stages.check_credentials()


def test_a_stage_that_is_down_is_not_the_business_of_the_check_of_credentials(
    exchange: FakeExchange, clock: FakeClock
) -> None:
    exchange.server.answer = lambda _: (503, {})

    stages_of(exchange, clock).check_credentials()


def test_latency_is_that_of_the_api(lab: Lab) -> None:
    assert lab.stages().api_latency_seconds() >= 0.0


def looks(stages: Stages) -> list[Callable[[], object]]:
    return [
        lambda: stages.freshness_seconds("topic"),
        stages.newest_emitted,
        lambda: stages.throughput_records_per_second("exchange", 1.0),
    ]


def test_an_exchange_that_is_down_is_never_a_number(lab: Lab) -> None:
    lab.exchange.server.answer = lambda _: (503, {})

    for look in looks(lab.stages()):
        with pytest.raises(StageError):
            look()


def test_the_ids_of_the_exchange_carry_their_times(
    exchange: FakeExchange, clock: FakeClock
) -> None:
    newest = stages_of(exchange, clock).newest("exchange")

    assert {"BTC": Sighting(100, time_of(100)), "ETH": Sighting(100, time_of(100))} == newest
    assert timedelta(seconds=1) == exchange.now - newest["BTC"].event_time
