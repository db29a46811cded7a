"""
The lab's secrets: ``stack/.env``, made once, readable by its owner only.

Passwords stay for good; the exchange's certificate and the authority that signed it are made
anew, together, when they are no longer good. What is public of it lies beside, for ``curl``.
"""

import datetime as dt
import os
import secrets
import tempfile
from pathlib import Path
from typing import Final

from k2chaos.system.lab.certificates import (
    CA,
    CERTIFICATE_KEYS,
    fault_of_certificates,
    make_certificates,
    pem_of,
)

_RANDOM: Final = ("POSTGRES_PASSWORD", "LAB_S3_KEY", "LAB_S3_SECRET", "K2_API_KEY")
KEYS: Final = (*_RANDOM, *CERTIFICATE_KEYS)
_BYTES: Final = 16


def ensure_env(path: Path, now: dt.datetime | None = None) -> tuple[str, ...]:
    """
    Add a random value for every key that is missing or empty; what is there stays as it is.

    Only the certificates are replaced, all three of them, where they have less than a month left
    at *now*, cannot be read, or do not belong together.

    Returns:
        The keys that were added. The file's mode is 0600 afterwards in any case.
    """
    now = now or dt.datetime.now(dt.UTC)
    values = read_env(path)
    made = {key: secrets.token_hex(_BYTES) for key in _RANDOM if not values.get(key)}
    if fault_of_certificates(values, now) is not None:
        made |= make_certificates(now)
    if made:
        present = path.read_text(encoding="utf-8").splitlines() if path.is_file() else []
        kept = [line for line in present if line.partition("=")[0].strip() not in made]
        added = [f"{key}={value}" for key, value in made.items()]
        _replace(path, "\n".join([*kept, *added]) + "\n")
    if path.stat().st_mode & 0o777 != 0o600:  # noqa: PLR2004 - the mode itself
        path.chmod(0o600)
    return tuple(made)


def publish_ca(env: Path, target: Path) -> None:
    """
    Write the authority's certificate of the env file to *target*, for everybody to read.

    Raises:
        OSError: It cannot be written; the env file is as it was.
        ValueError: The env file has none.
    """
    text = pem_of(read_env(env).get(CA, "")).decode("ascii")
    if not target.is_file() or target.read_text(encoding="ascii", errors="replace") != text:
        _replace(target, text)
        target.chmod(0o644)


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
