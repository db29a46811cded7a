"""Connecting to an engine, and what its answers are written in."""

import re
from datetime import UTC, datetime
from typing import Any

import docker
from docker.errors import DockerException
from requests.exceptions import RequestException

from k2chaos.errors import EngineUnreachable


def client_of(address: str, seconds: float) -> Any:
    """
    A client of the engine at *address*, whose answers may take so many *seconds*.

    Raises:
        EngineUnreachable: Nothing answers there, or we may not ask.
    """
    try:
        client = docker.DockerClient(base_url=address, version="auto", timeout=seconds)
        client.ping()
    except (DockerException, RequestException) as error:
        denied = "ermission denied" in str(error)
        advice = (
            "your user may not use it (add it to the engine's group, or use sudo)"
            if denied
            else "start it, or point DOCKER_HOST at another (in a clone, `make setup` does it)"
        )
        message = f"no container engine answers at {address}: {advice}"
        raise EngineUnreachable(message) from error
    return client


def moment_of(text: str) -> datetime | None:
    """The engine's RFC 3339 with nanoseconds; year 1 means never."""
    if text.startswith("0001"):
        return None
    trimmed = re.sub(r"(\.\d{6})\d+", r"\1", text).replace("Z", "+00:00")
    return datetime.fromisoformat(trimmed).astimezone(UTC)
