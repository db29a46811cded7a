"""``LAB_BUGS``: which bugs the lab is given on purpose, checked before anything is started."""

import os
import tomllib
from collections.abc import Iterable, Mapping
from typing import Final

from k2chaos.errors import LabError, UsageError
from k2chaos.system.lab.clone import Stack

VARIABLE: Final = "LAB_BUGS"


def names_in(text: str) -> tuple[str, ...]:
    """Split what the variable holds into names, sorted."""
    return tuple(sorted({part.strip() for part in text.split(",") if part.strip()}))


def check_bugs(stack: Stack, environ: Mapping[str, str] = os.environ) -> tuple[str, ...]:
    """
    Return the bugs that the lab is to be given.

    The services refuse unknown names too; here they are refused before anything is stopped.

    Raises:
        UsageError: A name is not in the catalogue.
        LabError: The catalogue cannot be read.
    """
    asked = names_in(environ.get(VARIABLE, ""))
    path = stack.folder / "services" / "lab_bugs" / "catalogue.toml"
    try:
        known = tomllib.loads(path.read_text(encoding="utf-8")) if asked else {}
    except (OSError, ValueError) as error:
        message = f"{path}: cannot be used ({type(error).__name__}: {error})"
        raise LabError(message) from error
    if unknown := [name for name in asked if name not in known]:
        message = (
            f"{VARIABLE} names {', '.join(unknown)}, which {path} does not have; it has "
            f"{', '.join(sorted(known))}. Nothing was started"
        )
        raise UsageError(message)
    return asked


def bugs_of(environment: Iterable[str]) -> tuple[str, ...]:
    """Read a container's bugs from its environment (``NAME=value`` each)."""
    pairs = (entry.partition("=") for entry in environment)
    return next((names_in(value) for name, _, value in pairs if name == VARIABLE), ())
