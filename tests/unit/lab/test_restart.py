from pathlib import Path

import pytest

from k2chaos.errors import UsageError
from k2chaos.system.engine.address import DEFAULT_SOCKET
from k2chaos.system.lab.restart import find_daemon, refuse_strangers
from tests.unit.lab.containers import container

OTHER = "unix:///run/other.sock"


def processes(folder: Path, *commands: tuple[str, ...]) -> Path:
    for number, words in enumerate(commands, start=100):
        (folder / str(number)).mkdir()
        (folder / str(number) / "cmdline").write_bytes("\0".join(words).encode() + b"\0")
    return folder


def test_the_daemon_is_the_one_that_listens_at_the_address(tmp_path: Path) -> None:
    seen = processes(
        tmp_path, ("/usr/sbin/dockerd",), ("dockerd", "-H", OTHER), ("sh", "-c", "dockerd")
    )

    assert 100 == find_daemon(DEFAULT_SOCKET, seen).pid
    assert ("dockerd", "-H", OTHER) == find_daemon(OTHER, seen).command


@pytest.mark.parametrize("words", [("dockerd", f"--host={OTHER}"), ("dockerd", "--host", OTHER)])
def test_the_address_is_found_however_it_is_written(words: tuple[str, ...], tmp_path: Path) -> None:
    assert 100 == find_daemon(OTHER, processes(tmp_path, words)).pid


def test_an_engine_whose_daemon_cannot_be_seen_is_left_alone(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="0 daemons"):
        find_daemon("tcp://elsewhere:2375", processes(tmp_path, ("dockerd",)))


def test_two_daemons_at_one_address_are_left_alone(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="2 daemons"):
        find_daemon(DEFAULT_SOCKET, processes(tmp_path, ("dockerd",), ("dockerd",)))


def test_an_engine_with_strangers_on_it_is_left_alone() -> None:
    with pytest.raises(UsageError, match=r"theirs-web-1 would end"):
        refuse_strangers([container("kafka"), container("web", project="theirs")])
    refuse_strangers([container("kafka")])
