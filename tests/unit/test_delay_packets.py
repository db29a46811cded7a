"""A delay is witnessed by the round trip that the other end measures."""

from pathlib import Path

import pytest

from k2chaos.errors import FaultNotInjected, TargetNotReady, UsageError
from k2chaos.system.faults import System
from k2chaos.system.faults.held import held
from k2chaos.system.faults.network.delay import DelayPackets
from tests.fakes.runs import fake_holding
from tests.fakes.runtime import FakeRuntime


def test_the_round_trip_is_as_long_as_asked(tmp_path: Path) -> None:
    runtime = FakeRuntime()
    sink, broker = runtime.add("consumer-crypto"), runtime.add("kafka")
    fault = DelayPackets(sink, (broker,), milliseconds=80, tag="00ff0000")

    with held(fault, 5.0, fake_holding(runtime, tmp_path)) as hold:
        rules = runtime.network.at(sink).rules()

    assert [
        "-d 10.0.0.3 -m mark --mark 0x2000000/0x2000000 -j RETURN",
        "-d 10.0.0.3 -j NFQUEUE --queue-num 255 --queue-bypass",
    ] == rules
    assert {"kafka": 80.1} == hold.witness["injected"]["answered_ms"]
    assert not hold.ended_early


def test_an_answer_that_does_not_come_does_not_end_a_delay_that_was_seen(tmp_path: Path) -> None:
    runtime = FakeRuntime()
    sink, broker = runtime.add("consumer-crypto"), runtime.add("kafka")

    with held(DelayPackets(sink, (broker,)), 5.0, fake_holding(runtime, tmp_path)) as hold:
        runtime.network.mute.add(sink)
        silent = hold.fault.observe(System(runtime))
        runtime.network.placed.pop((hold.fault.tag, "hand"))
        gone = hold.fault.observe(System(runtime))

    assert (False, True) == (silent.struck, silent.lasts)
    assert (False, False) == (gone.struck, gone.lasts)
    assert hold.ended_early


def test_a_helper_that_delays_less_than_asked_is_no_witness(tmp_path: Path) -> None:
    runtime = FakeRuntime()
    runtime.network.hurry_ms = 30
    sink, broker = runtime.add("consumer-crypto"), runtime.add("kafka")

    with (
        pytest.raises(FaultNotInjected, match="answered_ms"),
        held(DelayPackets(sink, (broker,)), 5.0, fake_holding(runtime, tmp_path)),
    ):
        pytest.fail("the body ran without a witness")

    assert "" == runtime.network.at(sink).listing()


def test_a_pair_that_is_as_slow_already_is_no_target(tmp_path: Path) -> None:
    runtime = FakeRuntime()
    sink, broker = runtime.add("consumer-crypto"), runtime.add("kafka")
    first = DelayPackets(sink, (broker,), milliseconds=80)

    with (
        held(first, 5.0, fake_holding(runtime, tmp_path)),
        pytest.raises(TargetNotReady, match="already"),
        held(DelayPackets(sink, (broker,)), 5.0, fake_holding(runtime, tmp_path)),
    ):
        pytest.fail("the body ran")


@pytest.mark.parametrize("milliseconds, jitter", [(100, 51), (3001, 0), (2900, 101)])
def test_a_delay_that_nobody_could_see_is_refused(milliseconds: float, jitter: float) -> None:
    runtime = FakeRuntime()
    sink, broker = runtime.add("consumer-crypto"), runtime.add("kafka")
    fault = DelayPackets(sink, (broker,), milliseconds=milliseconds, jitter_milliseconds=jitter)

    with pytest.raises(UsageError, match="jitter"):
        fault.prepare(System(runtime))
