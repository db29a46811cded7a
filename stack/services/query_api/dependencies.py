"""
How the services this one leans on are doing.

Each is asked from a thread of its own, so that one which hangs delays neither the others nor
``/health``. What is told of it is its last answer and how old that is; one that owes an answer for
too long is unhealthy whatever it said before.
"""

from __future__ import annotations

import http.client
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol
from urllib.parse import urlsplit

from confluent_kafka.admin import AdminClient

from query_api.follower import Follower

_PERIOD: Final = 3.0
_ANSWER_SECONDS: Final = 2.0
_OVERDUE_SECONDS: Final = 4.0
_SERVER_ERROR: Final = 500


class UnwellError(Exception):
    """A dependency answered that it is not well."""


@dataclass(frozen=True, slots=True)
class Reading:
    """How a dependency is: its last latency, how old that is, and what is wrong."""

    name: str
    healthy: bool
    latency_ms: float | None
    age_seconds: float | None
    message: str


class Dependency(Protocol):
    """Something that can be read at any time, at once."""

    def read(self, now: float) -> Reading:
        """Tell how it is at *now* (monotonic)."""


class Probe:
    """One dependency, asked again and again by a thread."""

    def __init__(self, name: str, ask: Callable[[], None]) -> None:
        """Watch *name*; *ask* raises what is wrong with it, and returns if nothing is."""
        self._name = name
        self._ask = ask
        self._asked_at: float | None = None
        self._last = Reading(name, healthy=False, latency_ms=None, age_seconds=None, message="")
        self._answered_at: float | None = None

    def start(self) -> None:
        """Start asking."""
        threading.Thread(target=self._run, name=f"probe-{self._name}", daemon=True).start()

    def read(self, now: float) -> Reading:
        """Tell how it is, without asking."""
        last, asked, answered = self._last, self._asked_at, self._answered_at
        age = None if answered is None else round(now - answered, 3)
        overdue = asked is not None and now - asked > _OVERDUE_SECONDS
        if overdue or answered is None:
            waited = f"no answer for {now - (asked or now):.0f} s"
            return Reading(self._name, False, last.latency_ms, age, waited)  # noqa: FBT003
        return Reading(self._name, last.healthy, last.latency_ms, age, last.message)

    def ask_once(self) -> None:
        """Ask, and keep the answer."""
        asked = self._asked_at = time.monotonic()
        message = ""
        try:
            self._ask()
        except Exception as error:  # noqa: BLE001 - whatever it is, it is the answer
            message = f"{type(error).__name__}: {error}"
        answered = time.monotonic()
        latency = round((answered - asked) * 1000, 1)
        self._last = Reading(self._name, not message, latency, 0.0, message)
        self._answered_at, self._asked_at = answered, None

    def _run(self) -> None:
        while True:
            self.ask_once()
            time.sleep(_PERIOD)


class Catalog:
    """The catalog, which the follower asks all the time: no request of its own."""

    def __init__(self, follower: Follower) -> None:
        """Judge by *follower*."""
        self._follower = follower

    def read(self, now: float) -> Reading:
        """Tell how it answered the last time, or for how long it has not."""
        asked, since = self._follower.asked, self._follower.asking_since
        message = "not asked yet" if asked is None else asked.trouble
        if since is not None and now - since > _OVERDUE_SECONDS:
            message = f"no answer for {now - since:.0f} s"
        return Reading(
            "iceberg-rest",
            not message,
            round(asked.seconds * 1000, 1) if asked else None,
            round(now - asked.at, 3) if asked else None,
            message,
        )


def store(endpoint: str) -> Callable[[], None]:
    """Make the question to an object store: any answer but a server error will do."""

    def ask() -> None:
        if (status := _status_of(endpoint)) >= _SERVER_ERROR:
            message = f"HTTP {status}"
            raise UnwellError(message)

    return ask


def registry(urls: Sequence[str]) -> Callable[[], None]:
    """Make the question to the registries: one of them is enough, and asked first from then on."""
    order = list(urls)

    def ask() -> None:
        troubles = []
        for url in list(order):
            try:
                status = _status_of(f"{url}/subjects")
            except OSError as error:
                troubles.append(f"{url}: {error}")
                continue
            if status == http.client.OK:
                # One that is away can cost seconds, until its name is not found.
                order.remove(url)
                order.insert(0, url)
                return
            troubles.append(f"{url}: HTTP {status}")
        raise UnwellError("; ".join(troubles))

    return ask


def kafka(bootstrap: str) -> Callable[[], None]:
    """Make the question to Kafka: its metadata, from a broker that is really served."""
    return _Kafka(
        lambda: AdminClient(
            {
                "bootstrap.servers": bootstrap,
                "metadata.recovery.strategy": "none",
                "client.id": "k2-query-api",
                "socket.timeout.ms": int(_ANSWER_SECONDS * 1000),
                "reconnect.backoff.max.ms": 1000,
                "log.connection.close": False,
                "log_level": 2,
            }
        )
    )


class _Metadata(Protocol):
    """What is asked of a client of Kafka."""

    def list_topics(self, *, timeout: float) -> Any:
        """Tell the cluster's metadata, or raise."""


class _Kafka:
    """
    Asks Kafka, by a new client after each failure.

    A client that saw its only broker go may never connect again, though others do at once: seen
    with librdkafka 2.16, minutes after a broker was back.
    """

    def __init__(self, connect: Callable[[], _Metadata]) -> None:
        self._connect = connect
        self._client: _Metadata | None = None

    def __call__(self) -> None:
        client, self._client = self._client or self._connect(), None
        if not client.list_topics(timeout=_ANSWER_SECONDS).brokers:
            message = "no broker in its metadata"
            raise UnwellError(message)
        self._client = client


def _status_of(url: str) -> int:
    parts = urlsplit(url)
    kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
    connection = kind(parts.netloc, timeout=_ANSWER_SECONDS)
    try:
        connection.request("GET", parts.path or "/")
        response = connection.getresponse()
        response.read()
    except http.client.HTTPException as error:
        message = f"{type(error).__name__}: {error}"
        raise UnwellError(message) from error
    finally:
        connection.close()
    return response.status
