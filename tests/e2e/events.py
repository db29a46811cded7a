"""The engine's own account of what happened to containers, as it happens."""

import json
import subprocess
import tempfile
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Final, Self

_END_SECONDS: Final = 5.0


@dataclass(frozen=True)
class Event:
    """
    One event of a container.

    Attributes:
        action: ``start``, ``kill``, ``die``, ``healthy``, ...
        at: Seconds since 1970, by the engine's clock.
        signal: Of a ``kill``.
        exit_code: Of a ``die``.
    """

    service: str
    action: str
    at: float
    signal: int | None = None
    exit_code: int | None = None


class EngineEvents:
    """Listens while the block runs; all that was *seen* can be read afterwards."""

    def __init__(self, engine: str, project: str) -> None:
        """Listen to the containers of *project*."""
        self.seen: list[Event] = []
        self._project = f"label=com.docker.compose.project={project}"
        self._engine = engine

    def __enter__(self) -> Self:
        """Begin to listen."""
        command = ("docker", "--host", self._engine, "events", "--format", "{{json .}}")
        kinds = ("--filter", "type=container", "--filter", self._project)
        # A file, for a pipe that nobody reads is full after a few health checks.
        self._heard = tempfile.TemporaryFile("w+", encoding="utf-8")
        self._listener = subprocess.Popen([*command, *kinds], stdout=self._heard)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Stop, and read what was heard."""
        self._listener.terminate()
        self._listener.wait(_END_SECONDS)
        with self._heard:
            self._heard.seek(0)
            self.seen = [_event(json.loads(line)) for line in self._heard]


def _event(said: dict[str, Any]) -> Event:
    about = said["Actor"]["Attributes"]
    return Event(
        service=about.get("com.docker.compose.service", ""),
        action=said["Action"].removeprefix("health_status: "),
        at=said["timeNano"] / 1e9,
        signal=int(about["signal"]) if "signal" in about else None,
        exit_code=int(about["exitCode"]) if "exitCode" in about else None,
    )
