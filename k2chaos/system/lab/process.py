"""Running a command of the host whose output somebody watches."""

import os
import re
import subprocess
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from k2chaos.errors import LabError

_TAIL_LINES: Final = 25
_CONTROL: Final = re.compile(r"\x1b\[[0-9;]*[A-Za-z]|[\x00-\x08\x0b-\x1f\x7f]")


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

    def remember(line: str) -> None:
        tail.append(line)
        watch(line)

    code = stream(command, remember, environ)
    if code != 0:
        head = f"{' '.join(command)} failed (exit code {code}):"
        raise LabError("\n".join([head, *tail]))


def stream(
    command: Sequence[str], watch: Callable[[str], None], environ: Mapping[str, str] | None = None
) -> int:
    """
    Run *command* like `run`, and return its exit code.

    Raises:
        LabError: It cannot be started.
    """
    try:
        with subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            text=True, errors="replace", env=dict(os.environ if environ is None else environ),
        ) as process:  # fmt: skip
            assert process.stdout is not None, "piped"
            for line in map(plain, process.stdout):
                if line.strip():
                    watch(line.rstrip())
    except OSError as error:
        message = f"cannot run {' '.join(command)}: {error}"
        raise LabError(message) from error
    return process.returncode


def plain(text: str) -> str:
    """Return *text* without colours and control characters; line ends and tabs stay."""
    return _CONTROL.sub("", text)
