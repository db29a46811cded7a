"""
Every fault and injection there is, in the words of the code: parameters, witness, what undoes it.

``k2chaos faults`` prints it, with what this host can do; the reference page is made of it.
"""

import inspect
import json
import re
from collections.abc import Collection, Iterator
from dataclasses import asdict, dataclass
from typing import Any, Final, Literal, TextIO

from k2chaos import actions
from k2chaos.system.faults.catalogue import FAULTS, INJECTIONS
from k2chaos.system.faults.needs import why_not

_END: Final = re.compile(r" (?=Healed |Heal waits |Gone |Nothing has to |Attributes:)")
"""What follows the witness in the docstring of a kind."""
HIDDEN: Final = ("configuration", "secrets")
"""Parameters that Chaos Toolkit fills in."""


@dataclass(frozen=True, slots=True)
class Listed:
    """
    One kind, described.

    Attributes:
        family: What it breaks: ``process``, ``network``, ``resources``, ``feed``, ``topic``, ...
        parameters: Of its action, with their defaults.
        witness: What sees that it is in effect; never the call that injected it.
        why_not: Why this host cannot do it; empty where it can, ``None`` where nobody was asked.
    """

    action: str
    noun: Literal["fault", "injection"]
    family: str
    parameters: str
    does: str
    witness: str
    undone_by: str
    why_not: str | None = None


def listed(abilities: Collection[str] | None = None) -> tuple[Listed, ...]:
    """All of them by family; with *abilities*, whether an engine that has these can do it."""
    found = [
        *_described(FAULTS, "fault", abilities),
        *_described(INJECTIONS, "injection", abilities),
    ]
    return tuple(sorted(found, key=lambda one: (one.noun, one.family, one.action)))


def signature(function: Any) -> str:
    """The arguments that an experiment may give, with their defaults."""
    parameters = inspect.signature(function).parameters.values()
    shown = [one for one in parameters if one.name not in HIDDEN]
    return ", ".join(
        one.name if one.default is one.empty else f"{one.name}={one.default!r}" for one in shown
    )


def print_listing(entries: Collection[Listed], output: TextIO) -> None:
    """Print *entries* for people."""
    heading = ""
    for one in entries:
        if heading != (heading := f"{one.family} ({one.noun}s)"):
            output.write(f"{heading}\n")
        lines = [
            f"  {one.action}({one.parameters})",
            f"    does: {one.does}",
            f"    witness: {one.witness}",
            f"    undone by: {one.undone_by}",
            f"    on this host: {_here(one.why_not)}",
        ]
        output.write("\n".join(lines) + "\n\n")


def _here(why_not: str | None) -> str:
    if why_not is None:
        return "not known"
    return f"no: {why_not}" if why_not else "yes"


def print_json(entries: Collection[Listed], output: TextIO) -> None:
    """The same as one JSON document."""
    json.dump({"schema": 1, "faults": [asdict(one) for one in entries]}, output, indent=2)
    output.write("\n")


def page() -> str:
    """``docs/reference/faults.md``."""
    lines = [
        "# Faults and injections",
        "",
        "Generated from the code; `make docs` writes it anew. What your host can do says",
        "`k2chaos faults`. What each argument means stands in [actions](actions.md).",
        "",
    ]
    for noun, title in (("fault", "Faults"), ("injection", "Injections")):
        lines += [f"## {title}", ""]
        for one in listed():
            if one.noun == noun:
                lines += [*_paragraph(one), ""]
    return "\n".join(lines)


def _paragraph(one: Listed) -> Iterator[str]:
    yield f"### `{one.action}({one.parameters})`"
    yield ""
    yield f"- **Family**: {one.family}"
    yield f"- **Does**: {one.does}"
    yield f"- **Witness**: {one.witness}"
    yield f"- **Undone by**: {one.undone_by}"


def _described(
    kinds: Any, noun: Literal["fault", "injection"], abilities: Collection[str] | None
) -> Iterator[Listed]:
    for name, kind in kinds.items():
        action = name.replace("-", "_")
        function = getattr(actions, action)
        yield Listed(
            action=action,
            noun=noun,
            family=function.__module__.rpartition(".")[2],
            parameters=signature(function),
            does=kind.does,
            witness=witness_of(kind),
            undone_by=kind.undone_by,
            why_not=None if abilities is None else why_not(name, abilities),
        )


def witness_of(kind: type[Any]) -> str:
    """The sentence of its docstring that says what sees it."""
    words = " ".join((inspect.getdoc(kind) or "").split("\n\n"))
    _, _, after = " ".join(words.split()).partition("Witness: ")
    return _END.split(after)[0].strip()
