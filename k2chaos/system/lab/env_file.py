"""The lab's secrets: ``stack/.env``, made once, readable by its owner only."""

import os
import secrets
import tempfile
from pathlib import Path
from typing import Final

KEYS: Final = ("POSTGRES_PASSWORD", "LAB_S3_KEY", "LAB_S3_SECRET", "K2_API_KEY")
_BYTES: Final = 16


def ensure_env(path: Path) -> tuple[str, ...]:
    """
    Add a random value for every key that is missing or empty; what is there stays as it is.

    Returns:
        The keys that were added. The file's mode is 0600 afterwards in any case.
    """
    present = path.read_text(encoding="utf-8").splitlines() if path.is_file() else []
    missing = [key for key in KEYS if not read_env(path).get(key)]
    if missing:
        kept = [line for line in present if line.partition("=")[0].strip() not in missing]
        added = [f"{key}={secrets.token_hex(_BYTES)}" for key in missing]
        _replace(path, "\n".join([*kept, *added]) + "\n")
    if path.stat().st_mode & 0o777 != 0o600:  # noqa: PLR2004 - the mode itself
        path.chmod(0o600)
    return tuple(missing)


def read_env(path: Path) -> dict[str, str]:
    """Return the keys and values of an env file; none where there is no file."""
    if not path.is_file():
        return {}
    lines = path.read_text(encoding="utf-8").splitlines()
    pairs = (line.partition("=") for line in lines if not line.lstrip().startswith("#"))
    return {key.strip(): value.strip() for key, equals, value in pairs if equals}


def _replace(path: Path, text: str) -> None:
    """Write the whole file or nothing: a full disk must not cost the secrets that were there."""
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=".env-")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
        Path(name).replace(path)
    finally:
        Path(name).unlink(missing_ok=True)
