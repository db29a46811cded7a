"""
What packet faults really do, beside what was asked: ``python benchmarks/network.py``.

On an idle machine, as root on the engine's host. Two tiny containers on the engine's bridge; a
process in the namespace of the one sends `PROBES` datagrams to the other, or knocks at a port that
nobody listens on and takes the time to the refusal. Nothing of k2chaos measures here. Prints a
table; the aim is 10 % or 2 ms, whichever is larger.
"""

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from k2chaos.system.engine import DockerRuntime, connect
from k2chaos.system.faults import System
from k2chaos.system.faults.held import held
from k2chaos.system.faults.network.delay import DelayPackets
from k2chaos.system.faults.network.lossy import LosePackets
from k2chaos.system.runtime import Container
from tests.contract.containers import containers
from tests.contract.holding import holding_on

PROBES = 20_000
KNOCKS = 300
PROJECT = "k2chaos-bench-network"
SERVICES = ("target", "peer")
PERCENTS = (1.0, 5.0, 20.0, 50.0)
DELAYS = ((10.0, 0.0), (50.0, 0.0), (100.0, 0.0), (100.0, 40.0), (500.0, 0.0))
RECEIVE = """
import socket
one = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
one.setsockopt(socket.SOL_SOCKET, 33, 1 << 26)  # SO_RCVBUFFORCE
one.bind(("0.0.0.0", 9009)); one.settimeout(2.0); print("ready", flush=True)
count = 0
try:
    while True:
        count += one.recv(100) == b"probe"
except TimeoutError:
    print(count)
"""
SEND = """
import socket, sys, time
one = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
for number in range(int(sys.argv[2])):
    one.sendto(b"probe", (sys.argv[1], 9009))
    if number % 50 == 0:
        time.sleep(0.005)
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
    with (
        containers(runtime.engine, PROJECT, SERVICES, network="bridge"),
        tempfile.TemporaryDirectory() as folder,
    ):
        holding = holding_on(System(runtime), Path(folder))
        drawn.add_row("none", "0 %", f"{_lost(runtime, target, peer):.2f} %", "", f"{PROBES}")
        plain = _round_trip_ms(runtime, target, peer)
        drawn.add_row("none", "", f"{plain:.2f} ms", "", f"{KNOCKS}")
        for percent in PERCENTS:
            with held(LosePackets(target, (peer,), percent=percent), 120.0, holding):
                lost = _lost(runtime, target, peer)
            off = f"{(lost / percent - 1) * 100:+.1f} %"
            drawn.add_row("lose-packets", f"{percent:g} %", f"{lost:.2f} %", off, f"{PROBES}")
        for asked, jitter in DELAYS:
            fault = DelayPackets(target, (peer,), milliseconds=asked, jitter_milliseconds=jitter)
            with held(fault, 600.0, holding):
                took = _round_trip_ms(runtime, target, peer) - plain
            named = f"{asked:g} ms" + (f" ± {jitter:g}" if jitter else "")
            drawn.add_row(
                "delay-packets", named, f"{took:.2f} ms", f"{took - asked:+.2f} ms", f"{KNOCKS}"
            )
    Console().print(drawn)


def _lost(runtime: DockerRuntime, target: Container, peer: Container) -> float:
    """Percent of the datagrams from *peer* that did not arrive at *target*."""
    receiver = _python(runtime, target, RECEIVE)
    assert receiver.stdout is not None
    receiver.stdout.readline()
    _python(runtime, peer, SEND, _address(runtime, target), str(PROBES)).communicate()
    return 100 * (1 - int(receiver.communicate()[0]) / PROBES)


def _round_trip_ms(runtime: DockerRuntime, target: Container, peer: Container) -> float:
    """The median of what *target* takes to answer *peer*."""
    knocking = _python(runtime, peer, KNOCK, _address(runtime, target), str(KNOCKS))
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
