"""The run's side of the observer: starts it, ends it, and says so when it fails."""

import contextlib
import logging
import subprocess
import sys
import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Final

from k2chaos.evidence.folder import RunFolder
from k2chaos.system.observer.process import FAILED, READY

logger = logging.getLogger("chaostoolkit")

START_SECONDS: Final = 60.0
"""Until it observes: it imports every client, and looks at everything once."""
END_SECONDS: Final = 15.0
_FAILED_EVENT: Final = "observer-failed"


@dataclass(slots=True)
class Observer:
    """
    The observer of one run.

    Attributes:
        folder: Where its samples go, and the event of its failure.
        pipeline_file: What it is to observe.
        engine: Address of the engine that runs it.
    """

    folder: RunFolder
    pipeline_file: Path
    engine: str
    _process: "subprocess.Popen[str] | None" = None
    _listener: threading.Thread | None = None
    _has_begun: threading.Event = field(default_factory=threading.Event)
    _is_over: bool = False
    _failure: str = ""
    _untold: str = ""

    @property
    def pid(self) -> int | None:
        """Its process, until it was told to end."""
        return self._process.pid if self._process is not None else None

    def begin(self) -> None:
        """See `Observing`."""
        try:
            process = self._process = self._start()
        except OSError as error:
            self._fail(f"it cannot be started: {error}")
            return
        assert process.stdout is not None, "piped"
        heard = (process, process.stdout)
        self._listener = threading.Thread(target=self._listen, args=heard, daemon=True)
        self._listener.start()
        if not self._has_begun.wait(START_SECONDS):
            self._failure = f"it did not begin within {START_SECONDS:g} s"
            process.kill()

    def end(self) -> None:
        """See `Observing`."""
        self._is_over = True
        process, self._process = self._process, None
        if process is not None and self._listener is not None:
            assert process.stdin is not None, "piped"
            with contextlib.suppress(OSError):
                process.stdin.close()
            self._listener.join(END_SECONDS)
            if self._listener.is_alive():
                self._failure = f"it did not end within {END_SECONDS:g} s"
                process.kill()
                self._listener.join(END_SECONDS)
            with contextlib.suppress(OSError):
                if not self._log.stat().st_size:
                    self._log.unlink()
        self._tell()

    @property
    def _log(self) -> Path:
        return self.folder.path / "observer.log"

    def _start(self) -> "subprocess.Popen[str]":
        with self._log.open("ab") as log:
            return subprocess.Popen(
                [sys.executable, "-m", "k2chaos.system.observer.process",
                 str(self.folder.path.absolute()), str(self.pipeline_file.absolute()),
                 self.engine],
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True,
                start_new_session=True,
            )  # fmt: skip

    def _listen(self, process: "subprocess.Popen[str]", output: IO[str]) -> None:
        """Hear what it says until it is gone."""
        with output:
            for line in output:
                word, _, rest = line.strip().partition(" ")
                if word == READY:
                    self._has_begun.set()
                elif word == FAILED:
                    self._failure = self._failure or rest
        code = process.wait()
        if code or not self._is_over:
            self._fail(self._failure or f"its process ended with {code}; see {self._log.name}")
        self._has_begun.set()

    def _fail(self, reason: str) -> None:
        logger.warning("the observer failed, so the run cannot be judged: %s", reason)
        self._untold = reason
        self._tell()

    def _tell(self) -> None:
        """Put it into the evidence; a disk that is full now may have room later."""
        if not self._untold:
            return
        try:
            self.folder.append_event(_FAILED_EVENT, reason=self._untold)
        except OSError as error:
            logger.warning("that the observer failed cannot be written: %s", error)
        else:
            self._untold = ""
