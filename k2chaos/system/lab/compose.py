"""
Docker Compose, as a command: the plugin of the docker CLI, else the program of its own.

It starts containers in the order that the Compose file declares; what is shown meanwhile and
what counts as up is decided from the engine, not from what this command prints.
"""

import os
import shutil
import signal
import subprocess
import threading
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from k2chaos.system.lab.clone import PROJECT, Stack
from k2chaos.system.lab.env_file import KEYS, read_env
from k2chaos.system.lab.process import run, stream

_CANDIDATES: Final = (("docker", "compose"), ("docker-compose",))
_TAIL_LINES: Final = 15
_STOP_SECONDS: Final = 10


def find_compose() -> tuple[str, ...] | None:
    """Return the Compose command of this host, if it has one."""
    for command in _CANDIDATES:
        if shutil.which(command[0]) is None:
            continue
        answer = subprocess.run([*command, "version"], capture_output=True, check=False)
        if answer.returncode == 0:
            return command
    return None


def environment(
    stack: Stack,
    tags: Mapping[str, str],
    address: str,
    cores: int,
    environ: Mapping[str, str] = os.environ,
) -> dict[str, str]:
    """
    Return the environment that Compose runs in.

    What ``stack/.env`` says is taken from there and nowhere else, and no setting of somebody
    else's Compose project leaks in. Without the file (``down`` needs none) the secrets are empty
    words, for Compose wants each to be set.
    """
    ours = {*read_env(stack.env_file), *KEYS}
    kept = {k: v for k, v in environ.items() if k not in ours and not k.startswith("COMPOSE_")}
    unset = {key: "unset" for key in KEYS if not read_env(stack.env_file).get(key)}
    images = {f"K2LAB_IMAGE_{name.upper()}": tag for name, tag in tags.items()}
    # The engine refuses a container more cores than the machine has.
    cpus = f"{min(2, max(1, cores))}.0"
    # Compose 1.29 is a Python program; what it prints is read while it runs.
    own = {"K2LAB_BROKER_CPUS": cpus, "DOCKER_HOST": address, "PYTHONUNBUFFERED": "1"}
    # Compose 1.29 lets its file know the project by this variable only.
    own["COMPOSE_PROJECT_NAME"] = PROJECT
    return {**kept, **unset, **images, **own}


@dataclass(frozen=True, slots=True)
class Compose:
    """
    The Compose command for the lab's project.

    Attributes:
        command: As `find_compose` found it.
        stack: Where its file lies.
        environ: As `environment` made it.
    """

    command: tuple[str, ...]
    stack: Stack
    environ: Mapping[str, str]

    def run(self, watch: Callable[[str], None], *arguments: str) -> None:
        """
        Run it to its end and hand every line it prints to *watch*.

        Raises:
            LabError: It failed; carries its last lines.
        """
        run(self._line(*arguments), watch, self.environ)

    def stream(self, watch: Callable[[str], None], *arguments: str) -> int:
        """Run it like `run`, and return its exit code."""
        return stream(self._line(*arguments), watch, self.environ)

    def start(self, *arguments: str) -> "ComposeRun":
        """Run it in the background."""
        return ComposeRun(self._line(*arguments), self.environ)

    def _line(self, *arguments: str) -> list[str]:
        return [
            *self.command, "--ansi", "never", "-p", PROJECT,
            "-f", str(self.stack.compose_file), *arguments,
        ]  # fmt: skip


class ComposeRun:
    """A Compose command under way, its last lines kept."""

    def __init__(self, command: list[str], environ: Mapping[str, str]) -> None:
        self._tail: deque[str] = deque(maxlen=_TAIL_LINES)
        self._process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            text=True, errors="replace", env=dict(environ), start_new_session=True,
        )  # fmt: skip
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def poll(self) -> int | None:
        """Return its exit code, once it has one."""
        return self._process.poll()

    def said(self) -> str:
        """Return its last lines."""
        self._reader.join(timeout=1.0)
        return "\n".join(self._tail)

    def stop(self) -> None:
        """End it, gently first; containers it has started stay."""
        if self._process.poll() is not None:
            return
        self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _read(self) -> None:
        assert self._process.stdout is not None, "piped"
        for line in self._process.stdout:
            if line.strip():
                self._tail.append(line.rstrip())
