"""Which engine is meant: as the docker CLI would have it."""

import json
from hashlib import sha256
from pathlib import Path

import pytest

from k2chaos.system.engine.address import DEFAULT_SOCKET, engine_address


def _context(folder: Path, name: str, host: str) -> dict[str, str]:
    meta = folder / "contexts" / "meta" / sha256(name.encode()).hexdigest()
    meta.mkdir(parents=True)
    (meta / "meta.json").write_text(json.dumps({"Endpoints": {"docker": {"Host": host}}}))
    (folder / "config.json").write_text(json.dumps({"currentContext": name}))
    return {"DOCKER_CONFIG": str(folder)}


def test_docker_host_wins(tmp_path: Path) -> None:
    environ = _context(tmp_path, "remote", "tcp://192.0.2.1:2376")

    assert "unix:///x.sock" == engine_address({**environ, "DOCKER_HOST": "unix:///x.sock"})


def test_the_current_context_comes_next(tmp_path: Path) -> None:
    environ = _context(tmp_path, "rootless", "unix:///run/user/1000/docker.sock")

    assert "unix:///run/user/1000/docker.sock" == engine_address(environ)


def test_docker_context_names_another(tmp_path: Path) -> None:
    environ = _context(tmp_path, "remote", "tcp://192.0.2.1:2376")
    (tmp_path / "config.json").unlink()

    assert "tcp://192.0.2.1:2376" == engine_address({**environ, "DOCKER_CONTEXT": "remote"})


@pytest.mark.parametrize("content", ["", "{", "[]", '{"currentContext": "default"}'])
def test_otherwise_it_is_the_default_socket(content: str, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(content)

    assert DEFAULT_SOCKET == engine_address({"DOCKER_CONFIG": str(tmp_path)})
