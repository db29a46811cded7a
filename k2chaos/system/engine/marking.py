"""Marks: containers that are created and never started, for the sake of their names."""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, Final

from docker.errors import APIError, NotFound

from k2chaos.system.engine import helping
from k2chaos.system.engine_lock import Mark

_COMPOSE: Final = "com.docker.compose."


def mark(client: Any, name: str, labels: Mapping[str, str], source: Mapping[str, Any]) -> bool:
    """
    Create one; ``False`` where the name is taken.

    Args:
        source: A listed container whose image is used; empty for the helper's.
    """
    image = source.get("ImageID") or helping.image(client)
    # An image that Compose built has the project's labels, and a container inherits them.
    inherited = client.api.inspect_image(image)["Config"].get("Labels") or {}
    hidden = {label: "" for label in inherited if label.startswith(_COMPOSE)}
    try:
        client.api.create_container(
            image,
            command=["true"],
            name=name,
            labels={**hidden, **labels},
            host_config=client.api.create_host_config(network_mode="none"),
        )
    except APIError as error:
        if error.status_code == HTTPStatus.CONFLICT:
            return False
        raise
    return True


def marks(client: Any, label: str) -> tuple[Mark, ...]:
    """All that have *label*."""
    listed = client.api.containers(all=True, filters={"label": [label]})
    return tuple(Mark(one["Id"], one["Labels"]) for one in listed)


def unmark(client: Any, identifier: str) -> None:
    """Remove one; one that is gone, or just being removed by somebody else, is removed."""
    try:
        client.api.remove_container(identifier)
    except NotFound:
        return
    except APIError as error:
        if error.status_code != HTTPStatus.CONFLICT:
            raise
