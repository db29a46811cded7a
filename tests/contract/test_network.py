"""
Faults of the network between real containers, told by connections that the test itself makes and
by rules that it lists itself.
"""

import statistics
from collections.abc import Iterator
from pathlib import Path

import pytest

from k2chaos.clock import SystemClock
from k2chaos.errors import FaultNotInjected, TargetNotReady
from k2chaos.system.engine import DockerRuntime
from k2chaos.system.faults import System, fault_to_json
from k2chaos.system.faults.catalogue import fault_from_json
from k2chaos.system.faults.held import held
from k2chaos.system.faults.network.delay import DelayPackets
from k2chaos.system.faults.network.lossy import LosePackets
from k2chaos.system.faults.network.partition import Direction, Isolate, Partition
from k2chaos.system.runtime import Container
from tests.contract.containers import docker
from tests.contract.holding import holding_on
from tests.contract.namespaces import Starter, address_of, inside, rules_of
from tests.contract.waiting import wait_until
from tools.residue import oracle


def _hears(engine: DockerRuntime, one: Container, other: Container) -> bool:
    """Whether *one* hears anything when it knocks at *other*: a refusal comes at once."""
    (address,) = engine.addresses(other).values()
    knock = f"exec 3<>/dev/tcp/{address}/7"
    return "refused" in inside(engine, one, "timeout", "0.5", "bash", "-c", knock).stderr


def _arrives(engine: DockerRuntime, one: Container, other: Container) -> bool:
    """Whether what *one* sends arrives at *other*, which need not be able to answer."""
    (source,) = engine.addresses(one).values()
    count = ("-t", "raw", "-I", "PREROUTING", "-s", source, "-p", "udp", "-j", "ACCEPT")
    inside(engine, other, "iptables", *count)
    (address,) = engine.addresses(other).values()
    inside(engine, one, "bash", "-c", f"echo x >/dev/udp/{address}/7")
    listed = inside(engine, other, "iptables", "-t", "raw", "-vnxL", "PREROUTING").stdout
    inside(engine, other, "iptables", "-t", "raw", "-F")
    return listed.splitlines()[2].split()[0] != "0"


def test_a_partition_cuts_off_one_and_nobody_else(
    engine: DockerRuntime, start: Starter, tmp_path: Path
) -> None:
    sink, broker, store = start("sink"), start("broker"), start("store")
    before = (_hears(engine, broker, sink), _hears(engine, sink, broker))

    with held(Partition(sink, (broker,)), 20.0, holding_on(System(engine), tmp_path)) as hold:
        during = (_hears(engine, broker, sink), _hears(engine, sink, broker))
        others = (_hears(engine, store, sink), _hears(engine, sink, store))
        rules = rules_of(engine, sink)

    assert (True, True) == before
    assert (False, False) == during
    assert (True, True) == others
    assert 5 == len(rules), rules  # the chain, two rules, two hooks
    assert [] == rules_of(engine, sink) == rules_of(engine, broker)
    assert _hears(engine, broker, sink)
    assert _hears(engine, sink, broker)
    assert () == engine.helpers(hold.fault.tag)
    assert not hold.ended_early


@pytest.mark.parametrize("direction, out, into", [("out", False, True), ("in", True, False)])
def test_a_partition_of_one_way_lets_the_other_way_arrive(
    direction: Direction,
    out: bool,  # noqa: FBT001
    into: bool,  # noqa: FBT001
    engine: DockerRuntime,
    start: Starter,
    tmp_path: Path,
) -> None:
    sink, broker = start("sink"), start("broker")
    fault = Partition(sink, (broker,), direction=direction)

    with held(fault, 20.0, holding_on(System(engine), tmp_path)):
        arrived = _arrives(engine, sink, broker)
        drops = inside(engine, sink, "iptables-save", "-c").stdout
        inside(engine, broker, "bash", "-c", f"echo x >/dev/udp/{address_of(engine, sink)}/7")

    side = "-d" if direction == "out" else "-s"
    assert out == arrived
    assert f"-A K2C-{fault.tag} {side} {address_of(engine, broker)}/32 -j DROP" in drops
    assert into == (f"-s {address_of(engine, broker)}/32 -j DROP" not in drops)


def test_healing_one_from_the_ledger_leaves_the_other(
    engine: DockerRuntime, start: Starter
) -> None:
    sink, broker, store = start("sink"), start("broker"), start("store")
    system = System(engine)
    one, other = (Partition(sink, (peer,)).prepare(system) for peer in (broker, store))
    for fault in (one, other):
        fault.inject(system, SystemClock().now())

    from_ledger = fault_from_json(fault_to_json(one))
    from_ledger.heal(system)
    from_ledger.heal(system)
    left = rules_of(engine, sink)
    heard = (_hears(engine, broker, sink), _hears(engine, store, sink))
    other.heal(system)

    assert all(other.tag in rule for rule in left)
    assert 5 == len(left)
    assert (True, False) == heard
    assert [] == rules_of(engine, sink)
    assert not other.observe(system).active


def test_a_restart_takes_the_rules_with_it_and_ends_the_fault_early(
    engine: DockerRuntime, start: Starter, tmp_path: Path
) -> None:
    sink, broker = start("sink"), start("broker")

    with held(Partition(sink, (broker,)), 20.0, holding_on(System(engine), tmp_path)) as hold:
        engine.send(sink, "restart", grace_seconds=0)
        wait_until(lambda: engine.state(sink).is_running, "it runs again")

    assert hold.ended_early
    assert [] == rules_of(engine, sink)
    assert _hears(engine, broker, sink)
    assert () == engine.helpers(hold.fault.tag)


def test_a_target_that_somebody_else_has_cut_off_is_no_target(
    engine: DockerRuntime, start: Starter, tmp_path: Path
) -> None:
    sink, broker = start("sink"), start("broker")
    inside(engine, sink, "iptables", "-A", "INPUT", "-s", address_of(engine, broker), "-j", "DROP")

    with (
        pytest.raises(TargetNotReady, match="before anything was done"),
        held(Partition(sink, (broker,)), 20.0, holding_on(System(engine), tmp_path)),
    ):
        pytest.fail("the body ran without a witness")

    assert [] == rules_of(engine, sink)
    assert "DROP" in inside(engine, sink, "iptables-save").stdout


def test_rules_on_a_wrong_address_are_no_partition(
    engine: DockerRuntime, start: Starter, tmp_path: Path
) -> None:
    sink, broker = start("sink"), start("broker")

    with (
        pytest.raises(FaultNotInjected, match=r"'dropped_packets': 0,.*'broker': \d"),
        held(_Astray(sink, (broker,)), 20.0, holding_on(System(engine), tmp_path)),
    ):
        pytest.fail("the body ran without a witness")

    assert [] == rules_of(engine, sink)


class _Astray(Partition):
    """Drops the packets of somebody who is not there."""

    def rules_about(self, peer: str) -> Iterator[str]:
        yield "-s 192.0.2.1 -j DROP"


def test_what_the_oracle_lists_is_as_before(
    engine: DockerRuntime, start: Starter, tmp_path: Path
) -> None:
    sink, broker = start("sink"), start("broker")
    identifier = engine.state(sink).container_id
    before = oracle.look(engine.engine, identifier)

    with held(Partition(sink, (broker,)), 20.0, holding_on(System(engine), tmp_path)):
        during = oracle.look(engine.engine, identifier)

    assert [] != oracle.differences(before, during)
    assert [] == oracle.differences(before, oracle.look(engine.engine, identifier))


def test_whoever_is_isolated_still_hears_the_host(
    engine: DockerRuntime, start: Starter, tmp_path: Path
) -> None:
    sink, broker, store = start("sink"), start("broker"), start("store")
    gateway = inside(engine, sink, "ip", "route", "show", "default").stdout.split()[2]
    knock = ("timeout", "0.5", "bash", "-c", f"exec 3<>/dev/tcp/{gateway}/7")

    with held(Isolate(sink, (broker, store)), 20.0, holding_on(System(engine), tmp_path)) as hold:
        heard = [_hears(engine, peer, sink) for peer in (broker, store)]
        host = inside(engine, sink, *knock).stderr

    assert {"broker": None, "store": None} == hold.witness["injected"]["answered_ms"]
    assert [False, False] == heard
    assert "refused" in host
    assert [] == rules_of(engine, sink)


def test_the_share_that_is_lost_is_the_one_asked_for(
    engine: DockerRuntime, start: Starter, tmp_path: Path
) -> None:
    sink, broker = start("sink"), start("broker")
    (source,) = engine.addresses(broker).values()
    (address,) = engine.addresses(sink).values()
    count = ("iptables", "-I", "OUTPUT", "-p", "udp", "--dport", "7", "-j", "ACCEPT")
    inside(engine, broker, *count)
    fault = LosePackets(sink, (broker,), percent=20)

    with held(fault, 60.0, holding_on(System(engine), tmp_path)):
        # Counted by the test's own rule behind the fault's: what was not lost on the way in.
        inside(engine, sink, "iptables", "-A", "INPUT", "-s", source, "-p", "udp", "--dport", "7")
        script = f"exec 3>/dev/udp/{address}/7; for i in {{1..20000}}; do echo x >&3; done"
        inside(engine, broker, "bash", "-c", f"{script} 2>/dev/null")
        sent = _packets(inside(engine, broker, "iptables", "-vnxL", "OUTPUT").stdout, "dpt:7")
        arrived = _packets(inside(engine, sink, "iptables", "-vnxL", "INPUT").stdout, "dpt:7")

    assert 18_000 < sent
    assert 0.18 < 1 - arrived / sent < 0.22, (sent, arrived)
    assert [] == rules_of(engine, sink)


def _packets(listing: str, what: str) -> int:
    (line,) = [one for one in listing.splitlines() if what in one]
    return int(line.split()[0])


def test_a_delayed_round_trip_is_as_long_as_asked_and_short_again_after(
    engine: DockerRuntime, start: Starter, tmp_path: Path
) -> None:
    sink, broker, store = start("sink"), start("broker"), start("store")
    fault = DelayPackets(sink, (broker,), milliseconds=100)

    with held(fault, 30.0, holding_on(System(engine), tmp_path)) as hold:
        during = _round_trip_ms(engine, broker, sink)
        other = _round_trip_ms(engine, store, sink)
    after = _round_trip_ms(engine, broker, sink)

    assert 100 <= hold.witness["injected"]["answered_ms"]["broker"] < 150
    assert 100 <= during < 110
    assert other < 20
    assert after < 20
    assert [] == rules_of(engine, sink)
    assert () == engine.helpers(fault.tag)


def test_a_delay_whose_helper_died_lets_everything_pass_and_ended_early(
    engine: DockerRuntime, start: Starter, tmp_path: Path
) -> None:
    sink, broker = start("sink"), start("broker")
    fault = DelayPackets(sink, (broker,), milliseconds=100)

    with held(fault, 30.0, holding_on(System(engine), tmp_path)) as hold:
        label = (
            "--filter",
            f"label=k2chaos.fault={fault.tag}",
            "--filter",
            "label=k2chaos.name=hand",
        )
        (hand,) = docker(engine.engine, "ps", "--quiet", *label).split()
        docker(engine.engine, "kill", hand)
        passed = _round_trip_ms(engine, broker, sink)

    assert passed < 20
    assert hold.ended_early
    assert [] == rules_of(engine, sink)


def _round_trip_ms(engine: DockerRuntime, one: Container, other: Container) -> float:
    """The median of eleven refusals, as the test's own clock has it in the namespace of *one*."""
    script = (
        "import socket,sys,time\n"
        "for _ in range(11):\n"
        "    began = time.monotonic()\n"
        "    try: socket.create_connection((sys.argv[1], 7), 2)\n"
        "    except ConnectionRefusedError: print((time.monotonic() - began) * 1000)\n"
    )
    said = inside(engine, one, "python3", "-c", script, address_of(engine, other)).stdout
    return statistics.median(map(float, said.split()))
