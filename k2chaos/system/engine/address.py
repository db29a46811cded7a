"""Which engine: ``DOCKER_HOST``, else the docker CLI's context, else a socket that is there."""

import json
import os
from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

DEFAULT_SOCKET: Final = "unix:///var/run/docker.sock"


def engine_address(environ: Mapping[str, str] = os.environ) -> str:
    """The engine that the docker CLI would use, as a URL."""
    if environ.get("DOCKER_HOST"):
        return environ["DOCKER_HOST"]
    config = Path(environ.get("DOCKER_CONFIG", Path.home() / ".docker"))
    name = environ.get("DOCKER_CONTEXT") or _json(config / "config.json").get("currentContext")
    if not name or name == "default":
        return _rootless_socket(environ) or DEFAULT_SOCKET
    meta = config / "contexts" / "meta" / sha256(name.encode()).hexdigest() / "meta.json"
    return str(_json(meta).get("Endpoints", {}).get("docker", {}).get("Host", DEFAULT_SOCKET))


def _rootless_socket(environ: Mapping[str, str]) -> str:
    """A rootless engine's socket, where it is the only one; its installer may set no context."""
    socket = Path(environ.get("XDG_RUNTIME_DIR", "")) / "docker.sock"
    is_alone = not Path(DEFAULT_SOCKET.removeprefix("unix://")).exists()
    return f"unix://{socket}" if is_alone and socket.is_absolute() and socket.exists() else ""


def _json(path: Path) -> dict[str, Any]:
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return value if isinstance(value, dict) else {}
