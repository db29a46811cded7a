"""
Helpers: containers of our own that act on a target from outside.

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

from docker.errors import ContainerError, ImageNotFound

from k2chaos.errors import FaultError
from k2chaos.system.runtime import HelperCall

LABEL: Final = "k2chaos.helper"


def run(client: Any, call: HelperCall) -> str:
    """Run *call* to its end; what it printed."""
    try:
        output = client.containers.run(
            image(client),
            list(call.command),
            remove=True,
            network_mode="none",
            pid_mode="host" if call.sees_host else None,
            cap_drop=["ALL"],
            cap_add=list(call.capabilities),
            labels={LABEL: "true", **call.labels},
        )
    except ContainerError as error:
        said = (error.stderr or b"").decode(errors="replace").strip()
        message = f"helper {call} failed with {error.exit_status}: {said[-500:]}"
        raise FaultError(message) from error
    return str(output.decode(errors="replace"))


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
