"""Running a command of the host whose output somebody watches."""

import os
import subprocess
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from k2chaos.errors import LabError

_TAIL_LINES: Final = 25


def run(
    command: Sequence[str], watch: Callable[[str], None], environ: Mapping[str, str] | None = None
) -> None:
    """
    Run *command* to its end and hand every line it prints to *watch*.

    Args:
        command: Program and arguments.
        watch: Called with each line of standard output and standard error.
        environ: Its whole environment; ours by default.

    Raises:
        LabError: It cannot be started, or failed; carries its last lines.
    """
    tail: deque[str] = deque(maxlen=_TAIL_LINES)
    shown = " ".join(command)
    try:
        with subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            text=True, errors="replace", env=dict(os.environ if environ is None else environ),
        ) as process:  # fmt: skip
            assert process.stdout is not None, "piped"
            for line in process.stdout:
                if line.strip():
                    tail.append(line.rstrip())
                    watch(line.strip())
    except OSError as error:
        message = f"cannot run {shown}: {error}"
        raise LabError(message) from error
    if process.returncode != 0:
        raise LabError("\n".join([f"{shown} failed (exit code {process.returncode}):", *tail]))
