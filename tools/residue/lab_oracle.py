"""
What the lab is like, by everybody's account but the injector's: its broker, its catalog, its engine
and the sockets of this machine.

Shares no code with the product. What a fault legitimately leaves is not looked at: records that
were injected, wherever they ended; empty snapshots that were made; that a sink which was fenced, or
a source whose records were refused, has been started again (its containers are to be healthy, and
its member has another id then: that it is the sink's is seen by the table, which grows by its
commits alone); and what a fault delayed until the data flow again, for which it waits.
"""

import json
import os
import socket
import struct
import time
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

import confluent_kafka
import confluent_kafka.admin

from tools.residue.oracle import command

_kafka: Final[Any] = confluent_kafka
_SECONDS: Final = 10.0
_QUIET_SECONDS: Final = 2.0
"""Time for several commits of somebody who disturbs, who may have been refused some."""
_SET_ON_THE_TOPIC: Final = 1
_DESCRIBE_QUOTAS: Final = 48


@dataclass(frozen=True, slots=True)
class Lab:
    """
    Where it is.

    Attributes:
        topics: All whose settings matter, the first is the one that data flow through.
        table: Address of the table in the catalog's REST API.
        mark: The property by which the sink's snapshots are known.
        patience_seconds: How long each thing that moves is waited for. A producer that was starved
            waits for its own request timeout; a sink that was fenced starts after a back-off.
    """

    engine: str
    project: str
    bootstrap: str
    topics: tuple[str, ...]
    group: str
    table: str
    mark: str = "k2.kafka-offsets"
    patience_seconds: float = 150.0


def look_at_lab(lab: Lab) -> dict[str, Any]:
    """Everything about the lab that a fault may change, as plain JSON, once data flow or never."""
    comes_true = partial(_comes_true, seconds=lab.patience_seconds)
    admin = _kafka.admin.AdminClient({"bootstrap.servers": lab.bootstrap, "log_level": 0})
    flows = {
        "the containers are healthy": comes_true(lambda: _are_healthy(lab)),
        "the group is stable": comes_true(lambda: _group(admin, lab)[0] == "STABLE"),
        "the topic grows": comes_true(_grown(lambda: _ends(admin, lab.topics[0]))),
    }
    strangers, until = _strangers(lab), time.monotonic() + _QUIET_SECONDS
    flows["the table grows"] = comes_true(_grown(lambda: _rows(lab)))
    comes_true(lambda: time.monotonic() > until)
    state, members = _group(admin, lab)
    return {
        **flows,
        "nobody else commits": _strangers(lab) <= strangers,  # old ones expire
        "containers that run": _running(lab),
        "quotas": quotas(lab.bootstrap),
        "settings of topics": {name: _settings(admin, name) for name in lab.topics},
        "state of the group": state,
        "members of the group": members,
        "clients on this machine": _clients(lab.bootstrap),
    }


def services(engine: str, project: str) -> dict[str, str]:
    """The state of each of its containers, as the engine's CLI prints it; empty without a lab."""
    listed = ("--filter", f"label=com.docker.compose.project={project}", "--all", "--quiet")
    found = command("docker", "--host", engine, "ps", *listed).split()
    if not found:
        return {}
    entries = json.loads(command("docker", "--host", engine, "inspect", *found))
    return {
        entry["Config"]["Labels"]["com.docker.compose.service"]: " ".join(
            (entry["State"]["Status"], entry["State"].get("Health", {}).get("Status", ""))
        )
        for entry in entries
    }


def quotas(bootstrap: str) -> list[str]:
    """All quotas of all clients, users and addresses: Kafka's request that asks for no entity."""
    host, _, port = bootstrap.rpartition(":")
    head = struct.pack(">hhih", _DESCRIBE_QUOTAS, 0, 7, -1)  # version, correlation id, no name
    request = head + struct.pack(">ib", 0, 0)  # of no entity in particular, and not strictly
    with socket.create_connection((host, int(port)), timeout=_SECONDS) as connection:
        connection.sendall(struct.pack(">i", len(request)) + request)
        with connection.makefile("rb") as stream:
            (length,) = struct.unpack(">i", stream.read(4))
            return sorted(_quotas_in(stream.read(length)))


def _quotas_in(answer: bytes) -> Iterator[str]:
    """After correlation id and throttle time: an error, its words, and the quotas by entity."""
    at = 8

    def number(form: str) -> Any:
        nonlocal at
        (found,) = struct.unpack_from(f">{form}", answer, at)
        at += struct.calcsize(f">{form}")
        return found

    def text() -> str:
        nonlocal at
        length = number("h")
        at += max(0, length)
        return answer[at - length : at].decode() if length >= 0 else "<default>"

    code, said = number("h"), text()
    assert code == 0, f"the broker does not tell its quotas: {code} {said}"
    for _ in range(number("i")):
        entity = [f"{text()} {text()}" for _ in range(number("i"))]
        for _ in range(number("i")):
            yield f"{', '.join(entity)}: {text()} = {number('d'):g}"


def _are_healthy(lab: Lab) -> bool:
    found = services(lab.engine, lab.project)
    return bool(found) and {*found.values()} == {"running healthy"}


def _running(lab: Lab) -> list[str]:
    """Their health has been waited for; on a busy machine it may be missed again any moment."""
    found = services(lab.engine, lab.project)
    return sorted(name for name, state in found.items() if state.startswith("running"))


def _settings(admin: Any, topic: str) -> dict[str, str]:
    """Those that were set on the topic itself."""
    resource = _kafka.admin.ConfigResource(_kafka.admin.ConfigResource.Type.TOPIC, topic)
    (asked,) = admin.describe_configs([resource]).values()
    entries = asked.result(_SECONDS).values()
    return {one.name: one.value for one in entries if int(one.source) == _SET_ON_THE_TOPIC}


def _group(admin: Any, lab: Lab) -> tuple[str, list[str]]:
    """
    Its state, and each member: who, and with how many partitions.

    Not from where: a sink that an impostor fenced ends itself, and comes back at another address.
    """
    (asked,) = admin.describe_consumer_groups([lab.group]).values()
    group = asked.result(_SECONDS)
    members = [
        f"{one.client_id} as {one.group_instance_id}, "
        f"{len(one.assignment.topic_partitions) if one.assignment else 0} partitions"
        for one in group.members
    ]
    return group.state.name, sorted(members)


def _clients(bootstrap: str) -> list[str]:
    """Names of the processes of this machine, this one left out, that talk to the broker."""
    port = bootstrap.rpartition(":")[2]
    lines = command("ss", "-Htnp", "state", "established", f"( dport = :{port} )").splitlines()
    ours = f"pid={os.getpid()},"
    return sorted({line.rpartition("users:")[2] for line in lines if ours not in line})


def _ends(admin: Any, topic: str) -> int:
    """How many records the topic was ever given."""
    (asked,) = admin.describe_topics(_kafka.TopicCollection([topic])).values()
    numbers = [one.id for one in asked.result(_SECONDS).partitions]
    newest = _kafka.admin.OffsetSpec.latest()
    latest = {_kafka.TopicPartition(topic, number): newest for number in numbers}
    return sum(one.result(_SECONDS).offset for one in admin.list_offsets(latest).values())


def _snapshots(lab: Lab) -> list[dict[str, Any]]:
    with urllib.request.urlopen(lab.table, timeout=_SECONDS) as answer:  # noqa: S310
        found: list[dict[str, Any]] = json.load(answer)["metadata"]["snapshots"]
    return found


def _rows(lab: Lab) -> int:
    """How many records the last snapshot of the sink has."""
    ours = [one for one in _snapshots(lab) if lab.mark in one["summary"]]
    newest = max(ours, key=lambda one: int(one["sequence-number"]), default=None)
    return int(newest["summary"]["total-records"]) if newest else 0


def _strangers(lab: Lab) -> set[int]:
    """The snapshots that are not the sink's."""
    return {one["snapshot-id"] for one in _snapshots(lab) if lab.mark not in one["summary"]}


def _grown(ask: Callable[[], int]) -> Callable[[], bool]:
    before = ask()
    return lambda: ask() > before


def _comes_true(is_so: Callable[[], bool], seconds: float) -> bool:
    until = time.monotonic() + seconds
    while not is_so():
        if time.monotonic() > until:
            return False
        time.sleep(0.2)
    return True
