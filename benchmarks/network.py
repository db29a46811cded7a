"""
What packet faults really do, beside what was asked: ``python benchmarks/network.py``.

On an idle machine, as root on the engine's host. Two tiny containers in a network; processes in the
namespaces of both send `PROBES` numbered datagrams, knock at a port that nobody listens on and take
the time to the refusal, or fill a TCP stream. Nothing of k2chaos measures here. Prints a table; the
aim is 10 % or 2 ms, whichever is larger.
"""

import itertools
import json
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from k2chaos.system.engine import DockerRuntime, connect
from k2chaos.system.faults import Fault, Hold, System
from k2chaos.system.faults.held import held
from k2chaos.system.faults.network.bandwidth import LimitBandwidth
from k2chaos.system.faults.network.delay import DelayPackets, ReorderPackets
from k2chaos.system.faults.network.duplicate import DuplicatePackets
from k2chaos.system.faults.network.lossy import LosePackets
from k2chaos.system.runtime import Container
from tests.contract.containers import containers, network, throwaway_project
from tests.contract.holding import holding_on

PROBES = 20_000
KNOCKS = 300
GAP_SECONDS = 0.0005
PROJECT = throwaway_project()
SERVICES = ("target", "peer")
PERCENTS = (1.0, 5.0, 20.0, 50.0)
SHARES = (5.0, 25.0, 50.0)
HELD_BACK_MS = 20.0
DELAYS = ((10.0, 0.0), (50.0, 0.0), (100.0, 0.0), (100.0, 40.0), (500.0, 0.0))
RATES_KBIT = (64.0, 1000.0, 8000.0, 40_000.0)
STREAM_SECONDS = 5.0
PACKET_PER_PAYLOAD = 1500 / 1448
"""Bytes of a full IP packet to what TCP (with timestamps) has in it."""
RECEIVE = """
import json, socket
one = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
one.setsockopt(socket.SOL_SOCKET, 33, 1 << 26)  # SO_RCVBUFFORCE
one.bind(("0.0.0.0", 9009)); one.settimeout(2.0); print("ready", flush=True)
came = []
try:
    while True:
        came.append(int(one.recv(100)))
except TimeoutError:
    print(json.dumps(came))
"""
SEND = """
import socket, sys, time
one = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
for number in range(int(sys.argv[2])):
    one.sendto(b"%d" % number, (sys.argv[1], 9009))
    time.sleep(float(sys.argv[3]))
"""
DRAIN = """
import socket, sys, time
with socket.create_server(("", 9010)) as listening:
    print("ready", flush=True)
    one, _ = listening.accept()
    began = None
    while time.monotonic() < (began or time.monotonic()) + float(sys.argv[1]) + 1:
        count = len(one.recv(1 << 16))
        began = began or time.monotonic()
        if time.monotonic() < began + 1:
            total, since = 0, time.monotonic()  # the first second fills the queue
        else:
            total += count
    print(total / (time.monotonic() - since))
"""
FILL = """
import socket, sys
one = socket.create_connection((sys.argv[1], 9010))
try:
    while True:
        one.sendall(b"x" * (1 << 16))
except OSError:
    pass
"""
KNOCK = """
import json, socket, sys, time
took = []
for _ in range(int(sys.argv[2])):
    began = time.monotonic()
    try:
        socket.create_connection((sys.argv[1], 9), 5.0)
    except ConnectionRefusedError:
        took.append((time.monotonic() - began) * 1e3)
print(json.dumps(sorted(took)))
"""


def main() -> None:
    """Measure each, print them all."""
    runtime = connect()
    drawn = Table("fault", "asked", "measured", "off by", "of")
    target, peer = (Container(runtime.engine, PROJECT, service) for service in SERVICES)
    pair = Pair(runtime, target, peer)
    with (
        network(runtime.engine, PROJECT) as joined,
        containers(runtime.engine, PROJECT, SERVICES, joined),
        tempfile.TemporaryDirectory() as folder,
    ):
        holding = holding_on(System(runtime), Path(folder))

        def held_with(fault: Fault) -> AbstractContextManager[Hold]:
            return held(fault, 600.0, holding)

        for row in itertools.chain(
            _plain(pair),
            _losses(pair, held_with),
            _shares(pair, held_with),
            _delays(pair, held_with),
            _rates(pair, held_with),
        ):
            drawn.add_row(*row)
            print(" | ".join(row), flush=True)
    Console(width=100).print(drawn)


@dataclass(frozen=True)
class Pair:
    """The two ends."""

    runtime: DockerRuntime
    target: Container
    peer: Container


Holding = Callable[[Fault], AbstractContextManager[Hold]]
Row = tuple[str, ...]


def _plain(pair: Pair) -> Iterator[Row]:
    came = _came(pair, pair.peer, pair.target)
    yield "none", "0 %", f"{100 - len(came) / PROBES * 100:.2f} %", "", f"{PROBES} packets"
    yield "none", "", f"{_round_trip_ms(pair):.2f} ms", "", f"{KNOCKS} knocks"
    yield "none", "", f"{_kbit(pair):.0f} kbit/s", "", f"{STREAM_SECONDS:g} s"


def _losses(pair: Pair, holding: Holding) -> Iterator[Row]:
    for percent in PERCENTS:
        with holding(LosePackets(pair.target, (pair.peer,), percent=percent)):
            came = _came(pair, pair.peer, pair.target)
        yield _share("lose-packets", percent, 1 - len(came) / PROBES)


def _shares(pair: Pair, holding: Holding) -> Iterator[Row]:
    ends = (pair.target, (pair.peer,))
    for percent in SHARES:
        with holding(DuplicatePackets(*ends, percent=percent)):
            came = _came(pair, pair.target, pair.peer)
        yield _share("duplicate-packets", percent, (len(came) - len({*came})) / PROBES)
    for percent in SHARES:
        with holding(ReorderPackets(*ends, percent=percent, milliseconds=HELD_BACK_MS)):
            came = _came(pair, pair.target, pair.peer)
        newest = itertools.accumulate(came, max)
        late = sum(one < top for one, top in zip(came, newest, strict=True))
        yield _share("reorder-packets", percent, late / PROBES)


def _delays(pair: Pair, holding: Holding) -> Iterator[Row]:
    plain = _round_trip_ms(pair)
    for asked, jitter in DELAYS:
        fault = DelayPackets(
            pair.target, (pair.peer,), milliseconds=asked, jitter_milliseconds=jitter
        )
        with holding(fault):
            took = _round_trip_ms(pair) - plain
        named = f"{asked:g} ms" + (f" ± {jitter:g}" if jitter else "")
        yield (
            "delay-packets",
            named,
            f"{took:.2f} ms",
            f"{took - asked:+.2f} ms",
            f"{KNOCKS} knocks",
        )


def _rates(pair: Pair, holding: Holding) -> Iterator[Row]:
    for kbit in RATES_KBIT:
        with holding(LimitBandwidth(pair.target, (pair.peer,), kbit_per_second=kbit)):
            rate = _kbit(pair)
        off = f"{(rate / kbit - 1) * 100:+.1f} %"
        yield "limit-bandwidth", f"{kbit:g} kbit/s", f"{rate:.1f}", off, f"{STREAM_SECONDS:g} s"


def _share(kind: str, percent: float, measured: float) -> Row:
    off = f"{(measured * 100 / percent - 1) * 100:+.1f} %"
    return kind, f"{percent:g} %", f"{measured * 100:.2f} %", off, f"{PROBES} packets"


def _came(pair: Pair, sender: Container, receiver: Container) -> list[int]:
    """The numbers of the datagrams that arrived, in their order."""
    receiving = _python(pair.runtime, receiver, RECEIVE)
    assert receiving.stdout is not None
    receiving.stdout.readline()
    address = _address(pair.runtime, receiver)
    _python(pair.runtime, sender, SEND, address, str(PROBES), str(GAP_SECONDS)).communicate()
    came: list[int] = json.loads(receiving.communicate()[0])
    return came


def _kbit(pair: Pair) -> float:
    """How fast a TCP stream from target to peer is, in kbit of IP packets a second."""
    draining = _python(pair.runtime, pair.peer, DRAIN, str(STREAM_SECONDS))
    assert draining.stdout is not None
    draining.stdout.readline()
    filling = _python(pair.runtime, pair.target, FILL, _address(pair.runtime, pair.peer))
    bytes_per_second = float(draining.communicate()[0])
    filling.communicate()
    return bytes_per_second * PACKET_PER_PAYLOAD * 8 / 1000


def _round_trip_ms(pair: Pair) -> float:
    """The median of what *target* takes to answer *peer*."""
    address = _address(pair.runtime, pair.target)
    knocking = _python(pair.runtime, pair.peer, KNOCK, address, str(KNOCKS))
    took: list[float] = json.loads(knocking.communicate()[0])
    return took[len(took) // 2]


def _python(runtime: DockerRuntime, where: Container, *words: str) -> "subprocess.Popen[Any]":
    """Run a script in the network namespace of *where*."""
    entered = ("nsenter", "--target", str(runtime.state(where).pid), "--net")
    return subprocess.Popen(
        (*entered, sys.executable, "-c", *words), stdout=subprocess.PIPE, text=True
    )


def _address(runtime: DockerRuntime, of: Container) -> str:
    return next(iter(runtime.addresses(of).values()))


if __name__ == "__main__":
    main()
