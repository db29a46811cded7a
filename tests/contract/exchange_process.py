"""The exchange of the lab as a process of its own, with a small, quick market."""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from k2chaos.errors import StageError
from k2chaos.system.endpoints import NoEndpoints
from k2chaos.system.exchange import ExchangeClient
from k2chaos.system.kafka import TopicControl
from k2chaos.system.table_control import TableControl
from tests.contract.waiting import wait_until

SERVICES = Path(__file__).parents[2] / "stack" / "services"
SYMBOLS = ("AAAUSDT", "BBBUSDT")
RATE = 200


@dataclass(slots=True)
class Exchange:
    """
    The exchange of the lab, as a process; it is its own `Endpoints`.

    Attributes:
        process: The one that runs now.
    """

    state: Path
    feed_port: int
    control_port: int
    process: subprocess.Popen[bytes]

    @property
    def control(self) -> str:
        return f"http://127.0.0.1:{self.control_port}"

    @property
    def stream(self) -> str:
        names = "/".join(f"{symbol.lower()}@trade" for symbol in SYMBOLS)
        return f"http://127.0.0.1:{self.feed_port}/stream?streams={names}"

    def address(self, stage: str) -> str | None:
        return None

    def exchange(self) -> ExchangeClient:
        return ExchangeClient(self.control)

    def topic(self) -> TopicControl:
        return NoEndpoints().topic()

    def table(self) -> TableControl:
        return NoEndpoints().table()

    def restart(self) -> None:
        """As the engine would after a crash."""
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()
        self.process = _started(self.state, self.feed_port, self.control_port)
        wait_until(self.is_up, "the exchange answers", 60.0)

    def is_up(self) -> bool:
        try:
            self.exchange().health()
        except StageError:
            return False
        return True


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _started(state: Path, feed_port: int, control_port: int) -> subprocess.Popen[bytes]:
    environment = {
        **os.environ,
        "PYTHONPATH": str(SERVICES),
        "EXCHANGE_STATE": str(state),
        "EXCHANGE_SYMBOLS": ",".join(SYMBOLS),
        "EXCHANGE_RATE": str(RATE),
        "EXCHANGE_FEED_PORT": str(feed_port),
        "EXCHANGE_CONTROL_PORT": str(control_port),
    }
    with (state / "exchange.log").open("ab") as log:
        return subprocess.Popen([sys.executable, "-m", "exchange"], env=environment, stderr=log)


@contextmanager
def running_exchange(state: Path) -> Iterator[Exchange]:
    """An exchange that keeps its tape in *state*, until the block ends."""
    ports = _free_port(), _free_port()
    one = Exchange(state, *ports, _started(state, *ports))
    try:
        wait_until(one.is_up, "the exchange answers", 60.0)
        yield one
    finally:
        one.process.kill()
        one.process.wait()
