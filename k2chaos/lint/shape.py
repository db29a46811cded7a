"""The shapes that mistakes are found by: known keys, required texts, lists of objects, numbers."""

import difflib
import math
from collections.abc import Iterable, Iterator, Mapping
from typing import Any


def unknown_keys(node: Mapping[Any, Any], known: Iterable[str], where: str) -> Iterator[str]:
    """The keys that mean nothing there, each with the known one it resembles."""
    names = tuple(known)
    for key in node:
        if key in names or str(key).startswith("x-"):
            continue
        near = difflib.get_close_matches(str(key), names, n=1)
        hint = f"; did you mean {near[0]}?" if near else ""
        yield f"{join(where, key)}: unknown key{hint}"


def join(where: str, key: object) -> str:
    """The path of *key* below *where*."""
    return f"{where}.{key}" if where else str(key)


def required_texts(node: Mapping[Any, Any], names: Iterable[str], where: str) -> Iterator[str]:
    """The *names* that do not hold a text."""
    for name in names:
        value = node.get(name)
        if not isinstance(value, str) or not value.strip():
            state = "is missing" if name not in node else "must be a text that is not empty"
            yield f"{join(where, name)}: {state}"


def mappings(
    value: Any, where: str, mistakes: list[str]
) -> Iterator[tuple[str, Mapping[Any, Any]]]:
    """The objects of a list with their paths; what is no list, or no object, is a mistake."""
    if value is None:
        return
    if not isinstance(value, list):
        mistakes.append(f"{where}: a list is expected")
        return
    for index, item in enumerate(value):
        if isinstance(item, Mapping):
            yield f"{where}[{index}]", item
        else:
            mistakes.append(f"{where}[{index}]: an object is expected")


def is_number(value: Any) -> bool:
    """A finite number; a truth value is none."""
    if isinstance(value, float):
        return math.isfinite(value)
    return isinstance(value, int) and not isinstance(value, bool)
