"""The numbers that ``/metrics`` tells, and the layer that counts requests."""

from __future__ import annotations

import time
from typing import Final

from prometheus_client import Counter, Gauge, Histogram
from starlette.types import ASGIApp, Message, Receive, Scope, Send

REQUESTS: Final = Counter("k2_api_requests", "Requests answered.", ["route", "status"])
SECONDS: Final = Histogram(
    "k2_api_request_seconds",
    "Time to the last byte of the answer.",
    ["route"],
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
)
SNAPSHOT_AGE: Final = Gauge(
    "k2_api_snapshot_confirmed_age_seconds", "Since the table's snapshot was last confirmed."
)
WINDOW_ROWS: Final = Gauge("k2_api_window_rows", "Rows held in memory.")
REWRITES: Final = Counter("k2_api_rewrites", "Rewrites of files followed without reading any row.")
REBUILDS: Final = Counter("k2_api_rebuilds", "Times all rows in memory were read anew.")


class Measured:
    """Counts and times the requests of the application it wraps."""

    def __init__(self, app: ASGIApp) -> None:
        """Wrap *app*."""
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass one request on."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = time.perf_counter()
        status = 500

        async def watched(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._app(scope, receive, watched)
        finally:
            # An unknown path must not make a time series of its own.
            route = getattr(scope.get("route"), "path", "none")
            REQUESTS.labels(route, status).inc()
            SECONDS.labels(route).observe(time.perf_counter() - started)
