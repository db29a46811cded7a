"""The API as a process: what hangs around it, its end, its settings, its bugs on purpose."""

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest
from pyiceberg.io.pyarrow import PyArrowFileIO
from sink_catalog import Lake as Store
from test_exchange_process import free_port
from test_sink_table import OWNED, opened, step

from query_api import catalog, dependencies
from query_api.settings import Settings

SERVICES = Path(__file__).parents[1] / "services"
KEY = "right"


@contextmanager
def silent() -> Iterator[str]:
    """A server that accepts connections and never says anything, as one that is paused."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen(100)
        yield f"127.0.0.1:{listening.getsockname()[1]}"


class RestCatalog:
    """As much of a REST catalog as a reader asks of it, over the table of *store*."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.is_silent = False
        self.released = threading.Event()
        self.asked = 0
        self.connections = 0

    def answer(self, path: str) -> Any:
        self.asked += 1
        self.connections += path.startswith("/v1/config")
        if self.is_silent:
            self.released.wait(60)
        if path.startswith("/v1/config"):
            return {"defaults": {}, "overrides": {}}
        assert self.store.metadata is not None
        metadata = json.loads(self.store.metadata.model_dump_json())
        return {"metadata-location": "memory", "metadata": metadata, "config": {}}

    @contextmanager
    def serving(self) -> Iterator[str]:
        answer = self.answer

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                body = json.dumps(answer(self.path)).encode()
                with suppress(OSError):
                    self.send_response(200)
                    self.send_header("Content-Type", "application/json")
                    self.send_header("Content-Length", str(len(body)))
                    self.end_headers()
                    self.wfile.write(body)

            def log_message(self, *_: Any) -> None:
                """Stay quiet."""

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            self.released.set()
            server.shutdown()
            server.server_close()
            thread.join()


def environment(**more: str) -> dict[str, str]:
    return {
        **os.environ,
        "PYTHONPATH": str(SERVICES),
        "S3_ACCESS_KEY": "x",
        "S3_SECRET_KEY": "x",
        "API_KEY": KEY,
        "LAB_PROJECT": "k2-lab",
        **more,
    }


class Process:
    """The service, and a client of it."""

    def __init__(self, log: Path, **settings: str) -> None:
        port = free_port()
        self._log = log
        with log.open("wb") as errors:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "query_api"],
                env=environment(PORT=str(port), **settings),
                stderr=errors,
            )
        self.url = f"http://127.0.0.1:{port}"
        self.client = httpx.Client(base_url=self.url, headers={"X-API-Key": KEY}, timeout=5)

    def get(self, path: str) -> httpx.Response:
        """Ask; an answer that takes a second is none."""
        began = time.monotonic()
        response = self.client.get(path)
        assert time.monotonic() - began < 1, path
        return response

    def until(self, condition: Callable[[], bool], seconds: float = 30) -> None:
        deadline = time.monotonic() + seconds
        while True:
            assert self.process.poll() is None, self.log()
            with suppress(httpx.TransportError):
                if condition():
                    return
            assert time.monotonic() < deadline, self.log()
            time.sleep(0.05)

    def log(self) -> str:
        return self._log.read_text(encoding="utf-8")


@contextmanager
def running(folder: Path, **settings: str) -> Iterator[Process]:
    one = Process(folder / "log", **settings)
    try:
        yield one
    finally:
        one.process.kill()
        one.process.wait()
        one.client.close()


@pytest.fixture
def store(tmp_path: Path) -> Store:
    one = Store(tmp_path)
    opened(one).append(step("a", 1, 2, 3), OWNED)
    return one


@contextmanager
def over(store: Store, folder: Path, **more: str) -> Iterator[tuple[RestCatalog, Process]]:
    """The process over a real table, all its other dependencies silent."""
    rest = RestCatalog(store)
    with ExitStack() as stack:
        uri, quiet = stack.enter_context(rest.serving()), stack.enter_context(silent())
        settings = {
            "CATALOG_URI": uri,
            "S3_ENDPOINT": f"http://{quiet}",
            "KAFKA_BOOTSTRAP": quiet,
            "SCHEMA_REGISTRY_URLS": f"http://{quiet}",
        }
        api = stack.enter_context(running(folder, **settings, **more))
        api.until(lambda: api.get("/v1/stats").status_code == 200)
        yield rest, api


def ask_and_wait(url: str) -> None:
    with suppress(httpx.TransportError):
        httpx.get(f"{url}/v1/snapshots", headers={"X-API-Key": KEY}, timeout=30)


def test_it_answers_on_when_all_it_leans_on_hangs_and_ends_when_told(
    store: Store, tmp_path: Path
) -> None:
    with over(store, tmp_path) as (rest, api):
        before = api.get("/v1/trades").json()
        assert [one["source_sequence"] for one in before["data"]] == [3, 2, 1]
        rest.is_silent = True
        api.until(lambda: api.get("/v1/trades").headers["X-Degraded"] == "true", 15)
        body = api.get("/v1/trades").json()
        assert body["data"] == before["data"]
        assert body["meta"]["age_seconds"] > 5
        assert "the catalog has not answered" in body["meta"]["reason"] or (
            "ReadTimeout" in body["meta"]["reason"]
        )
        health = api.get("/health")
        assert (health.status_code, health.json()["status"]) == (200, "degraded")
        told = {one["name"]: one["status"] for one in health.json()["dependencies"]}
        names = {"iceberg-rest", "object-store", "kafka", "schema-registry"}
        assert told == dict.fromkeys(names, "unhealthy")
        for _ in range(4):  # one after the other, each until the catalog is given up: 20 s
            threading.Thread(target=ask_and_wait, args=[api.url], daemon=True).start()
        # The follower has its connection; whoever connects now does so for the snapshots.
        api.until(lambda: rest.connections == 2)
        began = time.monotonic()
        api.process.send_signal(signal.SIGTERM)
        assert api.process.wait(10) == 0, api.log()
        assert time.monotonic() - began < 10


def test_it_ends_when_told_before_it_ever_read_the_table(tmp_path: Path) -> None:
    with silent() as quiet:
        silence = {"CATALOG_URI": f"http://{quiet}", "S3_ENDPOINT": f"http://{quiet}"}
        rest = {"KAFKA_BOOTSTRAP": quiet, "SCHEMA_REGISTRY_URLS": f"http://{quiet}"}
        with running(tmp_path, **silence, **rest) as api:
            api.until(lambda: api.get("/health").status_code == 503)
            for path in ("/v1/trades", "/v1/stats", "/v1/symbols", "/v1/snapshots"):
                assert api.get(path).json()["code"] == "no-data"
            began = time.monotonic()
            api.process.send_signal(signal.SIGTERM)
            assert api.process.wait(10) == 0, api.log()
            assert time.monotonic() - began < 10


def settings_with(endpoint: str) -> Settings:
    return Settings.from_environment(
        environment(CATALOG_URI=f"http://{endpoint}", S3_ENDPOINT=f"http://{endpoint}")
    )


def seconds_of(work: Callable[[], object]) -> float:
    began = time.monotonic()
    with pytest.raises(OSError):  # noqa: PT011 - whatever kind of it
        work()
    return time.monotonic() - began


async def test_no_question_to_a_silent_server_lasts(tmp_path: Path) -> None:
    with silent() as quiet:
        settings = settings_with(quiet)

        def ask_catalog() -> None:
            catalog.connect(settings, history=False)

        def ask_store() -> None:
            properties = catalog.properties(settings, history=False)
            PyArrowFileIO(properties).new_input("s3://warehouse/x").open()

        asks = (ask_catalog, ask_store, dependencies.store(f"http://{quiet}"))
        took = await asyncio.gather(*(asyncio.to_thread(seconds_of, ask) for ask in asks))
    assert took[0] < 7
    assert took[1] < 11
    assert took[2] < 3


def test_a_bug_on_purpose_calls_an_old_snapshot_the_current_one(
    store: Store, tmp_path: Path
) -> None:
    with over(store, tmp_path, LAB_BUGS="api-old-snapshot,source-no-gap-fill") as (rest, api):
        assert api.get("/health").json()["bugs"] == ["api-old-snapshot"]
        assert "WARNING query_api bug on purpose, api-old-snapshot: answers from" in api.log()
        opened(store).append(step("b", 4), OWNED)
        asked, as_of = rest.asked, datetime.now(UTC).replace(tzinfo=None)
        api.until(lambda: rest.asked > asked + 3)
        body = api.get("/v1/trades").json()
        assert [one["source_sequence"] for one in body["data"]] == [3, 2, 1]
        assert body["meta"]["degraded"] is False
        assert datetime.fromisoformat(body["meta"]["as_of"]) > as_of - timedelta(seconds=1)


def test_without_it_the_newest_snapshot_is_answered_from(store: Store, tmp_path: Path) -> None:
    with over(store, tmp_path) as (_, api):
        assert api.get("/health").json()["bugs"] == []
        opened(store).append(step("b", 4), OWNED)
        api.until(lambda: len(api.get("/v1/trades").json()["data"]) == 4)


@pytest.mark.parametrize(
    "name, value", [("LAB_BUGS", "api-old-snapshto"), ("PORT", "x"), ("API_KEY", "")]
)
def test_a_bad_setting_ends_the_process_with_code_2_and_one_line(name: str, value: str) -> None:
    ended = subprocess.run(
        [sys.executable, "-m", "query_api"],
        env=environment(**{name: value}),
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 2
    (line,) = ended.stderr.splitlines()
    assert name in line


def test_outside_the_lab_a_bug_ends_the_process_with_code_2_and_one_line() -> None:
    ended = subprocess.run(
        [sys.executable, "-m", "query_api"],
        env=environment(LAB_BUGS="api-old-snapshot", LAB_PROJECT="k2"),
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 2
    (line,) = ended.stderr.splitlines()
    assert "this is no lab: LAB_PROJECT (the Compose project) is 'k2'" in line


def test_a_header_longer_than_any_key_is_refused_and_the_next_request_answered(
    store: Store, tmp_path: Path
) -> None:
    with over(store, tmp_path) as (_, api):
        answer = httpx.get(f"{api.url}/v1/trades", headers={"X-API-Key": "x" * 40_000})
        assert answer.status_code == 403
        for long in ("/v1/trades?symbol=" + "x" * 60_000, "/" + "x" * 60_000):
            assert api.get(long).status_code == (422 if "?" in long else 404)
        # Beyond 64 KiB it is refused while the client still sends, who may see no more than that.
        with suppress(httpx.TransportError):
            answer = httpx.get(f"{api.url}/v1/trades", headers={"X-Long": "x" * 1_000_000})
            assert answer.status_code == 400
        assert api.get("/v1/trades").status_code == 200
