"""
Files with one JSON object a line that whole sessions append to, and that outlive a killed one.

A writer appends its line in one write, on a line of its own even after a torn one. A reader skips
what is no JSON object and says so: one lost line is a remark, never a traceback.
"""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any


def append(file: Path, line: Mapping[str, Any]) -> None:
    """Append *line* to *file*, which is made where it is missing."""
    file.parent.mkdir(parents=True, exist_ok=True)
    text = json.dumps(line, ensure_ascii=False) + "\n"
    with file.open("a+b", buffering=0) as opened:
        opened.write(("\n" + text if _is_torn(opened.fileno()) else text).encode())


def _is_torn(opened: int) -> bool:
    """Whether the last line has no end: its writer was killed."""
    size = os.fstat(opened).st_size
    return size > 0 and os.pread(opened, 1, size - 1) != b"\n"


def read(file: Path) -> tuple[list[dict[str, Any]], list[str]]:
    """The objects of *file* in their order, and a remark for each line that is none."""
    if not file.exists():
        return [], []
    found: list[dict[str, Any]] = []
    remarks: list[str] = []
    text = file.read_text(encoding="utf-8", errors="replace")
    for number, line in enumerate(text.splitlines(), start=1):
        value = _object(line)
        if value is not None:
            found.append(value)
        elif line.strip():
            remarks.append(f"{file}:{number}: no JSON object (a run that was killed?): skipped")
    return found, remarks


def _object(line: str) -> dict[str, Any] | None:
    try:
        value = json.loads(line)
    except ValueError:
        return None
    return value if isinstance(value, dict) else None
