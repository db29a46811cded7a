"""
The other line of Chaos Toolkit: Python 3.11 gets 1.19, Python 3.12 and later get 1.21.

Where an interpreter of the other sort is on this machine, exactly what ``requirements.lock`` pins
for it is installed once, in the user's cache directory; a run of the tests puts this checkout over
it, in an environment of its own.
"""

import hashlib
import os
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from platformdirs import user_cache_path

ROOT: Final = Path(__file__).parents[2]

_LOCK: Final = ROOT / "requirements.lock"
_UV: Final = Path(sysconfig.get_path("scripts")) / "uv"
_NEW: Final = (12, 13)
"""Minor versions of Python that get the newer line."""
_OLD: Final = (11,)


class CannotBeMade(Exception):
    """The other line cannot be had on this machine; the message says why."""


def other_line(folder: Path) -> Path:
    """
    An interpreter at *folder* with the other line of upstream and this checkout.

    Raises:
        CannotBeMade: There is no such interpreter, or its packages cannot be had.
    """
    python = _interpreter()
    packages = _packages(python)
    try:
        _uv("venv", "--python", python, folder)
        made = folder / "bin" / "python"
        (_site(made) / "upstream.pth").write_text(f"{_site(packages / 'bin' / 'python')}\n")
        _uv("pip", "install", "--python", made, "--no-deps", "--no-build-isolation", "-e", ROOT)
    except (OSError, subprocess.CalledProcessError) as error:
        raise CannotBeMade(_told(error)) from error
    return made


def _interpreter() -> Path:
    wanted = _OLD if sys.version_info[1] in _NEW else _NEW
    for minor in reversed(wanted):
        for candidate in _candidates(minor):
            if _says(candidate) == f"3.{minor}":
                return candidate
    versions = " or ".join(f"3.{minor}" for minor in wanted)
    message = f"no Python {versions} is on this machine, which upstream's other line needs"
    raise CannotBeMade(message)


def _candidates(minor: int) -> Iterable[Path]:
    root = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv")
    yield from sorted(root.glob(f"versions/3.{minor}.*/bin/python"), reverse=True)
    found = shutil.which(f"python3.{minor}")
    if found:
        yield Path(found)


def _says(python: Path) -> str:
    """Its version; a shim that stands for nothing says nothing."""
    code = "import sys, venv; print('%d.%d' % sys.version_info[:2])"
    said = subprocess.run([python, "-c", code], capture_output=True, text=True, check=False)
    return said.stdout.strip()


def _packages(python: Path) -> Path:
    """What is pinned, installed once for this lock; half an installation is never taken for one."""
    pinned = hashlib.sha256(_LOCK.read_bytes() + str(python).encode()).hexdigest()[:16]
    folder = user_cache_path("k2chaos") / "upstream" / pinned
    if folder.exists():
        return folder
    draft = folder.with_name(f"{pinned}.{os.getpid()}")
    try:
        draft.parent.mkdir(parents=True, exist_ok=True)
        _uv("venv", "--python", python, draft)
        installed = draft / "bin" / "python"
        _uv("pip", "install", "--python", installed, "--require-hashes", "--requirement", _LOCK)
        draft.rename(folder)
    except (OSError, subprocess.CalledProcessError) as error:
        raise CannotBeMade(_told(error)) from error
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    return folder


def _site(python: Path) -> Path:
    code = "import sysconfig; print(sysconfig.get_path('purelib'))"
    said = subprocess.run([python, "-c", code], capture_output=True, text=True, check=True)
    return Path(said.stdout.strip())


def _uv(*words: str | Path) -> None:
    subprocess.run([_UV, *words], capture_output=True, text=True, check=True)


def _told(error: OSError | subprocess.CalledProcessError) -> str:
    why = error.stderr if isinstance(error, subprocess.CalledProcessError) else str(error)
    return f"upstream's other line cannot be installed: {' '.join(why.split())[-300:]}"
