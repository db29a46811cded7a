"""Where the lab's files are: ``stack/`` of a clone of the project."""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from k2chaos.errors import NotInLab

PROJECT: Final = "k2-lab"
_MARKS: Final = ("compose.yaml", "images/images.toml", "images/jars.lock")


@dataclass(frozen=True, slots=True)
class Stack:
    """
    The folder that everything of the lab is built and started from.

    Attributes:
        folder: ``stack/`` of the clone.
    """

    folder: Path

    @property
    def compose_file(self) -> Path:
        """The Compose file."""
        return self.folder / "compose.yaml"

    @property
    def env_file(self) -> Path:
        """The lab's secrets, made by the first ``lab up``."""
        return self.folder / ".env"

    @property
    def ca_file(self) -> Path:
        """The certificate that the exchange's is verified with; no secret."""
        return self.folder / "lab-ca.pem"

    @property
    def images(self) -> Path:
        """Dockerfiles, the list of images and the lock of jars."""
        return self.folder / "images"


def find_stack(start: Path | None = None, package: Path | None = None) -> Stack:
    """
    Find ``stack/`` above *start*, else beside the package.

    Args:
        start: Where to look first, upwards; the working directory by default.
        package: A file of this package, for a clone that is installed in place.

    Raises:
        NotInLab: Neither is in a clone.
    """
    start = (start or Path.cwd()).resolve()
    package = (package or Path(__file__)).resolve()
    for folder in (start, *start.parents, *package.parents):
        for candidate in (folder, folder / "stack"):
            if all((candidate / mark).is_file() for mark in _MARKS):
                return Stack(candidate)
    message = (
        f"no stack/ in {start} or above it: the lab comes with a clone of the project, not with "
        "the installed package; change into a clone and try again"
    )
    raise NotInLab(message)
