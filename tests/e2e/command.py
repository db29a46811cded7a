"""Our own command, as users run it."""

import subprocess
import sys
from pathlib import Path
from typing import Final

_SECONDS: Final = 600.0
_REFUSED: Final = 2


class CommandError(Exception):
    """It did not succeed; what it said."""


class RefusedError(CommandError):
    """It refuses to do it here, and nothing was changed; says why."""


def k2chaos(*words: str) -> str:
    """
    What `k2chaos` prints when it is run with *words*.

    Raises:
        RefusedError: Exit code 2.
        CommandError: Any other than 0.
    """
    command = [str(Path(sys.executable).with_name("k2chaos")), *words]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=_SECONDS)
    if done.returncode:
        kind = RefusedError if done.returncode == _REFUSED else CommandError
        name = f"`k2chaos {' '.join(words)}`"
        message = f"{name} ended with {done.returncode}:\n{done.stdout}{done.stderr}"
        raise kind(message)
    return done.stdout
