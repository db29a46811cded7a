"""
Helpers: containers of our own that act on a target from outside, in its namespaces.

The image is built on first need from the files in `k2chaos.system.helper`; its tag is their
digest, so that an engine never runs the helper of another version. A helper is never part of a
Compose project, so nothing that chooses targets can see it.
"""

import contextlib
import io
import tarfile
from hashlib import sha256
from importlib import resources
from typing import Any, Final

from docker.errors import ContainerError, ImageNotFound, NotFound

from k2chaos.errors import ContainerNotFound, FaultError
from k2chaos.system.runtime import HelperCall

LABEL: Final = "k2chaos.helper"
NAME: Final = "k2chaos-"


def run(client: Any, call: HelperCall, namespaces: dict[str, Any]) -> str:
    """Run *call* to its end; what it printed."""
    try:
        output = client.containers.run(image(client), remove=True, **_options(call, namespaces))
    except ContainerError as error:
        said = (error.stderr or b"").decode(errors="replace").strip()
        message = f"helper {call} failed with {error.exit_status}: {said[-500:]}"
        raise FaultError(message) from error
    return str(output.decode(errors="replace"))


def start(client: Any, name: str, call: HelperCall, namespaces: dict[str, Any]) -> None:
    """Start *call* and leave it running under *name*."""
    options = _options(call, namespaces)
    client.containers.run(image(client), detach=True, name=f"{NAME}{name}", **options)


def said(client: Any, name: str, lines: int) -> tuple[str, ...] | None:
    """The last *lines* of what it printed; ``None`` where there is none of that name."""
    try:
        output = client.api.logs(f"{NAME}{name}", tail=lines, stderr=False)
    except NotFound:
        return None
    return tuple(output.decode(errors="replace").splitlines())


def enter(client: Any, name: str, command: tuple[str, ...]) -> str:
    """Run *command* inside a helper that runs; what it printed."""
    try:
        result = client.containers.get(f"{NAME}{name}").exec_run(list(command))
    except NotFound as error:
        message = f"no helper {name} runs"
        raise ContainerNotFound(message) from error
    output = str(result.output.decode(errors="replace"))
    if result.exit_code:
        message = f"helper {name}: {' '.join(command)}: {output.strip()[-500:]}"
        raise FaultError(message)
    return output


def remove(client: Any, name: str) -> None:
    """End it; nothing to do where there is none."""
    with contextlib.suppress(NotFound):
        client.api.remove_container(f"{NAME}{name}", force=True)


def image(client: Any) -> str:
    """Build the helper image of this version unless the engine has it; its tag."""
    files = sorted(
        (entry.name, entry.read_bytes())
        for entry in resources.files("k2chaos.system").joinpath("helper").iterdir()
        if entry.is_file()
    )
    digest = sha256(b"\0".join(name.encode() + b"\0" + body for name, body in files))
    tag = f"k2chaos/helper:{digest.hexdigest()[:12]}"
    with contextlib.suppress(ImageNotFound):
        client.images.get(tag)
        return tag
    context = io.BytesIO()
    with tarfile.open(fileobj=context, mode="w") as archive:
        for name, body in files:
            entry = tarfile.TarInfo(name)
            entry.size = len(body)
            archive.addfile(entry, io.BytesIO(body))
    context.seek(0)
    client.images.build(fileobj=context, custom_context=True, tag=tag, rm=True)
    return tag


def _options(call: HelperCall, namespaces: dict[str, Any]) -> dict[str, Any]:
    return {
        "command": list(call.command),
        "cap_drop": ["ALL"],
        "cap_add": list(call.capabilities),
        "labels": {LABEL: "true", **call.labels},
        **namespaces,
    }
