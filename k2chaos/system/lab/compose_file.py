"""What the launcher has to know of the Compose file: who needs whom, who publishes what."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from k2chaos.errors import LabError


@dataclass(frozen=True, slots=True)
class Publication:
    """A port of the host that a service is reached by."""

    service: str
    address: str
    port: int


@dataclass(frozen=True, slots=True)
class ServiceSpec:
    """
    One service as it is declared.

    Attributes:
        needs: Services that have to be healthy before it is started.
        ports: What it publishes.
    """

    name: str
    needs: tuple[str, ...]
    ports: tuple[Publication, ...]


def read_services(path: Path) -> tuple[ServiceSpec, ...]:
    """
    Read the services of a Compose file, in its order.

    Raises:
        LabError: The file cannot be read.
    """
    try:
        declared = yaml.safe_load(path.read_text(encoding="utf-8"))["services"]
        return tuple(_service(name, entry) for name, entry in declared.items())
    except (OSError, yaml.YAMLError, KeyError, TypeError, ValueError) as error:
        message = f"{path}: cannot be used ({type(error).__name__}: {error})"
        raise LabError(message) from error


def _service(name: str, entry: dict[str, Any]) -> ServiceSpec:
    ports = tuple(_publication(name, text) for text in entry.get("ports", ()))
    return ServiceSpec(name, tuple(entry.get("depends_on", ())), ports)


def _publication(service: str, text: str) -> Publication:
    address, outside, _inside = text.split(":")
    return Publication(service, address, int(outside))
