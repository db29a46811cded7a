"""
The image that all others start from: pulled, else built from the distribution's own packages.

Either way it goes by the same name afterwards, so that every Dockerfile says the same on a
machine that reaches an image registry and on one that does not.
"""

import os
import re
import shutil
import tempfile
from pathlib import Path
from typing import Final

import platformdirs

from k2chaos.errors import LabError
from k2chaos.system.lab import apt
from k2chaos.system.lab.docker_api import LabEngine
from k2chaos.system.lab.process import run
from k2chaos.system.lab.progress import Task, Tasks

_DEBIAN: Final = re.compile(r"debian:(?P<suite>[a-z]+)-slim")


def ensure_base(engine: LabEngine, shown: Tasks, reference: str) -> None:
    """
    See to it that the engine has *reference*.

    Raises:
        LabError: It can neither be pulled nor be built here; says why for both.
    """
    if engine.has_image(reference):
        return
    task = shown.task("base image")
    repository, _, tag = reference.partition(":")
    try:
        for line in engine.pull(repository, tag):
            task.say(line)
    except LabError as error:
        refused = str(error)
    else:
        task.done("pulled")
        return
    task.say("no image registry answers; building it from packages")
    debian = _DEBIAN.fullmatch(reference)
    if debian is None:
        raise LabError(refused)
    _bootstrap(engine, task, reference, debian["suite"], refused)
    task.done("built from packages")


def _bootstrap(engine: LabEngine, task: Task, reference: str, suite: str, refused: str) -> None:
    if shutil.which("mmdebstrap") is None:
        if os.geteuid() != 0 or not apt.usable():
            message = (
                f"{refused}\nand mmdebstrap, which could build {reference} here, is not installed: "
                "install it (Debian, Ubuntu: mmdebstrap), or give the engine access to a registry"
            )
            raise LabError(message)
        apt.install(["mmdebstrap", "debian-archive-keyring"], task)
    cache = platformdirs.user_cache_path("k2chaos", ensure_exists=True)
    with tempfile.TemporaryDirectory(dir=cache) as folder:
        tarball = Path(folder) / "root.tar"
        run(
            ["mmdebstrap", "--variant=minbase", "--include=ca-certificates", suite, str(tarball)],
            task.say,
        )
        repository, _, tag = reference.partition(":")
        engine.import_image(tarball, repository, tag)
