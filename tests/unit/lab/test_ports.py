"""Ports: who holds one is named, and the lab's own containers are no conflict."""

import os
import socket
from dataclasses import replace

import pytest

from k2chaos.errors import UsageError
from k2chaos.system.lab.compose_file import Publication
from k2chaos.system.lab.ports import check_ports, conflicts, is_taken, process_on
from tests.unit.lab.containers import container

WANTED = [Publication("schema-registry-1", "127.0.0.1", 8081)]


def free(address: str, port: int) -> bool:
    return False


def taken(address: str, port: int) -> bool:
    return True


def test_a_free_port_is_no_conflict() -> None:
    assert [] == conflicts(WANTED, {}, free, lambda _: "")


def test_a_port_of_the_lab_itself_is_no_conflict() -> None:
    ours = container("schema-registry-1", project="k2-lab")

    assert [] == conflicts(WANTED, {8081: ours}, taken, lambda _: "")


def test_a_foreign_container_is_named_with_its_project() -> None:
    other = container("web", project="shop", name="shop-web-1")

    found = conflicts(WANTED, {8081: other}, taken, lambda _: "")

    holder = "container shop-web-1 of Compose project shop"
    assert [f"127.0.0.1:8081 (for schema-registry-1) is held by {holder}"] == found


def test_a_process_is_named() -> None:
    found = conflicts(WANTED, {}, taken, lambda port: f"process {port} (nginx)")

    assert ["127.0.0.1:8081 (for schema-registry-1) is held by process 8081 (nginx)"] == found


def test_a_holder_that_cannot_be_seen_is_still_a_conflict() -> None:
    assert "cannot be seen" in conflicts(WANTED, {}, taken, lambda _: "")[0]


def test_a_real_listener_is_found_with_its_process() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        publication = Publication("kafka", "127.0.0.1", port)
        with pytest.raises(UsageError, match=f"127.0.0.1:{port} .for kafka.*process {os.getpid()}"):
            check_ports([publication], [])
        assert is_taken("127.0.0.1", port)

    assert not is_taken("127.0.0.1", port)
    assert "" == process_on(port)


def test_a_container_on_another_address_of_the_host_is_no_conflict() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    elsewhere = replace(container("web", project="shop"), ports=(f"127.0.0.9:{port}->80",))

    check_ports([Publication("kafka", "127.0.0.1", port)], [elsewhere])
