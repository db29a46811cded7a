"""The engine's own account of what happened to containers, as it happens."""

import json
import subprocess
import tempfile
from types import TracebackType
from typing import Any, Final, Self

_END_SECONDS: Final = 5.0


class EngineEvents:
    """
    Listens while the block runs.

    Attributes:
        seen: ``service``, ``action`` (``start``, ``die``, ``healthy``, ...) and ``at`` (seconds).
    """

    def __init__(self, engine: str, project: str) -> None:
        """Listen to the containers of *project*."""
        self.seen: list[dict[str, Any]] = []
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


def _event(said: dict[str, Any]) -> dict[str, Any]:
    action = said["Action"].removeprefix("health_status: ")
    service = said["Actor"]["Attributes"].get("com.docker.compose.service", "")
    return {"service": service, "action": action, "at": said["timeNano"] / 1e9}
