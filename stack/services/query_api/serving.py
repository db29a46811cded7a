"""The API put together, and served until it is told to stop."""

from __future__ import annotations

import logging
import os
import sys
from typing import Any

import uvicorn
from pyiceberg.catalog import Catalog

import lab_bugs
from query_api import answers, dependencies
from query_api.app import create_app
from query_api.catalog import connect
from query_api.dependencies import Dependency, Probe
from query_api.follower import Follower
from query_api.lake import Lake
from query_api.service import Service
from query_api.settings import Settings

_log = logging.getLogger("query_api")


def run() -> int:
    """Serve until told to stop; the exit code says how it ended."""
    try:
        settings = Settings.from_environment(os.environ)
        bugs = lab_bugs.seeded("query_api")
        logging.basicConfig(
            level=settings.log_level, format="%(asctime)s %(levelname)s %(name)s %(message)s"
        )
    except ValueError as error:
        sys.stderr.write(f"query-api: {error}\n")
        return 2
    # It says which file system it uses at each load of the table: twice a second.
    logging.getLogger("pyiceberg").setLevel(logging.ERROR)
    lab_bugs.warn(_log, bugs)
    follower = Follower(
        Lake(
            lambda: connect(settings, history=False),
            lambda: connect(settings, history=True),
            settings.table,
        ),
        bugs,
    )
    follower.start()
    service = Service(follower, _watched(settings, follower), History(settings), bugs=bugs)
    uvicorn.run(
        create_app(service, settings.api_key),
        host="0.0.0.0",  # noqa: S104 - a container's only face; the host publishes it on loopback
        port=settings.port,
        log_level="warning",
        access_log=False,
        timeout_graceful_shutdown=5,
    )
    return 0


def _watched(settings: Settings, follower: Follower) -> list[Dependency]:
    probes = [
        Probe("object-store", dependencies.store(settings.s3_endpoint)),
        Probe("kafka", dependencies.kafka(settings.kafka_bootstrap)),
        Probe("schema-registry", dependencies.registry(settings.registries)),
    ]
    for probe in probes:
        probe.start()
    return [dependencies.Catalog(follower), *probes]


class History:
    """The table's snapshots, read on demand."""

    def __init__(self, settings: Settings) -> None:
        """Read with *settings*; connects at the first question."""
        self._settings = settings
        self._catalog: Catalog | None = None

    def __call__(self) -> list[dict[str, Any]]:
        """List the snapshots, newest first."""
        if self._catalog is None:
            self._catalog = connect(self._settings, history=True)
        snapshots = self._catalog.load_table(self._settings.table).metadata.snapshots
        newest_first = sorted(snapshots, key=lambda one: one.sequence_number or 0, reverse=True)
        return [
            {
                "snapshot_id": one.snapshot_id,
                "parent_snapshot_id": one.parent_snapshot_id,
                "committed_at": answers.microsecond(one.timestamp_ms * 1000),
                "summary": {**one.summary.model_dump()} if one.summary else {},
            }
            for one in newest_first
        ]
