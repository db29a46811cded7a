"""
The manifest of a run folder: size and digest of each file when its run ended.

It tells what was damaged, cut, exchanged, added or taken away since then. It is no signature: who
may write to the folder may write another one.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from k2chaos.errors import in_words
from k2chaos.evidence.folder import FILES, MANIFEST
from k2chaos.evidence.state import write_atomically

_SCHEMA: Final = 1
_NOT_EVIDENCE: Final = (MANIFEST, "verdict.json", "chaostoolkit.log")
"""Made from the evidence, or still being written when the run has ended."""
_GROWS: Final = ("faults.jsonl",)
"""Faults that the run left open are healed later, and that is told behind what was told before."""
_HEALING: Final = ("healed", "failed")
"""The only events of a heal."""


def write_manifest(folder: Path) -> None:
    """Put ``manifest.json`` into the run *folder*, over what lies in it now."""
    files = {
        name: {"bytes": path.stat().st_size, "sha256": _digest(path, path.stat().st_size)}
        for name, path in _evidence(folder)
    }
    document = {"schema": _SCHEMA, "files": files}
    write_atomically(folder / MANIFEST, json.dumps(document, indent=2) + "\n")


def changes_since(folder: Path) -> Iterator[str]:
    """What differs from the manifest of the run *folder*, a line each; raises nothing."""
    try:
        files = _files(json.loads((folder / MANIFEST).read_text(encoding="utf-8")))
        present = dict(_evidence(folder))
    except (OSError, ValueError, RecursionError) as error:
        yield f"{MANIFEST}: {in_words(error)}"
        return
    for name in sorted(present.keys() - files.keys()):
        yield f"{name}: it was not there when the run ended"
    for name, told in files.items():
        if change := _change(present.get(name), told, may_grow=name in _GROWS):
            yield f"{name}: {change} since the run ended, says {MANIFEST}"


def _files(document: Any) -> Mapping[str, Mapping[str, Any]]:
    try:
        if document["schema"] != _SCHEMA:
            message = f"not of schema {_SCHEMA}"
            raise ValueError(message)
        files = {
            str(name): {"bytes": told["bytes"], "sha256": str(told["sha256"])}
            for name, told in document["files"].items()
        }
    except (KeyError, TypeError, AttributeError) as error:
        message = f"no manifest of ours ({in_words(error)})"
        raise ValueError(message) from error
    odd = [name for name, told in files.items() if type(told["bytes"]) is not int]
    if odd:
        message = f"the size of {odd[0]} is no whole number"
        raise ValueError(message)
    return files


def _change(path: Path | None, told: Mapping[str, Any], *, may_grow: bool) -> str:
    """How the file at *path* differs from what is *told* of it; empty where it does not."""
    if path is None:
        return "it was taken away"
    try:
        size = path.stat().st_size
        may_be = size == told["bytes"] or (may_grow and size > told["bytes"])
        is_same = may_be and _digest(path, told["bytes"]) == told["sha256"]
        if is_same and size > told["bytes"]:
            is_same = _only_healed(path, told["bytes"])
    except OSError as error:
        return f"it cannot be read ({error.strerror or error})"
    return "" if is_same else "it was changed"


def _only_healed(ledger: Path, size: int) -> bool:
    """Whether all that stands behind the first *size* bytes tells of faults that stand in them."""
    content = ledger.read_bytes()
    try:
        before, after = (
            [json.loads(line) for line in part.splitlines() if line.strip()]
            for part in (content[:size], content[size:])
        )
        tried = {event["fault_id"] for event in before if event["event"] == "tried"}
        return all(one["event"] in _HEALING and one["fault_id"] in tried for one in after)
    except (ValueError, KeyError, TypeError, RecursionError):
        return False


def _evidence(folder: Path) -> Iterator[tuple[str, Path]]:
    """Each file of the folder that is evidence, by its name in it."""
    for name in FILES:
        if name.endswith("/"):
            tables = sorted((folder / name).glob("*.parquet"))
            yield from ((f"{name}{path.name}", path) for path in tables)
        elif name not in _NOT_EVIDENCE and (folder / name).is_file():
            yield name, folder / name


def _digest(path: Path, size: int) -> str:
    """SHA-256 of the first *size* bytes."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while size > 0 and (piece := file.read(min(size, 1 << 20))):
            digest.update(piece)
            size -= len(piece)
    return digest.hexdigest()
