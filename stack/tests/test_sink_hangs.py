"""Dependencies that accept connections and stay silent: every call of the sink's ends."""

import itertools
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from pyarrow.fs import FileSelector
from sink_kafka import wait_until

from consumer_crypto.batch import Record
from consumer_crypto.catalog import connect
from consumer_crypto.codec import Registries
from consumer_crypto.dlq import DeadLetters, Letter
from consumer_crypto.settings import Settings
from consumer_crypto.store import CONNECT_SECONDS, SILENCE_SECONDS, ImpatientFileIO
from consumer_crypto.trouble import explain

SERVICES = Path(__file__).parents[1] / "services"


@pytest.fixture(scope="module")
def silent() -> Iterator[str]:
    """Accept whatever comes, and say nothing."""
    with socket.create_server(("127.0.0.1", 0), backlog=128) as server:
        kept = []

        def accept() -> None:
            while True:
                try:
                    kept.append(server.accept()[0])
                except OSError:
                    return

        threading.Thread(target=accept, daemon=True).start()
        yield f"127.0.0.1:{server.getsockname()[1]}"
        for one in kept:
            one.close()


def environment(silent: str) -> dict[str, str]:
    return {
        "KAFKA_BOOTSTRAP": silent, "CATALOG_URI": f"http://{silent}",
        "S3_ENDPOINT": f"http://{silent}", "SCHEMA_REGISTRY_URLS": f"http://{silent}",
        "S3_ACCESS_KEY": "a", "S3_SECRET_KEY": "b",
    }  # fmt: skip


def store(silent: str) -> ImpatientFileIO:
    return ImpatientFileIO(
        {
            "s3.endpoint": f"http://{silent}", "s3.region": "us-east-1",
            "s3.access-key-id": "a", "s3.secret-access-key": "b",
            "s3.connect-timeout": str(CONNECT_SECONDS), "s3.request-timeout": str(SILENCE_SECONDS),
        }
    )  # fmt: skip


def write_file(silent: str) -> None:
    with store(silent).new_output("s3://warehouse/x").create(overwrite=True) as file:
        file.write(b"x")


def ask_registries(silent: str) -> None:
    with Registries([f"http://{silent}", f"http://{silent}"]) as registries:
        registries.schema(3)


STORE = ["read", "write", "delete", "list"]
CALLS: dict[str, tuple[Callable[[str], object], float, str]] = {
    "read": (lambda at: store(at).new_input("s3://warehouse/x").open().read(), 10, "the store"),
    "write": (write_file, 16, "the store"),
    "delete": (lambda at: store(at).delete("s3://warehouse/x"), 10, "the store"),
    "list": (
        lambda at: store(at).fs_by_scheme("s3", "warehouse").get_file_info(
            FileSelector("warehouse/x", recursive=True)
        ),
        10,
        "the store",
    ),
    "catalog": (
        lambda at: connect(Settings.from_environment(environment(at))), 18, "the catalog"
    ),
    "registries": (ask_registries, 12, "no schema registry"),
    "letters": (
        lambda at: DeadLetters(at, "t", "t.dlq").send([Letter(Record(0, 0, b"", b""), "r", "t")]),
        35,
        "the broker",
    ),
}  # fmt: skip


def test_no_call_waits_for_ever_and_each_says_whom_it_waited_for(silent: str) -> None:
    def call(name: str) -> tuple[str, float, str]:
        action = CALLS[name][0]
        started = time.monotonic()
        try:
            action(silent)
        except Exception as error:  # noqa: BLE001 - whichever kind, it is looked at below
            return name, time.monotonic() - started, explain(error)
        return name, 0.0, "it was answered"

    # The store's client lets some calls wait for each other, so these are made one by one.
    queues = [STORE, *([name] for name in CALLS if name not in STORE)]
    with ThreadPoolExecutor(len(queues)) as pool:
        answers = pool.map(lambda names: [call(name) for name in names], queues)
        for name, took, said in itertools.chain.from_iterable(answers):
            _, limit, whom = CALLS[name]
            assert took < limit, f"{name} took {took:.1f} s: {said}"
            assert whom in said, said


def process(silent: str, port: int, **more: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "consumer_crypto"],
        cwd=SERVICES,
        env={**os.environ, **environment(silent), "PORT": str(port), **more},
        stderr=subprocess.PIPE,
        text=True,
    )


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as one:
        return int(one.getsockname()[1])


def accepts(port: int) -> bool:
    with socket.socket() as one:
        return one.connect_ex(("127.0.0.1", port)) == 0


def test_sigterm_ends_a_sink_whose_every_dependency_hangs(silent: str) -> None:
    port = free_port()
    with process(silent, port) as sink:
        wait_until(lambda: accepts(port))
        sink.send_signal(signal.SIGTERM)
        assert sink.wait(28) == 0


@pytest.mark.parametrize(
    "bugs, project, why",
    [
        ("sink-offset-first", "k2-lab", "sink-offset-first; there are"),
        ("sink-offsets-first", "k2", "this is no lab"),
    ],
)
def test_a_bug_that_is_refused_ends_the_sink_with_one_line(
    silent: str, bugs: str, project: str, why: str
) -> None:
    with process(silent, free_port(), LAB_BUGS=bugs, LAB_PROJECT=project) as sink:
        assert sink.wait(30) == 2
        assert sink.stderr is not None
        lines = sink.stderr.read().splitlines()
    assert len(lines) == 1
    assert why in lines[0]


def test_health_lists_the_bugs_and_the_log_says_what_they_do(silent: str) -> None:
    port = free_port()
    with process(silent, port, LAB_BUGS="sink-offsets-first", LAB_PROJECT="k2-lab") as sink:
        wait_until(lambda: accepts(port))
        with socket.create_connection(("127.0.0.1", port), 5) as one:
            one.sendall(b"GET /health HTTP/1.0\r\n\r\n")
            answer = b"".join(iter(lambda: one.recv(4096), b"")).decode()
        sink.kill()
        assert sink.stderr is not None
        log = sink.stderr.read()
    assert '"bugs": ["sink-offsets-first"]' in answer
    assert "503" in answer.splitlines()[0]
    assert "WARNING consumer_crypto bug on purpose, sink-offsets-first: commits a batch's" in log
