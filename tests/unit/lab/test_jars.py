"""Jars: the lock, and that nothing is used which it does not vouch for."""

import hashlib
from pathlib import Path

import pytest

from k2chaos.errors import LabError
from k2chaos.system.lab.jars import Jar, JarCache, read_lock, repository_url
from tests.fakes.servers import Answer, Request, serving

CONTENT = b"the content of a jar"
GOOD = hashlib.sha256(CONTENT).hexdigest()
JAR = Jar("org.example.deep:thing:1.2", GOOD)


def ignore(_: int) -> None:
    """Nobody watches the progress."""


def written(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


def test_a_lock_is_read_into_sets_of_jars(tmp_path: Path) -> None:
    lock = written(tmp_path / "jars.lock", f'[broker]\n"org.example:thing:1.2" = "{GOOD}"\n')

    assert {"broker": (Jar("org.example:thing:1.2", GOOD),)} == read_lock(lock)


@pytest.mark.parametrize(
    "coordinate, path",
    [
        ("org.example.deep:thing:1.2", "org/example/deep/thing/1.2/thing-1.2.jar"),
        ("org.example:thing:1.2:tests", "org/example/thing/1.2/thing-1.2-tests.jar"),
        ("org.example:thing:1.2:all@tar.gz", "org/example/thing/1.2/thing-1.2-all.tar.gz"),
        ("org.example:thing:1.2@pom", "org/example/thing/1.2/thing-1.2.pom"),
    ],
)
def test_a_coordinate_says_where_a_repository_keeps_the_file(coordinate: str, path: str) -> None:
    assert path == Jar(coordinate, GOOD).path


@pytest.mark.parametrize(
    "line",
    [
        '"org.example:thing" = "' + GOOD + '"',
        '"org.example:thing:1.2" = "abc"',
        '"org.example:thing:1.2" = 7',
        '"../../etc:passwd:1" = "' + GOOD + '"',
    ],
)
def test_a_lock_line_without_coordinate_or_digest_is_named(tmp_path: Path, line: str) -> None:
    lock = written(tmp_path / "jars.lock", f"[broker]\n{line}\n")

    with pytest.raises(LabError, match="not a coordinate with its SHA-256") as caught:
        read_lock(lock)

    assert line.split('"')[1] in str(caught.value)


def test_a_lock_that_does_not_parse_is_an_error_that_names_the_file(tmp_path: Path) -> None:
    lock = written(tmp_path / "jars.lock", "[broker")

    with pytest.raises(LabError, match=r"jars\.lock: cannot be read"):
        read_lock(lock)


def test_a_jar_is_downloaded_once_and_then_taken_from_the_cache(tmp_path: Path) -> None:
    with serving(lambda _: (200, CONTENT)) as server:
        cache = JarCache(tmp_path, server.url)
        first = cache.fetch([JAR], ignore, ignore)
        second = cache.fetch([JAR], ignore, ignore)

    assert CONTENT == first[0].read_bytes()
    assert first == second
    assert ["/org/example/deep/thing/1.2/thing-1.2.jar"] == [r.path for r in server.requests]


def test_content_that_differs_from_the_lock_stops_and_is_not_kept(tmp_path: Path) -> None:
    with serving(lambda _: (200, b"something else")) as server:
        cache = JarCache(tmp_path, server.url)
        with pytest.raises(LabError, match=r"org\.example\.deep:thing:1\.2 is not what") as caught:
            cache.fetch([JAR], ignore, ignore)

    assert GOOD in str(caught.value)
    assert [] == [path for path in tmp_path.rglob("*") if path.is_file()]


def test_a_cached_file_that_was_tampered_with_is_fetched_again(tmp_path: Path) -> None:
    cached = tmp_path / JAR.path
    cached.parent.mkdir(parents=True)
    cached.write_bytes(b"tampered with")
    with serving(lambda _: (200, CONTENT)) as server:
        JarCache(tmp_path, server.url).fetch([JAR], ignore, ignore)

    assert CONTENT == cached.read_bytes()


def test_a_download_that_breaks_off_leaves_nothing_behind(tmp_path: Path) -> None:
    with serving(lambda _: (200, CONTENT)) as server:
        server.break_off = True
        with pytest.raises(LabError, match="cannot download"):
            JarCache(tmp_path, server.url).fetch([JAR], ignore, ignore)

    assert [] == [path for path in tmp_path.rglob("*") if path.is_file()]


def test_a_server_error_is_tried_again(tmp_path: Path) -> None:
    answers: list[Answer] = [(503, b""), (200, CONTENT)]

    def answer(_: Request) -> Answer:
        return answers.pop(0)

    with serving(answer) as server:
        found = JarCache(tmp_path, server.url).fetch([JAR], ignore, ignore)

    assert CONTENT == found[0].read_bytes()


def test_a_jar_that_is_not_there_is_not_asked_for_again(tmp_path: Path) -> None:
    with serving(lambda _: (404, b"")) as server, pytest.raises(LabError, match="status 404"):
        JarCache(tmp_path, server.url).fetch([JAR], ignore, ignore)

    assert 1 == len(server.requests)


def test_progress_is_told_in_bytes(tmp_path: Path) -> None:
    expected: list[int] = []
    arrived: list[int] = []
    with serving(lambda _: (200, CONTENT)) as server:
        JarCache(tmp_path, server.url).fetch([JAR], expected.append, arrived.append)

    assert len(CONTENT) == sum(expected) == sum(arrived)


def test_the_repository_can_be_named_by_the_environment() -> None:
    assert "http://mirror/maven" == repository_url({"K2LAB_MAVEN_URL": "http://mirror/maven/"})


def test_the_committed_lock_is_sound() -> None:
    lock = Path(__file__).parents[3] / "stack" / "images" / "jars.lock"

    assert {"kafka", "registry", "store", "catalog"} == set(read_lock(lock))
