"""
Helpers: containers of our own that act on a target from outside.

The image is built on first need from the files in `k2chaos.system.helper`; its tag is their
digest, so that an engine never runs the helper of another version. A helper is never part of a
Compose project, so nothing that chooses targets can see it. One that lasts is found by the tag of
its fault and its own name, by any process.
"""

import contextlib
import io
import tarfile
import time
from hashlib import sha256
from importlib import resources
from typing import Any, Final

from docker.errors import APIError, ImageNotFound, NotFound

from k2chaos.errors import ContainerNotFound, FaultError
from k2chaos.system.runtime import FAULT_LABEL, HelperCall

LABEL: Final = "k2chaos.helper"
NAME: Final = "k2chaos.name"
FORGOTTEN_SECONDS: Final = 60.0
"""A helper this old that does not run has lost whoever was to remove it: a run that was killed."""
IDLE_FORGOTTEN_SECONDS: Final = 5.0
"""The same while there is no run on the engine."""
_LINES: Final = 5
"""As many of a lasting helper's last lines are read."""


def run(client: Any, call: HelperCall, network: str) -> str:
    """Run *call* in the *network* to its end; what it printed."""
    helper = _create(client, call, network)
    try:
        helper.start()
        status = helper.wait()["StatusCode"]
        output = helper.logs(stdout=True, stderr=False)
        if status:
            said = helper.logs(stdout=False, stderr=True).decode(errors="replace").strip()
            message = f"helper {call} failed with {status}: {said[-500:]}"
            raise FaultError(message)
    finally:
        _remove(helper)
    drop_forgotten(client, time.time())  # here it delays no injection
    return str(output.decode(errors="replace"))


def start(client: Any, call: HelperCall, network: str, tag: str, name: str) -> None:
    """Start *call* and let it run."""
    helper = _create(client, call, network, {FAULT_LABEL: tag, NAME: name})
    try:
        helper.start()
    except APIError:
        _remove(helper)
        raise


def tell(client: Any, tag: str, name: str, command: tuple[str, ...]) -> str:
    """Run *command* in a lasting helper; what it printed."""
    status, (said, complained) = _one(client, tag, name).exec_run(list(command), demux=True)
    if status:
        words = (complained or b"").decode(errors="replace").strip()
        message = f"helper {' '.join(command)} failed with {status}: {words[-500:]}"
        raise FaultError(message)
    return str((said or b"").decode(errors="replace"))


def said(client: Any, tag: str, name: str) -> tuple[str, ...]:
    """The last whole lines that a lasting helper printed."""
    helper = _one(client, tag, name)
    if helper.status != "running":
        message = f"the helper {name} of fault {tag} has ended"
        raise ContainerNotFound(message)
    text = helper.logs(tail=_LINES, stderr=False).decode(errors="replace")
    return tuple(text.rpartition("\n")[0].splitlines())


def names(client: Any, tag: str) -> tuple[str, ...]:
    """The names of the helpers of the fault *tag*, stopped ones too."""
    return tuple(sorted(one.labels.get(NAME, "") for one in _all(client, tag)))


def remove_all(client: Any, tag: str) -> None:
    """Remove the helpers of the fault *tag*, with whatever still runs in them."""
    for helper in _all(client, tag):
        _remove(helper)


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
    client.images.build(fileobj=context, custom_context=True, tag=tag, rm=True, forcerm=True)
    return tag


def _create(
    client: Any, call: HelperCall, network: str, labels: dict[str, str] | None = None
) -> Any:
    return client.containers.create(
        image(client),
        list(call.command),
        network_mode=network,
        pid_mode="host" if call.sees_host else None,
        cap_drop=["ALL"],
        cap_add=list(call.capabilities),
        labels={LABEL: "true", **call.labels, **(labels or {})},
    )


def drop_forgotten(client: Any, now: float, age_seconds: float = FORGOTTEN_SECONDS) -> int:
    """
    Remove the helpers that a killed process left behind, ended or never started; how many.

    Args:
        now: Seconds since 1970.
        age_seconds: Younger ones may have somebody who is about to start or remove them.
    """
    filters = {"label": LABEL, "status": ["created", "exited", "dead"]}
    dropped = 0
    for one in client.api.containers(all=True, filters=filters):
        if now - one["Created"] > age_seconds:
            with contextlib.suppress(APIError):  # somebody else was faster
                client.api.remove_container(one["Id"], force=True)
                dropped += 1
    return dropped


def _all(client: Any, tag: str) -> list[Any]:
    return [
        *client.containers.list(
            all=True, ignore_removed=True, filters={"label": f"{FAULT_LABEL}={tag}"}
        )
    ]


def _one(client: Any, tag: str, name: str) -> Any:
    for helper in _all(client, tag):
        if helper.labels.get(NAME) == name:
            return helper
    message = f"the helper {name} of fault {tag} is gone"
    raise ContainerNotFound(message)


def _remove(helper: Any) -> None:
    with contextlib.suppress(NotFound):
        helper.remove(force=True)
