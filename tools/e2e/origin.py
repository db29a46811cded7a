"""When and of which commit something was measured."""

import subprocess
from datetime import UTC, datetime
from pathlib import Path


def now() -> str:
    """This second, as the lines tell it."""
    return datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def commit(folder: Path = Path()) -> str | None:
    """The short commit that *folder* stands on, with -dirty where it was changed; or nothing."""
    command = ["git", "-C", str(folder), "describe", "--always", "--dirty", "--exclude=*"]
    try:
        done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=10)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() or None if done.returncode == 0 else None
