"""Connections that are reset or fall silent, and names that fail; told from outside."""

from pathlib import Path

import pytest

from k2chaos.errors import FaultNotInjected, TargetNotReady, UsageError
from k2chaos.system.amounts import refuse_other_than
from k2chaos.system.faults import System, fault_to_json
from k2chaos.system.faults.catalogue import fault_from_json
from k2chaos.system.faults.held import held
from k2chaos.system.faults.network.chain import Counted
from k2chaos.system.faults.network.connections import BlackHole, ResetConnections, echo_port
from k2chaos.system.faults.network.names import ANSWERS, Answer, FailNames
from k2chaos.system.faults.network.partition import Partition
from k2chaos.system.runtime import Container
from tests.fakes.runs import fake_holding
from tests.fakes.runtime import FakeRuntime


def _two(runtime: FakeRuntime) -> tuple[Container, Container]:
    return runtime.add("consumer-crypto"), runtime.add("kafka")


def test_a_black_hole_accepts_and_does_not_answer(tmp_path: Path) -> None:
    runtime = FakeRuntime()
    sink, broker = _two(runtime)

    with held(BlackHole(sink, (broker,)), 5.0, fake_holding(runtime, tmp_path)) as hold:
        pass

    seen = hold.witness["injected"]
    assert {"kafka": 0.1} == seen["accepted_ms"]
    assert {"kafka": None} == seen["answered_ms"]
    assert seen["dropped_packets"] > 0
    assert not hold.ended_early
    assert "" == runtime.network.at(sink).listing()


def test_a_partition_is_no_black_hole() -> None:
    sink, broker = _two(FakeRuntime())
    fault = BlackHole(sink, (broker,))

    assert not fault.is_struck(Counted(9, 0), {"kafka": {"accepted_ms": None, "answered_ms": None}})
    assert not fault.is_struck(Counted(9, 0), {"kafka": {"accepted_ms": 0.1, "answered_ms": 0.2}})
    assert not fault.is_struck(Counted(0, 9), {"kafka": {"accepted_ms": 0.1, "answered_ms": None}})
    assert fault.is_struck(Counted(9, 0), {"kafka": {"accepted_ms": 0.1, "answered_ms": None}})


def test_a_kept_connection_meets_the_resets(tmp_path: Path) -> None:
    runtime = FakeRuntime()
    sink, broker = _two(runtime)
    fault = ResetConnections(sink, (broker,), every_seconds=2, tag="00ff0000")

    with held(fault, 5.0, fake_holding(runtime, tmp_path)) as hold:
        hand = runtime.network.helper(fault.tag, "hand").command
        rules = runtime.network.at(sink).rules()

    assert ("2", "10.0.0.3") == hand[-2:]
    assert str(echo_port(fault.tag)) == hand[2]
    assert ["-d 10.0.0.3 -p tcp -m tcp --tcp-flags RST RST"] == rules
    assert {"kafka": 0.0} == hold.witness["injected"]["reset_seconds_ago"]
    assert hold.witness["injected"]["packets"] > 0
    assert not hold.ended_early


def test_resets_that_nobody_meets_are_no_fault(tmp_path: Path) -> None:
    runtime = FakeRuntime()
    sink, broker = _two(runtime)
    runtime.network.ignored.add("reset")

    with (
        pytest.raises(FaultNotInjected, match="reset_seconds_ago"),
        held(ResetConnections(sink, (broker,)), 5.0, fake_holding(runtime, tmp_path)),
    ):
        pytest.fail("the body ran without a witness")


def test_a_reset_of_long_ago_is_none_of_this_fault() -> None:
    sink, broker = _two(FakeRuntime())
    fault = ResetConnections(sink, (broker,), every_seconds=5)

    assert fault.is_struck(Counted(0, 3), {"kafka": {"reset_seconds_ago": 6.9}})
    assert not fault.is_struck(Counted(0, 3), {"kafka": {"reset_seconds_ago": 7.1}})
    assert not fault.is_struck(Counted(0, 3), {"kafka": {"reset_seconds_ago": None}})
    assert not fault.is_struck(Counted(0, 0), {"kafka": {"reset_seconds_ago": 1.0}})


@pytest.mark.parametrize("answer, way", [("error", "-o lo"), ("silence", "-i lo")])
def test_names_are_asked_for_in_the_targets_own_namespace(
    answer: Answer, way: str, tmp_path: Path
) -> None:
    runtime = FakeRuntime()
    sink, _ = _two(runtime)
    fault = FailNames(sink, answer=answer)

    with held(fault, 5.0, fake_holding(runtime, tmp_path)) as hold:
        rules = runtime.network.at(sink).rules()
        watcher = runtime.network.helper(fault.tag, "beside consumer-crypto")

    assert [f"-d 127.0.0.11 {way} -j DROP"] == rules
    assert sink == watcher.at
    assert {"consumer-crypto": None} == hold.witness["injected"]["answered_ms"]
    assert "" == runtime.network.at(sink).listing()


def test_names_that_are_still_resolved_are_no_fault(tmp_path: Path) -> None:
    runtime = FakeRuntime(broken=lambda _container, verb: verb == "rules")
    sink, _ = _two(runtime)

    with (
        pytest.raises(FaultNotInjected, match="answered_ms"),
        held(FailNames(sink), 5.0, fake_holding(runtime, tmp_path)),
    ):
        pytest.fail("the body ran without a witness")


def test_silence_without_dropped_questions_is_no_failing_of_names() -> None:
    sink, _ = _two(FakeRuntime())

    assert not FailNames(sink).is_struck(Counted(0, 0), {"sink": {"answered_ms": None}})
    assert not FailNames(sink).is_struck(Counted(1, 0), {"sink": {"answered_ms": 0.1}})
    assert FailNames(sink).is_struck(Counted(1, 0), {"sink": {"answered_ms": None}})


def test_who_is_in_no_network_has_no_names_to_lose() -> None:
    runtime = FakeRuntime()
    sink, _ = _two(runtime)
    runtime.network.apart.add(sink)

    with pytest.raises(TargetNotReady, match="in no network"):
        FailNames(sink).prepare(System(runtime))


def test_an_unknown_answer_is_refused() -> None:
    with pytest.raises(UsageError, match="error, silence"):
        refuse_other_than("answer", "maybe", ANSWERS)


def test_faults_of_one_pair_leave_each_other(tmp_path: Path) -> None:
    runtime = FakeRuntime()
    sink, broker = _two(runtime)
    holding = fake_holding(runtime, tmp_path)

    with held(BlackHole(sink, (broker,)), 5.0, holding) as outer:
        with held(ResetConnections(sink, (broker,)), 5.0, holding) as inner:
            both = runtime.network.at(sink).rules()
        fault_from_json(fault_to_json(inner.fault)).heal(System(runtime))
        left = runtime.network.at(sink).rules()

    assert 5 == len(both)
    assert 4 == len(left)
    assert not outer.ended_early


def test_a_partition_records_how_many_connections_were_reset_after_it(tmp_path: Path) -> None:
    runtime = FakeRuntime()
    sink, broker = _two(runtime)

    with held(Partition(sink, (broker,)), 5.0, fake_holding(runtime, tmp_path)) as hold:
        pass

    assert {"reset_connections": 0} == hold.witness["undone"]
