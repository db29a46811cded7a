"""
Bugs on purpose: which of them a service was started with.

``LAB_BUGS`` holds names from ``catalogue.toml``, separated by commas; every service is given the
same list and obeys its own. A name nobody knows is refused by all of them: a misspelt bug would
otherwise look like one that nothing can find.

In a service, a bug is one line at the place it breaks: ``if "name" in bugs``.
"""

import logging
import os
import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path

VARIABLE = "LAB_BUGS"


class UnknownBugError(ValueError):
    """``LAB_BUGS`` names a bug that is not in the catalogue."""


def catalogue() -> dict[str, dict[str, str]]:
    """Return every bug by its name: its ``service``, and what that does ``wrong``."""
    text = Path(__file__).with_name("catalogue.toml").read_text(encoding="utf-8")
    return tomllib.loads(text)


def seeded(service: str, environment: Mapping[str, str] = os.environ) -> frozenset[str]:
    """
    Return the bugs that *service* (the name of its package) was started with.

    Raises:
        UnknownBugError: A name is not in the catalogue, whichever service it was meant for.
    """
    known = catalogue()
    asked = {part.strip() for part in environment.get(VARIABLE, "").split(",") if part.strip()}
    if unknown := sorted(asked - known.keys()):
        message = f"{VARIABLE} names {', '.join(unknown)}; there are {', '.join(sorted(known))}"
        raise UnknownBugError(message)
    return frozenset(name for name in asked if known[name]["service"] == service)


def warn(log: logging.Logger, bugs: Iterable[str]) -> None:
    """Log a WARNING for each of *bugs*: its name, and what it does wrong."""
    known = catalogue()
    for name in sorted(bugs):
        log.warning("bug on purpose, %s: %s", name, known[name]["wrong"])
