"""
Whether the sink does its work, and the small server that tells.

Healthy means: Kafka answers, partitions are ours, and what was read is in the table soon. Having
nothing to write is healthy, and said.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Final

from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

_POLL_LIMIT: Final = 15.0
_BROKER_LIMIT: Final = 15.0
_UNASSIGNED_LIMIT: Final = 15.0
_WRITE_LIMIT: Final = 15.0


@dataclass(slots=True)
class Vitals:
    """
    Signs of life, all times monotonic seconds.

    Written by the threads that do the work, read by the one that answers. Each field is one
    reference, so a reader sees the old value or the new one.
    """

    started_at: float
    polled_at: float | None = None
    broker_heard_at: float | None = None
    assigned_since: float | None = None
    unassigned_since: float | None = None
    partitions: int = 0
    # When the oldest record that is not in the table yet was read.
    in_hand_since: float | None = None
    buffered_since: float | None = None
    committed_at: float | None = None
    trouble: str = ""
    # What was last wrong with each step of upkeep; such a sink writes on, and is healthy.
    upkeep_troubles: Mapping[str, str] = field(default_factory=dict)
    doing: str = "starting"
    # The step under way and since when, for one that hangs has not failed yet.
    step: str = ""
    step_since: float | None = None

    def waiting_since(self) -> float | None:
        """Tell since when the oldest unwritten record waits, if any does."""
        times = [at for at in (self.in_hand_since, self.buffered_since) if at is not None]
        return min(times, default=None)


def assess(vitals: Vitals, now: float) -> tuple[bool, str]:
    """Judge *vitals* at *now*: healthy or not, and why; what upkeep suffers from is only told."""
    healthy, reason = _assess(vitals, now)
    return healthy, "; ".join(filter(None, [reason, *vitals.upkeep_troubles.values()]))


def _assess(vitals: Vitals, now: float) -> tuple[bool, str]:
    if vitals.polled_at is None:
        return False, _with_trouble(vitals, f"{vitals.doing}, Kafka was not polled yet")
    if (age := now - vitals.polled_at) > _POLL_LIMIT:
        return False, _with_trouble(vitals, f"Kafka was not polled for {age:.0f} s")
    heard_at = vitals.broker_heard_at or vitals.started_at
    if (age := now - heard_at) > _BROKER_LIMIT:
        return False, _with_trouble(vitals, f"the broker has been silent for {age:.0f} s")
    if not vitals.partitions:
        since = vitals.unassigned_since or vitals.started_at
        healthy = vitals.assigned_since is not None and now - since <= _UNASSIGNED_LIMIT
        return healthy, f"no partition is assigned, for {now - since:.0f} s"
    return _assess_writing(vitals, now)


def _assess_writing(vitals: Vitals, now: float) -> tuple[bool, str]:
    since = vitals.waiting_since()
    if since is not None and (age := now - since) > _WRITE_LIMIT:
        text = f"records have waited {age:.0f} s to be written{_under_way(vitals, now)}"
        return False, _with_trouble(vitals, text)
    if since is not None:
        return True, "writing"
    if vitals.committed_at is None:
        return True, "nothing to write since the start"
    return True, f"nothing to write, last commit {now - vitals.committed_at:.1f} s ago"


def _under_way(vitals: Vitals, now: float) -> str:
    since = vitals.step_since
    return f", {vitals.step} under way for {now - since:.0f} s" if since is not None else ""


def _with_trouble(vitals: Vitals, text: str) -> str:
    return f"{text}: {vitals.trouble}" if vitals.trouble else text


def serve(
    vitals: Vitals,
    port: int,
    bugs: AbstractSet[str] = frozenset(),
    clock: Callable[[], float] = time.monotonic,
) -> None:
    """Answer ``/health`` and ``/metrics`` on *port*, from a thread of its own."""

    class Door(BaseHTTPRequestHandler):
        timeout = 5

        def do_GET(self) -> None:
            if self.path == "/health":
                healthy, reason = assess(vitals, clock())
                if "sink-always-healthy" in bugs:
                    healthy, reason = True, ""
                status = HTTPStatus.OK if healthy else HTTPStatus.SERVICE_UNAVAILABLE
                answer = {
                    "status": "healthy" if healthy else "unhealthy",
                    "reason": reason,
                    "bugs": sorted(bugs),
                }
                self._answer(status, "application/json", json.dumps(answer).encode())
            elif self.path == "/metrics":
                self._answer(HTTPStatus.OK, CONTENT_TYPE_LATEST, generate_latest())
            else:
                self._answer(HTTPStatus.NOT_FOUND, "text/plain", b"/health or /metrics\n")

        def _answer(self, status: HTTPStatus, kind: str, body: bytes) -> None:
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Stay silent: a health check every few seconds is no news."""

    server = ThreadingHTTPServer(("", port), Door)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, name="health", daemon=True).start()
