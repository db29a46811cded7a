"""
The lab as the end-to-end tests see it: stages, services, the market's pace, and outages.

Rules: what a test asserts on are records, answers and states that were really read; waiting is for
a condition, with a deadline, and says what it last saw; every outage goes through k2chaos, which
writes it down before it breaks anything and puts it back whatever happens.
"""

import contextlib
import json
import subprocess
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, TypeVar

import httpx
from tenacity import Retrying, retry_if_exception_type, stop_after_delay, wait_fixed

from k2chaos.clock import SystemClock
from k2chaos.errors import StageUnavailable
from k2chaos.evidence.baseline import Baseline
from k2chaos.evidence.records import Window
from k2chaos.judge.audit import audit
from k2chaos.pipeline import Pipeline
from k2chaos.pipeline_file import PipelineFile
from k2chaos.system.beginning import Request, begin_run
from k2chaos.system.engine import DockerRuntime
from k2chaos.system.faults import Fault, Hold
from k2chaos.system.interrupt import Interrupt
from k2chaos.system.runtime import Container, ContainerState, select
from k2chaos.system.services import service_states
from k2chaos.system.stages import Stages
from k2chaos.system.windows import read_window, take_baseline
from tests.e2e.breaking import Breaking
from tests.e2e.content import iceberg_table

T = TypeVar("T")

USUAL_RATE: Final = 100.0
"""Trades a second of a market that flows; between tests it stands still."""

HEALTH_PORTS: Final = {"exchange": 8900, "source": 8910, "sink": 8911, "api": 8000}
"""Where the services of ours tell how they are, on the host's loopback."""

_LOOK_SECONDS: Final = 0.1
_DRAIN_SECONDS: Final = 30.0
_EXCHANGE_SECONDS: Final = 20.0


@dataclass
class Lab:
    """
    One lab that is up.

    Attributes:
        expected_rate: What the suite has last told the market; it stands still by default.
    """

    file: PipelineFile
    stages: Stages
    runtime: DockerRuntime
    clock: SystemClock = field(default_factory=SystemClock)
    expected_rate: float = 0.0

    @property
    def pipeline(self) -> Pipeline:
        """The pipeline under test."""
        return self.file.pipeline

    # The market

    @property
    def rate(self) -> float:
        """Trades a second, over all symbols."""
        return float(self._exchange("GET", "/rate")["trades_per_second"])

    @rate.setter
    def rate(self, trades_per_second: float) -> None:
        # What was just broken may be starting still, and a rate may be set twice.
        for attempt in Retrying(
            stop=stop_after_delay(_EXCHANGE_SECONDS),
            wait=wait_fixed(0.2),
            retry=retry_if_exception_type(httpx.TransportError),
            reraise=True,
        ):
            with attempt:
                self._exchange("PUT", "/rate", {"trades_per_second": trades_per_second})

    def rate_or_none(self) -> float | None:
        """The rate, or nothing where the exchange does not answer."""
        try:
            return self.rate
        except httpx.HTTPError:
            return None

    @contextlib.contextmanager
    def trading_at(self, trades_per_second: float) -> Iterator[None]:
        """Trade at another rate while the block runs."""
        before, self.expected_rate = self.expected_rate, trades_per_second
        self.rate = trades_per_second
        try:
            yield
        finally:
            self.rate = self.expected_rate = before

    @contextlib.contextmanager
    def flowing(self, trades_per_second: float) -> Iterator[None]:
        """
        Trade at a rate while the block runs, which begins when the API shows the flow.

        Before its first trade is seen, a symbol that stood still is as stale as it stood still.
        """
        with self.trading_at(trades_per_second):
            self.await_arrival(self.emit(len(self.stages.newest_emitted())), "api")
            yield

    def emit(self, count: int, symbols: Sequence[str] = ()) -> Window:
        """Let the exchange emit exactly *count* trades now; exactly these are in the window."""
        order = {"count": count, **({"symbols": list(symbols)} if symbols else {})}
        ids = self._exchange("POST", "/trades", order)["symbols"]
        return Window(
            after={symbol: one["first_id"] - 1 for symbol, one in ids.items()},
            until={symbol: one["last_id"] for symbol, one in ids.items()},
        )

    def _exchange(self, method: str, path: str, body: object = None) -> dict[str, Any]:
        assert self.pipeline.exchange is not None, "the lab has one"
        url = f"{self.pipeline.exchange.control}{path}"
        answer = httpx.request(method, url, json=body, timeout=5.0)
        assert answer.is_success, f"{method} {url}: {answer.status_code} {answer.text}"
        found: dict[str, Any] = answer.json()
        return found

    # The records

    def baseline(self) -> Baseline:
        """What stands now; windows read later begin here."""
        return take_baseline(self.stages, self.clock)

    def await_arrival(self, window: Window, stage: str, deadline_seconds: float = 30.0) -> None:
        """Wait until *stage* shows the newest record of every symbol of *window*."""
        drained = self.stages.wait_until_drained(stage, window.until, deadline_seconds)
        assert drained, f"the {stage} does not show all of {window} after {deadline_seconds:g} s"

    def await_all(self, deadline_seconds: float = 30.0) -> None:
        """Wait until everything emitted so far can be seen at the API."""
        window = Window({}, self.stages.newest_emitted())
        self.await_arrival(window, "api", deadline_seconds)

    def audit(
        self, window: Window, baseline: Baseline, stages: Sequence[str] = ("topic", "table", "api")
    ) -> dict[str, int]:
        """
        Read every record of *window* at every stage, fail on any finding, tell the counts.

        Nothing is not proof: a stage that shows no record of a window with records fails.
        """
        assert window.expected, "the window is empty: nothing was tested"
        for stage in stages:
            # What does not come in time is missing below, and named there.
            self.stages.wait_until_drained(stage, window.until, _DRAIN_SECONDS)
        records = {one: read_window(self.stages, one, window, baseline) for one in stages}
        findings = audit(window, records)
        assert not findings, [one.to_json() for one in findings]
        counts = {stage: table.num_rows for stage, table in records.items()}
        assert counts == dict.fromkeys(stages, window.expected)
        return counts

    def newest_shown(self) -> dict[str, int]:
        """By symbol, the newest trade id that the API shows."""
        emitted = self.stages.newest_emitted()
        return {key: one.sequence for key, one in self.stages.newest("api", emitted).items()}

    def rows(self) -> int:
        """How many rows the table has, by its own account."""
        snapshot = iceberg_table(self.pipeline).current_snapshot()
        assert snapshot is not None
        assert snapshot.summary is not None
        return int(snapshot.summary["total-records"] or 0)

    # The services

    def container(self, role: str, service: str = "") -> Container:
        """The container of *role*."""
        (found,) = select(self.runtime, self.pipeline, role, service or None)
        return found

    def state(self, role: str, service: str = "") -> ContainerState:
        """What the engine says of the container of *role*."""
        return self.runtime.state(self.container(role, service))

    def states(self) -> dict[str, ContainerState]:
        """By service, what the engine says of its container."""
        found = self.runtime.containers(self.pipeline.compose.project)
        return {one.service: self.runtime.state(one) for one in found}

    def troubles(self) -> list[str]:
        """What is wrong with any service, in a few words each."""
        states = service_states(self.runtime, self.pipeline)
        return [one.trouble for one in states if one.trouble]

    def health(self, role: str) -> tuple[int, dict[str, Any]]:
        """What ``/health`` of a service of ours answers; 0 where it does not."""
        try:
            answer = httpx.get(f"http://127.0.0.1:{HEALTH_PORTS[role]}/health", timeout=3.0)
            return answer.status_code, answer.json()
        except (httpx.HTTPError, ValueError) as error:
            return 0, {"status": "unreachable", "reason": str(error)}

    def inspect(self, role: str, service: str = "") -> dict[str, Any]:
        """Everything that the engine knows of the container of *role*."""
        return dict(json.loads(self.docker("inspect", self.state(role, service).container_id))[0])

    def inside(self, role: str, *command: str, service: str = "") -> str:
        """What *command* prints inside the container of *role*; it changes nothing there."""
        return self.docker("exec", self.state(role, service).container_id, *command)

    def docker(self, *arguments: str) -> str:
        """What the docker CLI prints, for looking only."""
        command = ["docker", "--host", self.runtime.engine, *arguments]
        done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, f"{' '.join(command)}: {done.stderr}"
        return done.stdout

    def log(self, role: str, service: str = "") -> str:
        """Everything that a container has said, on both of its outputs."""
        identity = self.state(role, service).container_id
        command = ["docker", "--host", self.runtime.engine, "logs", identity]
        done = subprocess.run(
            command,
            check=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            timeout=60,
        )
        return done.stdout

    # Outages

    @contextlib.contextmanager
    def breaking(self, name: str) -> Iterator[Breaking]:
        """A run of k2chaos in which several faults can be held; its evidence is a run folder."""
        request = Request(f"e2e-{name}", claim="an outage of the end-to-end tests", experiment={})
        run = begin_run(request, self.file, self.clock, Interrupt())
        try:
            yield Breaking(run)
        finally:
            run.folder.append_event("ended")
            run.close()

    @contextlib.contextmanager
    def outage(
        self, kind: Callable[..., Fault], role: str, service: str = "", **parameters: Any
    ) -> Iterator[Hold]:
        """Hold one fault of k2chaos while the block runs."""
        with (
            self.breaking(f"{kind.__name__.lower()}-{role}") as breaking,
            breaking.hold(kind, role, service, **parameters) as hold,
        ):
            yield hold

    # Waiting

    def wait_until(
        self, look: Callable[[], T], is_met: Callable[[T], bool], what: str, deadline_seconds: float
    ) -> T:
        """Look until it is met; returns what was seen, fails with what was seen last."""
        began = self.clock.monotonic()
        while not is_met(seen := look()):
            waited = self.clock.monotonic() - began
            assert waited < deadline_seconds, f"not within {deadline_seconds:g} s: {what}; {seen}"
            self.clock.wait(_LOOK_SECONDS)
        return seen

    def await_well(self, deadline_seconds: float = 90.0) -> None:
        """Wait until every service runs and is healthy, and the API shows all that was emitted."""
        self._await_services(deadline_seconds)
        self.await_all(deadline_seconds)

    def await_healthy(self, deadline_seconds: float = 90.0) -> None:
        """Wait until every service runs and is healthy, and records have had time to arrive."""
        self._await_services(deadline_seconds)
        self.has_drained(_DRAIN_SECONDS)

    def _await_services(self, deadline_seconds: float) -> None:
        self.wait_until(
            self.troubles, lambda seen: not seen, "all services healthy", deadline_seconds
        )

    def has_drained(self, deadline_seconds: float) -> bool:
        """Whether the API shows, in time, all that was emitted; a loss is an audit's to find."""
        owed = self.stages.newest_emitted()
        return self.stages.wait_until_drained("api", owed, deadline_seconds)

    def freshness(self, stage: str = "api") -> float:
        """How stale *stage* is, in seconds; endlessly while it cannot be read."""
        try:
            return self.stages.freshness_seconds(stage)
        except StageUnavailable:
            return float("inf")
