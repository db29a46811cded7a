"""A partition is witnessed from the other end, and removes its own rules and nothing else."""

from datetime import timedelta
from pathlib import Path

import pytest

from k2chaos.errors import FaultNotInjected, TargetNotReady, UsageError
from k2chaos.system.between import hold_apart, hold_between
from k2chaos.system.faults import Hold, System, fault_to_json
from k2chaos.system.faults.catalogue import fault_from_json
from k2chaos.system.faults.held import held, watch
from k2chaos.system.faults.network.chain import Counted
from k2chaos.system.faults.network.lossy import LosePackets
from k2chaos.system.faults.network.partition import Isolate, Partition
from k2chaos.system.holding import Wish
from k2chaos.system.runtime import Container
from tests.fakes.clock import FakeClock
from tests.fakes.runs import fake_holding, fake_run
from tests.fakes.runtime import FakeRuntime


def _two(runtime: FakeRuntime) -> tuple[Container, Container]:
    return runtime.add("consumer-crypto"), runtime.add("kafka")


def test_the_other_end_is_silent_for_as_long_as_it_is_held(tmp_path: Path) -> None:
    runtime = FakeRuntime()
    sink, broker = _two(runtime)
    holding = fake_holding(runtime, tmp_path)

    with held(Partition(sink, (broker,)), 5.0, holding) as hold:
        watch([hold], 2.0, holding)
        during = runtime.network.at(sink).listing()

    assert not hold.ended_early
    assert {"kafka": None} == hold.witness["injected"]["answered_ms"]
    assert hold.witness["injected"]["dropped_packets"] > 0
    assert "-d 10.0.0.3 -j DROP" in during
    assert "" == runtime.network.at(sink).listing()
    assert {} == runtime.network.placed


@pytest.mark.parametrize(
    "direction, rules",
    [("both", {"-s 10.0.0.3 -j DROP", "-d 10.0.0.3 -j DROP"}), ("out", {"-d 10.0.0.3 -j DROP"}),
     ("in", {"-s 10.0.0.3 -j DROP"})],
)  # fmt: skip
def test_one_way_drops_one_way(direction: str, rules: set[str], tmp_path: Path) -> None:
    runtime = FakeRuntime()
    sink, broker = _two(runtime)
    fault = Partition(sink, (broker,), direction=direction)  # type: ignore[arg-type]

    with held(fault, 5.0, fake_holding(runtime, tmp_path)):
        (chain,) = runtime.network.at(sink).chains.values()

    assert rules == {*chain.rules}


def test_rules_that_never_came_into_force_are_no_partition(tmp_path: Path) -> None:
    runtime = FakeRuntime(broken=lambda _container, verb: verb == "rules")
    sink, broker = _two(runtime)

    with (
        pytest.raises(FaultNotInjected, match="dropped_packets"),
        held(Partition(sink, (broker,)), 1.0, fake_holding(runtime, tmp_path)),
    ):
        pytest.fail("the body ran without a witness")

    assert {} == runtime.network.placed


def test_silence_of_before_is_no_witness(tmp_path: Path) -> None:
    runtime = FakeRuntime()
    sink, broker = _two(runtime)
    runtime.network.mute.add(sink)

    with (
        pytest.raises(TargetNotReady, match="before anything was done"),
        held(Partition(sink, (broker,)), 1.0, fake_holding(runtime, tmp_path)),
    ):
        pytest.fail("the body ran without a witness")

    assert {} == runtime.network.placed
    assert "" == runtime.network.at(sink).listing()


@pytest.mark.parametrize("who", ["consumer-crypto", "kafka"])
def test_a_restart_of_either_end_ended_it_early(who: str, tmp_path: Path) -> None:
    runtime = FakeRuntime()
    sink, broker = _two(runtime)

    with held(Partition(sink, (broker,)), 5.0, fake_holding(runtime, tmp_path)) as hold:
        runtime.send(sink if who == sink.service else broker, "restart")

    assert hold.ended_early
    assert "" == runtime.network.at(sink).listing()
    assert {} == runtime.network.placed


def test_healing_one_leaves_the_other(tmp_path: Path) -> None:
    runtime = FakeRuntime()
    sink, broker = _two(runtime)
    store = runtime.add("object-store")
    system, clock = System(runtime), FakeClock()
    one = Partition(sink, (broker,)).prepare(system)
    other = Partition(sink, (store,)).prepare(system)
    for fault in (one, other):
        fault.inject(system, clock.now())

    fault_from_json(fault_to_json(one)).heal(system)
    fault_from_json(fault_to_json(one)).heal(system)

    assert not one.observe(system).active
    assert other.observe(system).struck


def test_who_shares_no_network_cannot_be_cut_off() -> None:
    runtime = FakeRuntime()
    sink, broker = _two(runtime)
    runtime.network.apart.add(broker)

    with pytest.raises(TargetNotReady, match="shares no network with kafka"):
        Partition(sink, (broker,)).prepare(System(runtime))


def test_who_can_be_reached_another_way_cannot_be_cut_off() -> None:
    runtime = FakeRuntime()
    sink, broker = _two(runtime)
    runtime.network.dual.add(sink)

    with pytest.raises(TargetNotReady, match="IPv6"):
        Partition(sink, (broker,)).prepare(System(runtime))


def test_rare_losses_need_more_datagrams() -> None:
    sink, broker = _two(FakeRuntime())
    counts = [
        LosePackets(sink, (broker,), percent=percent).watch.how["datagrams"]
        for percent in (0.1, 0.5, 10, 100)
    ]

    assert [10_000, 2_000, 1_000, 1_000] == counts


def test_a_fault_without_another_end_is_refused() -> None:
    runtime = FakeRuntime()
    sink, _ = _two(runtime)

    for peers in ((), (sink,)):
        with pytest.raises(UsageError, match="needs peers"):
            Partition(sink, peers).prepare(System(runtime))


def test_all_containers_of_the_other_role_are_cut_off(tmp_path: Path) -> None:
    run = fake_run(tmp_path)

    (entry,) = hold_between(run, Partition, Wish("sink", 2.0), "registry")["faults"]

    assert {"schema-registry-1", "schema-registry-2"} == {
        *entry["witness"]["injected"]["answered_ms"]
    }
    assert ("sink", "partition", "consumer-crypto") == (
        entry["role"], entry["kind"], entry["target"]
    )  # fmt: skip


def test_what_may_not_be_touched_is_touched_at_neither_end(tmp_path: Path) -> None:
    run = fake_run(tmp_path, limits={"never": ["schema-registry-1", "kafka"]})
    assert isinstance(run.runtime, FakeRuntime)

    for to in ("registry", "broker"):
        with pytest.raises(UsageError, match=r"limits\.never"):
            hold_between(run, Partition, Wish("sink", 2.0), to)
    assert [] == run.runtime.sent

    (entry,) = hold_apart(run, Isolate, Wish("sink", 2.0))["faults"]

    helpers = {name for verb, name in run.runtime.sent if verb == "start-helper"}
    assert not {"beside kafka", "beside schema-registry-1"} & helpers
    assert not {"kafka", "schema-registry-1"} & {*entry["witness"]["injected"]["answered_ms"]}


@pytest.mark.parametrize("to", ["sink", "moon"])
def test_a_bad_other_end_is_refused_before_anything_is_touched(to: str, tmp_path: Path) -> None:
    run = fake_run(tmp_path)

    with pytest.raises(UsageError, match=to):
        hold_between(run, Partition, Wish("sink", 2.0), to)

    assert isinstance(run.runtime, FakeRuntime)
    assert [] == run.runtime.sent


def test_whoever_is_isolated_is_cut_off_from_all_that_it_can_reach(tmp_path: Path) -> None:
    run = fake_run(tmp_path)
    assert isinstance(run.runtime, FakeRuntime)
    stranger = run.runtime.add("stranger")
    down = Container(stranger.engine, stranger.project, "postgres")
    run.runtime.send(down, "kill")

    (entry,) = hold_apart(run, Isolate, Wish("sink", 2.0))["faults"]

    placed = {name for verb, name in run.runtime.sent if verb == "start-helper"}
    assert 3 == len(entry["witness"]["injected"]["answered_ms"])
    assert 4 == len(placed)
    assert not {"beside stranger", "beside postgres"} & placed


def test_lost_packets_are_counted_among_all(tmp_path: Path) -> None:
    runtime = FakeRuntime()
    sink, broker = _two(runtime)
    fault = LosePackets(sink, (broker,), percent=12.5)

    with held(fault, 5.0, fake_holding(runtime, tmp_path)) as hold:
        rules = runtime.network.at(sink).rules()

    assert "-s 10.0.0.3 -m statistic --mode random --probability 0.125000 -j DROP" in rules
    assert ["-d 10.0.0.3", "-s 10.0.0.3"] == [rule for rule in rules if "DROP" not in rule]
    assert hold.witness["injected"]["dropped_packets"] > 0


@pytest.mark.parametrize(
    "dropped, answered_ms, expected",
    [(3, {"kafka": None}, True), (0, {"kafka": None}, False), (3, {"kafka": 0.1}, False),
     (3, {"kafka": None, "postgres": 0.1}, False)],
)  # fmt: skip
def test_silence_and_dropped_packets_prove_a_partition_only_together(
    dropped: int,
    answered_ms: dict[str, float | None],
    expected: bool,  # noqa: FBT001
) -> None:
    sink, broker = _two(FakeRuntime())

    assert expected == Partition(sink, (broker,)).is_struck(
        Counted(dropped, 0), {peer: {"answered_ms": one} for peer, one in answered_ms.items()}
    )


@pytest.mark.parametrize(
    "percent, dropped, came, expected",
    [(10, 0, 5000, False), (10, 1, 5000, False), (10, 470, 5000, True), (10, 900, 5000, False),
     (90, 1, 100_000, False), (0.1, 3, 1000, True), (100, 40, 40, True), (10, 1, 8, True)],
)  # fmt: skip
def test_a_loss_is_proven_by_the_share_that_was_asked_as_far_as_chance_allows(
    percent: float,
    dropped: int,
    came: int,
    expected: bool,  # noqa: FBT001
) -> None:
    sink, broker = _two(FakeRuntime())
    fault = LosePackets(sink, (broker,), percent=percent)

    assert expected == fault.is_struck(Counted(dropped, came), {"kafka": {"answered_ms": 0.1}})


def test_a_peer_whose_watcher_has_said_nothing_yet_proves_nothing(tmp_path: Path) -> None:
    runtime = FakeRuntime()
    sink, broker = _two(runtime)
    store = runtime.add("object-store")
    runtime.network.speechless.add(store)

    with (
        pytest.raises(FaultNotInjected, match="answered_ms"),
        held(Partition(sink, (broker, store)), 5.0, fake_holding(runtime, tmp_path)),
    ):
        pytest.fail("the body ran although nobody had looked from one end")


def test_a_fault_whose_end_nobody_tells_lasted_from_its_beginning_to_its_heal() -> None:
    sink, broker = _two(FakeRuntime())
    now = FakeClock().now()
    hold = Hold("partition-1", Partition(sink, (broker,)), now, held_seconds=13.0)
    hold.began_at, hold.injected_at = now, now + timedelta(seconds=1.5)

    assert 14.5 == hold.achieved_seconds
