"""
Packets and connections between real containers, told by sockets that the test itself opens in
their namespaces.
"""

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from k2chaos.errors import FaultNotInjected, TargetNotReady
from k2chaos.system.engine import DockerRuntime
from k2chaos.system.faults import Fault, System
from k2chaos.system.faults.held import held
from k2chaos.system.faults.network.bandwidth import LimitBandwidth
from k2chaos.system.faults.network.connections import BlackHole, ResetConnections
from k2chaos.system.faults.network.delay import DelayPackets, ReorderPackets
from k2chaos.system.faults.network.duplicate import DuplicatePackets
from k2chaos.system.faults.network.lossy import LosePackets
from k2chaos.system.faults.network.names import Answer, FailNames
from k2chaos.system.faults.network.partition import Partition
from k2chaos.system.runtime import Container
from tests.contract.holding import holding_on
from tests.contract.namespaces import Starter, address_of, inside, rules_of
from tests.contract.waiting import wait_until

PORT = 4321
SERVE = f"""
import socket, threading
def answer(one):
    while said := one.recv(65536):
        one.sendall(said)
with socket.create_server(("", {PORT})) as listening:
    print("ready", flush=True)
    while True:
        one, _ = listening.accept()
        threading.Thread(target=answer, args=(one,), daemon=True).start()
"""
TALK = f"""
import json, socket, sys
one = socket.create_connection((sys.argv[1], {PORT}), 2.0)
print("accepted", flush=True)
for line in sys.stdin:
    try:
        one.sendall(b"hello")
        print(json.dumps(one.recv(100).decode()), flush=True)
    except OSError as error:
        print(json.dumps(type(error).__name__), flush=True)
"""
STREAM = f"""
import socket, sys, threading, time
one = socket.create_connection((sys.argv[1], {PORT}), 30.0)
def once(size):
    began, left = time.monotonic(), size
    threading.Thread(target=one.sendall, args=(b"x" * size,), daemon=True).start()
    while left:
        left -= len(one.recv(left))
    return size / (time.monotonic() - began)
once(20_000); print(once(int(sys.argv[2])))
"""
COUNT = """
import json, socket, sys
one = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
one.setsockopt(socket.SOL_SOCKET, 33, 1 << 26)  # SO_RCVBUFFORCE
one.bind(("", 4322)); one.settimeout(2.0); print("ready", flush=True)
came = []
try:
    while True:
        came.append(int(one.recv(2000).split()[0]))
except TimeoutError:
    print(json.dumps(came))
"""
SEND = """
import socket, sys, time
one = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
for number in range(int(sys.argv[2])):
    one.sendto(b"%d " % number, (sys.argv[1], 4322))
    time.sleep(0.001)
"""


@contextmanager
def _running(
    engine: DockerRuntime, where: Container, *words: str
) -> Iterator["subprocess.Popen[str]"]:
    """A script in the network namespace of *where*, whose first line was read."""
    entered = ("nsenter", "--target", str(engine.state(where).pid), "--net")
    with subprocess.Popen(
        (*entered, sys.executable, "-c", *words),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            assert process.stdout is not None
            process.stdout.readline()
            yield process
        finally:
            process.kill()


def _say(talking: "subprocess.Popen[str]") -> str:
    assert talking.stdin is not None
    assert talking.stdout is not None
    talking.stdin.write("\n")
    talking.stdin.flush()
    return str(json.loads(talking.stdout.readline()))


def _came(engine: DockerRuntime, sender: Container, receiver: Container, count: int) -> list[int]:
    """The numbers of the datagrams that came, in their order."""
    with _running(engine, receiver, COUNT) as counting:
        words = (sys.executable, "-c", SEND, address_of(engine, receiver), str(count))
        inside(engine, sender, *words)
        return [int(one) for one in json.loads(counting.communicate()[0])]


def test_an_open_connection_falls_silent_and_a_new_one_is_accepted(
    engine: DockerRuntime, start: Starter, tmp_path: Path
) -> None:
    sink, broker, store = start("sink"), start("broker"), start("store")
    where = address_of(engine, sink)

    with _running(engine, sink, SERVE), _running(engine, broker, TALK, where) as talking:
        before = _say(talking)
        with held(BlackHole(sink, (broker,)), 30.0, holding_on(System(engine), tmp_path)) as hold:
            during = _say(talking)
            with _running(engine, broker, TALK, where) as new:
                said = _say(new)
            with _running(engine, store, TALK, where) as other:
                others = _say(other)
        with _running(engine, broker, TALK, where) as again:
            after = _say(again)

    assert ("hello", "TimeoutError", "TimeoutError", "hello", "hello") == (
        before, during, said, others, after
    )  # fmt: skip
    assert hold.witness["undone"]["reset_connections"] > 0
    assert not hold.ended_early
    assert [] == rules_of(engine, sink)
    assert () == engine.helpers(hold.fault.tag)


def test_connections_are_reset_again_and_again_and_nobody_elses(
    engine: DockerRuntime, start: Starter, tmp_path: Path
) -> None:
    sink, broker, store = start("sink"), start("broker"), start("store")
    where = address_of(engine, sink)
    fault = ResetConnections(sink, (broker,), every_seconds=0.5)

    def is_reset() -> bool:
        with _running(engine, broker, TALK, where) as new:
            return _ends(new)

    def _ends(one: "subprocess.Popen[str]") -> bool:
        ended = {"ConnectionResetError", "BrokenPipeError"}
        wait_until(lambda: _say(one) in ended, "it is reset")
        return True

    with (
        _running(engine, sink, SERVE),
        _running(engine, broker, TALK, where) as old,
        _running(engine, store, TALK, where) as other,
    ):
        with held(fault, 60.0, holding_on(System(engine), tmp_path)) as hold:
            resets = (_ends(old), is_reset(), is_reset())
        others = _say(other)

    assert (True, True, True) == resets
    assert "hello" == others
    assert not hold.ended_early
    assert [] == rules_of(engine, sink)
    assert () == engine.helpers(hold.fault.tag)


@pytest.mark.parametrize("answer", ["error", "silence"])
def test_no_name_is_resolved_and_addresses_are_still_reached(
    answer: Answer, engine: DockerRuntime, start: Starter, tmp_path: Path
) -> None:
    sink, broker = start("sink"), start("broker")
    ask = (
        "import socket, sys\n"
        "one = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); one.settimeout(0.5)\n"
        "one.connect(('127.0.0.11', 53))\n"
        "query = b'\\0\\1\\1\\0\\0\\1\\0\\0\\0\\0\\0\\0\\4sink\\0\\0\\1\\0\\1'\n"
        "try:\n"
        "    one.send(query); print(len(one.recv(512)) > 0)\n"
        "except OSError as error: print(type(error).__name__)\n"
    )

    def said() -> str:
        return inside(engine, sink, sys.executable, "-c", ask).stdout.strip()

    before = said()
    with held(FailNames(sink, answer=answer), 30.0, holding_on(System(engine), tmp_path)) as hold:
        during = said()
        with _running(engine, broker, SERVE):
            where = address_of(engine, broker)
            with _running(engine, sink, TALK, where) as talking:
                reached = _say(talking)

    assert "True" == before
    assert ("PermissionError" if answer == "error" else "TimeoutError") == during
    assert "hello" == reached
    assert "True" == said()
    assert not hold.ended_early
    assert [] == rules_of(engine, sink)


def test_the_share_that_comes_twice_is_the_one_asked_for(
    engine: DockerRuntime, start: Starter, tmp_path: Path
) -> None:
    sink, broker = start("sink"), start("broker")
    fault = DuplicatePackets(sink, (broker,), percent=30)

    with held(fault, 60.0, holding_on(System(engine), tmp_path)) as hold:
        came = _came(engine, sink, broker, 3000)
    after = _came(engine, sink, broker, 200)

    assert 3000 == len({*came})
    assert 0.27 < (len(came) - 3000) / 3000 < 0.33
    assert [*range(200)] == after
    assert not hold.ended_early
    assert [] == rules_of(engine, sink)


def test_some_packets_are_overtaken_and_none_is_lost(
    engine: DockerRuntime, start: Starter, tmp_path: Path
) -> None:
    sink, broker = start("sink"), start("broker")
    fault = ReorderPackets(sink, (broker,), percent=30, milliseconds=30)

    with held(fault, 60.0, holding_on(System(engine), tmp_path)) as hold:
        came = _came(engine, sink, broker, 3000)

    newest = [max(came[: index + 1]) for index in range(len(came))]
    late = sum(one < top for one, top in zip(came, newest, strict=True))
    assert [*range(3000)] == sorted(came)
    assert 0.25 < late / 3000 < 0.35
    assert not hold.ended_early
    assert [] == rules_of(engine, sink)


def test_a_stream_is_no_faster_than_asked_and_arrives_whole(
    engine: DockerRuntime, start: Starter, tmp_path: Path
) -> None:
    sink, broker = start("sink"), start("broker")
    fault = LimitBandwidth(sink, (broker,), kbit_per_second=800)
    where = address_of(engine, broker)

    with _running(engine, broker, SERVE):
        with held(fault, 60.0, holding_on(System(engine), tmp_path)) as hold:
            during = float(
                inside(engine, sink, sys.executable, "-c", STREAM, where, "200000").stdout
            )
        after = float(inside(engine, sink, sys.executable, "-c", STREAM, where, "200000").stdout)

    assert 80_000 < during < 110_000
    assert after > 1e6
    assert hold.witness["injected"]["bytes_per_second"]["broker"] < 125_000
    assert [] == rules_of(engine, sink)


def test_a_delay_is_no_limit_of_bandwidth(
    engine: DockerRuntime, start: Starter, tmp_path: Path
) -> None:
    """Packets that wait in a queue of the kernel count as unsent; two of them stop a connection."""
    sink, broker = start("sink"), start("broker")
    where = address_of(engine, broker)
    fault = DelayPackets(sink, (broker,), milliseconds=100)

    with _running(engine, broker, SERVE), held(fault, 60.0, holding_on(System(engine), tmp_path)):
        said = inside(engine, sink, sys.executable, "-c", STREAM, where, "3000000").stdout

    assert float(said) > 1e6


def test_all_that_queue_and_a_partition_of_another_pair_are_held_together(
    engine: DockerRuntime, start: Starter, tmp_path: Path
) -> None:
    sink, broker, store = start("sink"), start("broker"), start("store")
    pair = (sink, (broker,))
    faults = (
        LimitBandwidth(*pair, kbit_per_second=400),
        DelayPackets(*pair, milliseconds=50),
        DuplicatePackets(*pair, percent=50),
        ReorderPackets(*pair, percent=30, milliseconds=20),
        LosePackets(*pair, percent=20),
        Partition(sink, (store,)),
    )
    system = System(engine)
    ready = [one.prepare(system) for one in faults]
    seen: dict[str, Any] = {}
    holding = holding_on(system, tmp_path)
    try:
        for one in ready:
            one.inject(system, holding.clock.now())
        for one in ready:
            wait_until(_struck(one, system), f"{one.kind} strikes")
        ready[0].heal(system)
        for one in ready[1:]:
            wait_until(_struck(one, system), f"{one.kind} goes on")
            seen[one.kind] = one.observe(system).seen
    finally:
        for one in ready:
            one.heal(system)

    assert not any(one.observe(system).active for one in ready)
    assert [] == rules_of(engine, sink), seen


def _struck(fault: Fault, system: System) -> Callable[[], bool]:
    return lambda: fault.observe(system).struck


class _Elsewhere(BlackHole):
    """Drops what nobody says."""

    def rules_about(self, peer: str) -> Iterator[str]:
        yield f"-d {peer} -p udp --dport 1 -j DROP"


class _Idle(ResetConnections):
    """Resets connections to somebody who is not there."""

    def meanwhile(self, at: Any) -> tuple[str, ...]:
        return (*super().meanwhile(at)[:-1], "192.0.2.1")


class _Once(DuplicatePackets):
    """Its helper lets everything pass."""

    @property
    def asked(self) -> dict[str, float]:
        return {}


@pytest.mark.parametrize("kind", [_Elsewhere, _Idle, _Once])
def test_what_does_nothing_is_no_fault(
    kind: type[BlackHole], engine: DockerRuntime, start: Starter, tmp_path: Path
) -> None:
    sink, broker = start("sink"), start("broker")

    with (
        pytest.raises(FaultNotInjected),
        held(kind(sink, (broker,)), 20.0, holding_on(System(engine), tmp_path)),
    ):
        pytest.fail("the body ran without a witness")

    assert [] == rules_of(engine, sink)


def test_names_that_the_engine_does_not_resolve_cannot_fail(
    engine: DockerRuntime, start: Starter, tmp_path: Path
) -> None:
    sink = start("sink")
    inside(engine, sink, "iptables", "-A", "OUTPUT", "-d", "127.0.0.11", "-j", "DROP")

    with (
        pytest.raises(TargetNotReady, match="before anything was done"),
        held(FailNames(sink), 20.0, holding_on(System(engine), tmp_path)),
    ):
        pytest.fail("the body ran without a witness")

    assert [] == rules_of(engine, sink)
