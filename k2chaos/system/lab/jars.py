"""
Jars from the committed lock: fetched once, believed never.

A jar is used only after its content has matched the lock's SHA-256, in the cache as well as fresh
from the network. What is still arriving has another name, so an interrupted download is nothing.
"""

import hashlib
import os
import re
import tempfile
import tomllib
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import platformdirs

from k2chaos.errors import LabError
from k2chaos.system.http import Download, DownloadFailed
from k2chaos.system.lab.trust import ca_bundle

_COORDINATE: Final = re.compile(
    r"(?P<group>[\w.-]+):(?P<artifact>[\w.-]+):(?P<version>[\w.-]+)"
    r"(?::(?P<classifier>[\w.-]+))?(?:@(?P<extension>[\w.]+))?"
)
_SHA256: Final = re.compile(r"[0-9a-f]{64}")
_PARALLEL: Final = 6
_ATTEMPTS: Final = 3

Advance = Callable[[int], None]


@dataclass(frozen=True, slots=True)
class Jar:
    """
    One artifact of a Maven repository, with the content it must have.

    Attributes:
        coordinate: ``group:artifact:version[:classifier][@extension]``.
        sha256: Of its content, in hexadecimal.
    """

    coordinate: str
    sha256: str

    @property
    def name(self) -> str:
        """Its file name."""
        part = self._parts()
        tagged = f"-{part['classifier']}" if part["classifier"] else ""
        return f"{part['artifact']}-{part['version']}{tagged}.{part['extension'] or 'jar'}"

    @property
    def path(self) -> str:
        """Where a Maven repository keeps it."""
        part = self._parts()
        group = part["group"].replace(".", "/")
        return f"{group}/{part['artifact']}/{part['version']}/{self.name}"

    def _parts(self) -> dict[str, str]:
        hit = _COORDINATE.fullmatch(self.coordinate)
        assert hit is not None, "read_lock has checked it"
        return hit.groupdict()


def read_lock(path: Path) -> dict[str, tuple[Jar, ...]]:
    """
    Read the lock: every set of jars by its name.

    Raises:
        LabError: It does not parse, or names something that is no coordinate or no digest.
    """
    try:
        tables = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        message = (
            f"{path}: cannot be read ({error}); restore it, or write it anew with lock_jars.py"
        )
        raise LabError(message) from error
    mistakes = [
        f"{name}: {coordinate} = {digest!r}"
        for name, table in tables.items()
        for coordinate, digest in _pairs(table)
        if not _COORDINATE.fullmatch(coordinate) or not _SHA256.fullmatch(str(digest))
    ]
    if mistakes:
        wrong = "\n  ".join(mistakes)
        message = f"{path}: not a coordinate with its SHA-256:\n  {wrong}"
        raise LabError(message)
    return {
        name: tuple(Jar(coordinate, digest) for coordinate, digest in sorted(_pairs(table)))
        for name, table in tables.items()
    }


def _pairs(table: object) -> Iterable[tuple[str, str]]:
    return table.items() if isinstance(table, dict) else [("?", str(table))]


def repository_url(environ: Mapping[str, str] = os.environ) -> str:
    """
    Where the jars come from: ``K2LAB_MAVEN_URL``, else what jgo knows as Maven Central.

    Raises:
        LabError: Neither is there.
    """
    if environ.get("K2LAB_MAVEN_URL"):
        return environ["K2LAB_MAVEN_URL"].rstrip("/")
    try:
        from jgo.constants import MAVEN_CENTRAL_URL  # of the extra `lab`
    except ImportError as error:
        message = (
            "the package jgo, which knows where the jars are, is not installed: run `make setup`, "
            "or set K2LAB_MAVEN_URL to a Maven repository"
        )
        raise LabError(message) from error
    return str(MAVEN_CENTRAL_URL).rstrip("/")


@dataclass(frozen=True, slots=True)
class JarCache:
    """
    Jars on this machine's disk, by their path in the repository.

    Attributes:
        folder: Where they are kept.
        repository: Base URL of the Maven repository that missing ones come from.
    """

    folder: Path
    repository: str

    def fetch(self, jars: Iterable[Jar], expect: Advance, advance: Advance) -> tuple[Path, ...]:
        """
        Return the files of *jars*, downloading what is missing, several at once.

        Args:
            jars: What is wanted; the answer has the same order.
            expect: Told how many bytes more are to come, as it becomes known.
            advance: Told how many bytes more have arrived.

        Raises:
            LabError: One could not be had, or is not what the lock says.
        """
        with ThreadPoolExecutor(max_workers=_PARALLEL) as pool:
            try:
                return tuple(pool.map(lambda jar: self._one(jar, expect, advance), jars))
            except BaseException:
                pool.shutdown(wait=False, cancel_futures=True)
                raise

    def _one(self, jar: Jar, expect: Advance, advance: Advance) -> Path:
        path = self.folder / jar.path
        if path.is_file() and _digest(path) == jar.sha256:
            return path
        path.parent.mkdir(parents=True, exist_ok=True)
        url = f"{self.repository}/{jar.path}"
        for attempt in range(1, _ATTEMPTS + 1):
            try:
                return self._download(jar, url, path, expect, advance)
            except DownloadFailed as error:
                if attempt == _ATTEMPTS or not error.passing:
                    message = f"cannot download {jar.coordinate}: {error}"
                    raise LabError(message) from error
        raise AssertionError  # the loop returns or raises

    def _download(self, jar: Jar, url: str, path: Path, expect: Advance, advance: Advance) -> Path:
        digest = hashlib.sha256()
        with tempfile.NamedTemporaryFile(
            dir=path.parent, prefix=".arriving-", delete=False
        ) as arriving:
            try:
                with Download(url, ca_bundle()) as download:
                    expect(download.total)
                    for chunk in download.chunks():
                        arriving.write(chunk)
                        digest.update(chunk)
                        advance(len(chunk))
                arriving.flush()
                _compare(jar, digest.hexdigest(), url)
                Path(arriving.name).replace(path)
            finally:
                Path(arriving.name).unlink(missing_ok=True)
        return path


def _compare(jar: Jar, digest: str, url: str) -> None:
    if digest != jar.sha256:
        message = (
            f"{jar.coordinate} is not what jars.lock says: expected SHA-256 {jar.sha256}, "
            f"got {digest} from {url}; nothing was built from it"
        )
        raise LabError(message)


def jar_cache() -> JarCache:
    """Return the cache of this user."""
    return JarCache(platformdirs.user_cache_path("k2chaos") / "jars", repository_url())


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
