"""The run's side of the guardian: starts one, tells it of every fault, replaces one that died."""

import contextlib
import logging
import queue
import subprocess
import sys
import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Final

from k2chaos.errors import RunError
from k2chaos.system.guardian.process import LOOK, READY, WATCHING

logger = logging.getLogger("chaostoolkit")

START_SECONDS: Final = 20.0
"""Until a guardian is ready: it imports the engine's client and connects."""
ANSWER_SECONDS: Final = 5.0
_ATTEMPTS: Final = 3
_FAREWELL_SECONDS: Final = 2.0


@dataclass(slots=True)
class Guardian:
    """
    One run's guardian; nothing is started before the first fault.

    Attributes:
        ledger: The run's ledger in the state directory, which outlives the run.
        engine: Address of the engine.
        log: Where the guardian says what it healed.
        project: Whose engine-wide lock it lets go when all is healed.
    """

    ledger: Path
    engine: str
    log: Path
    project: str = ""
    _process: "subprocess.Popen[str] | None" = None
    _said: "queue.Queue[str]" = field(default_factory=queue.Queue)
    _lock: threading.RLock = field(default_factory=threading.RLock)
    _listener: threading.Thread | None = None
    _is_over: bool = False

    @property
    def pid(self) -> int | None:
        """The guardian's process, where there is one that lives."""
        process = self._process
        return process.pid if process is not None and process.poll() is None else None

    def watch_over(self) -> None:
        """
        Return when a guardian has read the ledger as it is now.

        Raises:
            RunError: None could be started, or none answers.
        """
        with self._lock:
            for _ in range(_ATTEMPTS):
                if self.pid is None:
                    self._start()
                if self._tell():
                    return
                self._end()
        message = (
            f"the guardian does not answer, so nothing is injected: who would heal if this process "
            f"died? Its words are in {self.log}"
        )
        raise RunError(message)

    def close(self) -> None:
        """Let it go; with something still open it goes on healing, and nobody waits for it."""
        with self._lock:
            self._is_over = True
            process = self._process
        if process is None or process.stdin is None:
            return
        with contextlib.suppress(OSError):
            process.stdin.close()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(_FAREWELL_SECONDS)
        if self._listener is not None:
            self._listener.join(_FAREWELL_SECONDS)
        if process.poll() == 0 and not self.log.stat().st_size:
            self.log.unlink()

    def _start(self) -> None:
        self._said = queue.Queue()
        with self.log.open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "k2chaos.system.guardian.process",
                 str(self.ledger.absolute()), self.engine, self.project],
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True,
                start_new_session=True,
            )  # fmt: skip
        assert process.stdout is not None, "piped"
        self._process = process
        heard = (process, process.stdout, self._said)
        self._listener = threading.Thread(target=self._listen, args=heard, daemon=True)
        self._listener.start()
        if self._hear(START_SECONDS) != READY:
            self._end()
            message = f"no guardian could be started, so nothing is injected; see {self.log}"
            raise RunError(message)

    def _listen(
        self, process: "subprocess.Popen[str]", output: IO[str], said: "queue.Queue[str]"
    ) -> None:
        """Hand on what it says; when it is dead before its time, have another one."""
        with output:
            for line in output:
                said.put(line.strip())
        said.put("")
        process.wait()
        with self._lock:
            if self._is_over or process is not self._process:
                return
            logger.warning("the guardian died (%s); starting another", process.returncode)
            with contextlib.suppress(RunError):
                self.watch_over()

    def _tell(self) -> bool:
        """Tell it to look; whether it has."""
        process = self._process
        assert process is not None
        assert process.stdin is not None
        try:
            process.stdin.write(f"{LOOK}\n")
            process.stdin.flush()
        except OSError:
            return False
        return self._hear(ANSWER_SECONDS).startswith(WATCHING)

    def _hear(self, seconds: float) -> str:
        try:
            return self._said.get(timeout=seconds)
        except queue.Empty:
            return ""

    def _end(self) -> None:
        """Give one up that does not answer."""
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            if process.stdin is not None:
                with contextlib.suppress(OSError):
                    process.stdin.close()
