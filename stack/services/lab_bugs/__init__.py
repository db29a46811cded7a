"""
Bugs on purpose: which of them a service was started with.

``LAB_BUGS`` holds names from ``catalogue.toml``, separated by commas; every service is given the
same list and obeys its own. A name nobody knows is refused by all of them: a misspelt bug would
otherwise look like one that nothing can find.

Only the lab is ever given bugs: anywhere else asking for one ends the service, whichever it is.

In a service, a bug is one line at the place it breaks: ``if "name" in bugs``.
"""

import logging
import os
import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path

VARIABLE = "LAB_BUGS"
PROJECT = "LAB_PROJECT"
_LAB = "k2-lab"


class RefusedBugsError(ValueError):
    """What ``LAB_BUGS`` asks for is refused; the service ends and says why."""


class UnknownBugError(RefusedBugsError):
    """``LAB_BUGS`` names a bug that is not in the catalogue."""


class OutsideTheLabError(RefusedBugsError):
    """``LAB_BUGS`` is set for a service that is not one of the lab's."""


def catalogue() -> dict[str, dict[str, str]]:
    """Return every bug by its name: its ``service``, and what that does ``wrong``."""
    text = Path(__file__).with_name("catalogue.toml").read_text(encoding="utf-8")
    return tomllib.loads(text)


def seeded(service: str, environment: Mapping[str, str] = os.environ) -> frozenset[str]:
    """
    Return the bugs that *service* (the name of its package) was started with.

    Raises:
        UnknownBugError: A name is not in the catalogue, whichever service it was meant for.
        OutsideTheLabError: There is a name, and ``LAB_PROJECT`` (the Compose project) is not the
            lab's.
    """
    known = catalogue()
    asked = {part.strip() for part in environment.get(VARIABLE, "").split(",") if part.strip()}
    if unknown := sorted(asked - known.keys()):
        message = f"{VARIABLE} names {', '.join(unknown)}; there are {', '.join(sorted(known))}"
        raise UnknownBugError(message)
    project = environment.get(PROJECT, "")
    if asked and not project.startswith(_LAB):
        message = (
            f"{VARIABLE} asks for {', '.join(sorted(asked))}, but this is no lab: {PROJECT} (the "
            f"Compose project) is {project!r}, not {_LAB}*; unset {VARIABLE}"
        )
        raise OutsideTheLabError(message)
    return frozenset(name for name in asked if known[name]["service"] == service)


def warn(log: logging.Logger, bugs: Iterable[str]) -> None:
    """Log a WARNING for each of *bugs*: its name, and what it does wrong."""
    known = catalogue()
    for name in sorted(bugs):
        log.warning("bug on purpose, %s: %s", name, known[name]["wrong"])
