"""Images: a tag changes with the content, and with nothing else."""

import io
import os
import tarfile
from pathlib import Path

import pytest

from k2chaos.errors import LabError
from k2chaos.system.lab.clone import Stack
from k2chaos.system.lab.recipes import read_recipes, tags, to_build, write_context

IMAGES = """
[java]
parent = "debian:trixie-slim"

[kafka]
parent = "java"
jars = "kafka"

[services]
parent = "debian:trixie-slim"
context = { "app" = "../services" }
"""
DIGEST = "a" * 64


@pytest.fixture
def stack(tmp_path: Path) -> Stack:
    for name, text in {
        "images/images.toml": IMAGES,
        "images/jars.lock": f'[kafka]\n"org.example:thing:1" = "{DIGEST}"\n',
        "images/java/Dockerfile": "FROM debian:trixie-slim\n",
        "images/kafka/Dockerfile": "ARG PARENT\n",
        "images/kafka/start": "#!/bin/sh\n",
        "images/services/Dockerfile": "ARG PARENT\n",
        "services/sink/main.py": "print()\n",
    }.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return Stack(tmp_path)


def tagged(stack: Stack) -> dict[str, str]:
    return tags(read_recipes(stack))


def changed(before: dict[str, str], after: dict[str, str]) -> set[str]:
    return {name for name in before if before[name] != after[name]}


def test_the_same_content_has_the_same_tags_whenever_it_was_written(stack: Stack) -> None:
    before = tagged(stack)
    os.utime(stack.images / "kafka" / "start", (1, 1))

    assert before == tagged(stack)
    assert before["kafka"].startswith("k2-lab/kafka:")


def test_a_changed_file_changes_its_image_only(stack: Stack) -> None:
    before = tagged(stack)
    (stack.images / "kafka" / "start").write_text("#!/bin/sh\necho\n", encoding="utf-8")

    assert {"kafka"} == changed(before, tagged(stack))


def test_a_changed_parent_changes_its_children(stack: Stack) -> None:
    before = tagged(stack)
    (stack.images / "java" / "Dockerfile").write_text("FROM other\n", encoding="utf-8")

    assert {"java", "kafka"} == changed(before, tagged(stack))


def test_code_beside_the_dockerfile_counts(stack: Stack) -> None:
    before = tagged(stack)
    (stack.folder / "services" / "sink" / "main.py").write_text("print(1)\n", encoding="utf-8")

    assert {"services"} == changed(before, tagged(stack))


def test_a_renamed_file_counts(stack: Stack) -> None:
    before = tagged(stack)
    (stack.images / "kafka" / "start").rename(stack.images / "kafka" / "begin")

    assert {"kafka"} == changed(before, tagged(stack))


def test_the_executable_bit_counts_and_other_bits_do_not(stack: Stack) -> None:
    start = stack.images / "kafka" / "start"
    start.chmod(0o644)
    before = tagged(stack)
    start.chmod(0o600)
    assert before == tagged(stack)
    start.chmod(0o755)

    assert {"kafka"} == changed(before, tagged(stack))


def test_another_digest_in_the_lock_counts(stack: Stack) -> None:
    before = tagged(stack)
    lock = stack.images / "jars.lock"
    lock.write_text(lock.read_text(encoding="utf-8").replace("a" * 64, "b" * 64), encoding="utf-8")

    assert {"kafka"} == changed(before, tagged(stack))


def test_what_python_leaves_behind_does_not_count(stack: Stack) -> None:
    before = tagged(stack)
    cached = stack.folder / "services" / "sink" / "__pycache__"
    cached.mkdir()
    (cached / "main.pyc").write_bytes(b"compiled")
    (cached / "CACHEDIR.TAG").write_bytes(b"a cache")

    assert before == tagged(stack)


def test_an_unknown_set_of_jars_is_an_error_that_names_the_file(stack: Stack) -> None:
    (stack.images / "jars.lock").write_text("", encoding="utf-8")

    with pytest.raises(LabError, match=r"images\.toml: cannot be used .*kafka"):
        read_recipes(stack)


@pytest.mark.parametrize(
    "missing, built",
    [
        ([], ()),
        (["java"], ()),
        (["kafka"], ("kafka",)),
        (["java", "kafka"], ("java", "kafka")),
        (["java", "kafka", "services"], ("java", "kafka", "services")),
    ],
)
def test_only_what_is_needed_is_built_parents_first(
    stack: Stack, missing: list[str], built: tuple[str, ...]
) -> None:
    assert built == to_build(read_recipes(stack), missing)


def test_the_context_holds_files_jars_and_extras_and_nothing_of_this_machine(
    stack: Stack, tmp_path: Path
) -> None:
    jar = tmp_path / "thing-1.jar"
    jar.write_bytes(b"jar")
    bundle = tmp_path / "bundle"
    bundle.write_bytes(b"certificates")
    out = io.BytesIO()

    write_context(read_recipes(stack)["kafka"], [jar], {"ca-bundle.crt": bundle}, out)

    out.seek(0)
    with tarfile.open(fileobj=out) as tar:
        entries = tar.getmembers()
    assert {"Dockerfile", "start", "jars/thing-1.jar", "ca-bundle.crt"} == {e.name for e in entries}
    assert {(0, 0, 0)} == {(e.uid, e.gid, int(e.mtime)) for e in entries}


def test_the_committed_images_can_be_read() -> None:
    names = set(read_recipes(Stack(Path(__file__).parents[3] / "stack")))

    assert {"kafka", "registry", "store", "catalog", "postgres", "services"} <= names
