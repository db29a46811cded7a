"""
The lab's images as values, and the tags their content gives them.

A tag is a hash over everything that goes into an image: Dockerfile, context, the lock's lines of
its jars, and its parent's tag. So an image that exists under its tag need not be built, and a
change anywhere below renames everything above.
"""

import hashlib
import tarfile
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Final

from k2chaos.errors import LabError
from k2chaos.system.lab.clone import Stack
from k2chaos.system.lab.jars import Jar, read_lock

PREFIX: Final = "k2-lab/"
_LEFT_OUT: Final = frozenset({"__pycache__", ".mypy_cache", ".ruff_cache", ".pytest_cache"})
_TAG_LENGTH: Final = 12


@dataclass(frozen=True, slots=True)
class Recipe:
    """
    How one image is made.

    Attributes:
        name: Of the image, without prefix and tag.
        parent: Another recipe's name, or an image that the engine knows.
        files: What goes into the build context: name there, file here. The Dockerfile is one.
        jars: What goes into the context's ``jars/``.
    """

    name: str
    parent: str
    files: tuple[tuple[str, Path], ...]
    jars: tuple[Jar, ...]

    def tag(self, parent_tag: str) -> str:
        """Return the tag of this content on that parent."""
        digest = hashlib.sha256(parent_tag.encode())
        for name, path in self.files:
            mark = "x" if _executable(path) else "-"
            content = hashlib.sha256(path.read_bytes()).hexdigest()
            digest.update(f"\n{mark} {name} {content}".encode())
        for jar in self.jars:
            digest.update(f"\n{jar.coordinate} {jar.sha256}".encode())
        return f"{PREFIX}{self.name}:{digest.hexdigest()[:_TAG_LENGTH]}"


def read_recipes(stack: Stack) -> dict[str, Recipe]:
    """
    Read the list of images, parents before their children.

    Raises:
        LabError: It does not parse, or names a parent or a set of jars that does not come before.
    """
    path = stack.images / "images.toml"
    lock = read_lock(stack.images / "jars.lock")
    try:
        tables = tomllib.loads(path.read_text(encoding="utf-8"))
        return {name: _recipe(stack, name, table, lock) for name, table in tables.items()}
    except (OSError, ValueError, KeyError) as error:
        message = f"{path}: cannot be used ({type(error).__name__}: {error})"
        raise LabError(message) from error


def _recipe(
    stack: Stack, name: str, table: Mapping[str, object], lock: Mapping[str, tuple[Jar, ...]]
) -> Recipe:
    folder = stack.images / name
    files = dict(_files("", folder))
    beside = table.get("context", {})
    assert isinstance(beside, dict), "a table of TOML"
    for inside, outside in beside.items():
        files.update(_files(inside, (folder.parent / outside).resolve()))
    jars = lock[str(table["jars"])] if "jars" in table else ()
    return Recipe(name, str(table["parent"]), tuple(sorted(files.items())), jars)


def _files(inside: str, path: Path) -> Iterator[tuple[str, Path]]:
    if path.is_file():
        yield inside, path
        return
    if not path.is_dir():
        raise FileNotFoundError(path)
    for found in path.rglob("*"):
        name = found.relative_to(path)
        if found.is_file() and not _LEFT_OUT.intersection(name.parts) and found.suffix != ".pyc":
            yield f"{inside}/{name.as_posix()}".lstrip("/"), found


def tags(recipes: Mapping[str, Recipe]) -> dict[str, str]:
    """Return every image's tag by its name."""
    found: dict[str, str] = {}
    for name, recipe in recipes.items():
        found[name] = recipe.tag(found.get(recipe.parent, recipe.parent))
    return found


def to_build(recipes: Mapping[str, Recipe], missing: Iterable[str]) -> tuple[str, ...]:
    """
    Return what has to be built so that every image which is nobody's parent exists.

    A missing parent of children that are all there is not worth a build.
    """
    missing = frozenset(missing)
    parents = {recipe.parent for recipe in recipes.values()}
    wanted = {name for name in recipes if name not in parents and name in missing}
    for name in reversed(tuple(recipes)):
        if name in wanted and recipes[name].parent in missing:
            wanted.add(recipes[name].parent)
    return tuple(name for name in recipes if name in wanted)


def write_context(
    recipe: Recipe, jars: Iterable[Path], extra: Mapping[str, Path], out: IO[bytes]
) -> None:
    """
    Write the build context as a tar in which nothing depends on this machine.

    Args:
        recipe: Whose files go in.
        jars: Files for ``jars/``.
        extra: Further files that are no part of the image's content: name there, file here.
        out: Where the tar goes.
    """
    entries = [*recipe.files, *((f"jars/{jar.name}", jar) for jar in jars), *extra.items()]
    with tarfile.open(fileobj=out, mode="w") as tar:
        for name, path in entries:
            entry = tarfile.TarInfo(name)
            entry.size = path.stat().st_size
            entry.mode = 0o755 if _executable(path) else 0o644
            with path.open("rb") as file:
                tar.addfile(entry, file)


def _executable(path: Path) -> bool:
    return bool(path.stat().st_mode & 0o100)
