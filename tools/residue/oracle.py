"""
What a container is like, by everybody's account but the injector's: engine CLI, kernel files,
``iptables-save`` and ``tc`` in its network namespace.

What an exchange is like, by its list of orders, and by what a new subscriber gets within a moment.

Shares no code with the product. It must run on the engine's own host, as root.
"""

import json
import re
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from tests.contract.subscriber import subscribed

_CGROUPS: Final = Path("/sys/fs/cgroup")
_LIMITS: Final = (
    "cpu.cfs_quota_us", "memory.limit_in_bytes", "memory.memsw.limit_in_bytes",
    "pids.max", "cpu.max", "memory.max", "memory.swap.max",
)  # fmt: skip
"""Of cgroup v1 and of v2; a host has the one or the other."""
_LISTINGS: Final = (
    ("iptables-save",), ("tc", "qdisc", "show"), ("tc", "class", "show"), ("tc", "filter", "show"),
)  # fmt: skip
_SECONDS: Final = 5.0
_RATE_SECONDS: Final = 0.5
_TRADES: Final = 60
_PLAIN_RATE: Final = 600.0
"""Three times what the exchange of a trial trades; a burst is ten times that."""
_LATE_MS: Final = 500.0
_NOTHING: Final = re.compile(r"\[\d+:\d+\]|^#.*$|^\*.*$|^COMMIT$|^:\w+ ACCEPT.*$", re.MULTILINE)
"""Counters, and what a table that has no rule prints once somebody has looked at it."""
_PORTS: Final = re.compile(r"(?<=127\.0\.0\.11:)\d+|(?<=--sport )\d+(?= -j SNAT)")
"""Of the engine's resolver: others in each life of a container."""


def look(engine: str, container: str) -> dict[str, Any]:
    """Everything about *container* that a fault may change, as plain JSON."""
    (entry,) = json.loads(command("docker", "--host", engine, "inspect", container))
    seen: dict[str, Any] = {
        "status": entry["State"]["Status"],
        "networks": _networks(entry),
    }
    pid = entry["State"]["Pid"]
    if pid:
        seen["limits"] = dict(_limits(pid))
        seen["stopped processes"] = [*_stopped(pid)]
        seen["rules"] = {" ".join(one): _listing(pid, one) for one in _LISTINGS}
    return seen


def look_at_feed(control: str, stream: str) -> dict[str, Any]:
    """Everything about a feed that a fault may change, as plain JSON."""
    with urllib.request.urlopen(f"{control}/faults", timeout=_SECONDS) as answer:  # noqa: S310
        orders = json.load(answer)["in_force"]
    with subscribed(stream) as new:
        until = time.monotonic() + _SECONDS
        while new.trades < _TRADES and time.monotonic() < until:
            time.sleep(0.01)
        since, first = time.monotonic(), new.trades
        time.sleep(_RATE_SECONDS)
        rate = (new.trades - first) / (time.monotonic() - since)
        late = sorted(new.late_ms)[len(new.late_ms) // 2] if new.late_ms else None
    return {
        "orders in force": sorted(orders),
        "connections": (new.opened, new.closed, new.refused),
        "trades missing, twice, out of order, broken": (
            *(new.holes, new.repeats, new.steps_back),
            len(new.junk),
        ),
        "trades come": new.trades >= _TRADES,
        "the rate is plain": rate < _PLAIN_RATE,
        "trades come in time": late is not None and late <= _LATE_MS,
    }


def differences(before: dict[str, Any], after: dict[str, Any]) -> list[str]:
    """What is not as it was, one line each."""
    names = sorted({*before, *after})
    return [line for name in names for line in _difference(name, before, after)]


def _difference(name: str, before: dict[str, Any], after: dict[str, Any]) -> Iterator[str]:
    one, other = before.get(name), after.get(name)
    if isinstance(one, dict) and isinstance(other, dict):
        yield from (f"{name}: {line}" for line in differences(one, other))
    elif one != other:
        yield f"{name}: {one} became {other}"


def troubles(seen: dict[str, Any]) -> list[str]:
    """What is not as it must be before a fault, for a look at it could not tell what one left."""
    return [f"not so: {name}" for name, value in seen.items() if value is False]


def processes(state: Path, session: int | None) -> list[str]:
    """What lives on of a trial: in the *session* of its run, or naming its *state* directory."""
    return [*_processes(str(state), str(session))]


def helpers(engine: str) -> list[str]:
    """The helper containers that are there."""
    listed = ("ps", "--all", "--quiet", "--filter", "label=k2chaos.helper")
    return command("docker", "--host", engine, *listed).split()


def command(*words: str) -> str:
    """Run it and return what it printed."""
    return subprocess.run(words, check=True, capture_output=True, text=True).stdout


def _networks(entry: dict[str, Any]) -> dict[str, Any]:
    attached = entry["NetworkSettings"]["Networks"]
    return {name: sorted(one.get("Aliases") or ()) for name, one in attached.items()}


def _limits(pid: int) -> Iterator[tuple[str, str]]:
    """The kernel's own word on what the container may use."""
    for line in Path(f"/proc/{pid}/cgroup").read_text(encoding="utf-8").splitlines():
        _, controllers, path = line.split(":", 2)
        for controller in controllers.split(","):
            folder = _CGROUPS / controller / path.lstrip("/")
            for name in _LIMITS:
                if (folder / name).exists():
                    yield name, (folder / name).read_text(encoding="utf-8").strip()


def _stopped(pid: int) -> Iterator[str]:
    """Names of its processes that a signal has stopped."""
    namespace = Path(f"/proc/{pid}/ns/pid").readlink()
    for one in Path("/proc").glob("[0-9]*"):
        try:
            if (one / "ns/pid").readlink() == namespace:
                name, _, rest = (one / "stat").read_text(encoding="utf-8").rpartition(")")
                if rest.split()[0] in {"T", "t"}:
                    yield name.partition("(")[2]
        except OSError:
            continue  # it has ended meanwhile


def _processes(state: str, session: str) -> Iterator[str]:
    for one in Path("/proc").glob("[0-9]*"):
        try:
            words = (one / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            rest = (one / "stat").read_text(encoding="utf-8").rpartition(")")[2].split()
            if rest[0] != "Z" and (rest[3] == session or state in words):
                yield f"{one.name} {words}"
        except OSError:
            continue  # it has ended meanwhile


def _listing(pid: int, words: tuple[str, ...]) -> str:
    """What *words* print in its network namespace, as far as it does something."""
    said = _PORTS.sub("port", command("nsenter", "--target", str(pid), "--net", *words))
    return "\n".join(line.strip() for line in _NOTHING.sub("", said).splitlines() if line.strip())
