"""``k2chaos lab engine``: an engine that answers, and the image that all others start from."""

from typing import Final

from rich.console import Console

from k2chaos.system.lab.base_image import ensure_base
from k2chaos.system.lab.bootstrap import ready_engine
from k2chaos.system.lab.progress import say, tasks

BASE_IMAGE: Final = "debian:trixie-slim"
"""What the helper image and every image of the lab are built on."""


def prepare_engine(console: Console) -> None:
    """
    Get an engine and the base image: use what is there, install and build what is not.

    Raises:
        EngineUnreachable: There is no engine, and we should not make one; says what to do.
        LabError: Installing, starting, pulling or building failed; says how.
    """
    engine = ready_engine(console)
    if not engine.has_image(BASE_IMAGE):
        with tasks(console) as shown:
            ensure_base(engine, shown, BASE_IMAGE)
    say(console, f"the engine at {engine.address} is ready")
