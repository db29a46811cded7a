"""
Starting the services and waiting until all of them are healthy, or until one is known not to be.

Compose starts; the engine is asked four times a second what has come of it. When Compose gives
up although nothing is lost yet (a dependency died once and is being started again by its restart
policy), it is run again until the deadline.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from rich.console import Console

from k2chaos.errors import LabError
from k2chaos.system.lab.clone import PROJECT
from k2chaos.system.lab.compose import Compose, ComposeRun
from k2chaos.system.lab.compose_file import ServiceSpec
from k2chaos.system.lab.docker_api import LabEngine
from k2chaos.system.lab.progress import say
from k2chaos.system.lab.show import Board, board
from k2chaos.system.lab.standing import ServiceStanding, Standing, judge

DEADLINE_SECONDS: Final = 240.0
_POLL_SECONDS: Final = 0.25
_TAIL_LINES: Final = 20
_COMPOSE_ATTEMPTS: Final = 4
_REST_SECONDS: Final = 6.0
_UP: Final = ("up", "-d", "--remove-orphans")


@dataclass(slots=True)
class Starting:
    """
    The lab on its way up.

    Attributes:
        engine: Asked for the containers.
        compose: Starts them.
        services: As declared.
        console: Where progress is shown.
    """

    engine: LabEngine
    compose: Compose
    services: Sequence[ServiceSpec]
    console: Console
    _restarts_before: dict[str, int] = field(default_factory=dict)
    _attempts: int = 1
    _next_attempt: float | None = None

    def wait(self, seconds: float = DEADLINE_SECONDS) -> None:
        """
        Start everything and return when everything is healthy.

        Raises:
            LabError: A service did not come up; carries the end of its log.
        """
        self._restarts_before = {c.id: c.restarts for c in self.engine.containers(PROJECT)}
        run = self.compose.start(*_UP)
        try:
            with board(self.console) as shown:
                self._watch(run, shown, seconds)
        finally:
            run.stop()

    def _watch(self, run: ComposeRun, shown: Board, seconds: float) -> None:
        begun = time.monotonic()
        while True:
            ended = run.poll()
            standings = self._standings(compose_ended=ended == 0)
            passed = time.monotonic() - begun
            shown.show(standings, passed)
            if ended == 0 and all(one.standing is Standing.UP for one in standings):
                return
            failed = [one for one in standings if one.standing is Standing.FAILED]
            if failed or passed > seconds:
                late = [one for one in standings if one.standing is not Standing.UP]
                raise LabError(self._report(failed or late, run, seconds))
            if ended and self._may_try_again():
                run = self._again(run)
            time.sleep(_POLL_SECONDS)

    def _standings(self, *, compose_ended: bool) -> tuple[ServiceStanding, ...]:
        containers = self.engine.containers(PROJECT)
        return judge(self.services, containers, self._restarts_before, compose_ended=compose_ended)

    def _may_try_again(self) -> bool:
        """Whether Compose has been at rest long enough for a sick dependency to recover."""
        if self._next_attempt is None:
            self._next_attempt = time.monotonic() + _REST_SECONDS
        return time.monotonic() >= self._next_attempt

    def _again(self, run: ComposeRun) -> ComposeRun:
        if self._attempts == _COMPOSE_ATTEMPTS:
            message = f"{' '.join(self.compose.command)} failed:\n{run.said()}"
            raise LabError(message)
        self._attempts += 1
        self._next_attempt = None
        if self._attempts == _COMPOSE_ATTEMPTS:
            # Containers of another version of Compose or of this lab may stand in its way;
            # what they hold that matters is in named volumes.
            say(self.console, "taking the leftover containers away and starting once more")
            for container in self.engine.containers(PROJECT):
                self.engine.remove(container)
        return self.compose.start(*_UP)

    def _report(self, guilty: Sequence[ServiceStanding], run: ComposeRun, seconds: float) -> str:
        # Who only waits for another service is not the one to read about.
        first = [one for one in guilty if not one.why.startswith("waits for")] or list(guilty)
        head = ", ".join(f"{one.service} ({one.why})" for one in first)
        lines = [f"the lab did not come up within {seconds:.0f} s: {head}"]
        if any(one.standing is Standing.FAILED for one in guilty):
            lines = [f"the lab did not come up: {head}"]
        by_service = {c.service: c for c in self.engine.containers(PROJECT)}
        for one in first:
            if one.service in by_service:
                tail = self.engine.log_tail(by_service[one.service], _TAIL_LINES)
                lines += ["", f"--- the end of the log of {one.service} ---", tail]
        if run.poll():
            lines += ["", "--- Compose ---", run.said()]
        return "\n".join(lines)
