"""The labels by which Compose tells its containers apart."""

from collections.abc import Mapping
from typing import Final

PROJECT: Final = "com.docker.compose.project"
SERVICE: Final = "com.docker.compose.service"
NUMBER: Final = "com.docker.compose.container-number"
_ONE_OFF: Final = "com.docker.compose.oneoff"


def is_one_off(labels: Mapping[str, str]) -> bool:
    """Whether it was started with ``compose run``: such a one is not part of the pipeline."""
    return labels.get(_ONE_OFF, "False").lower() == "true"


def replica(labels: Mapping[str, str]) -> int:
    """Compose's replica number; 0, which no target has, where the label is not one."""
    text = labels.get(NUMBER, "1")
    return int(text) if text.isdecimal() else 0
