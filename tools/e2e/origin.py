"""When and of which commit something was measured."""

import subprocess
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

_GROWING: Final = (":(exclude)docs/phases/phase-7-e2e/*",)
"""What measuring itself writes is no change of what was measured."""


def now() -> str:
    """This second, as the lines tell it."""
    return datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def commit(folder: Path = Path()) -> str | None:
    """The short commit that *folder* stands on, with -dirty where it was changed; or nothing."""
    name = _git(folder, "rev-parse", "--short", "HEAD")
    changed = _git(folder, "status", "--porcelain", "--untracked-files=no", "--", ".", *_GROWING)
    return f"{name}-dirty" if name and changed else name or None


def _git(folder: Path, *words: str) -> str:
    """What git prints; nothing where it cannot."""
    command = ["git", "-C", str(folder), *words]
    try:
        done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=10)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""
