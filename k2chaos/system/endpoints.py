"""
The endpoints of one pipeline that faults may act on: what a fault without container needs.

Each is opened when it is first asked for, and by whoever heals as well: a guardian, or the next
command, which know of the pipeline only what its file says.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol
from urllib.parse import urlsplit

from k2chaos.errors import Unsupported
from k2chaos.pipeline import Pipeline
from k2chaos.pipeline_file import load_pipeline
from k2chaos.system.exchange import ExchangeClient
from k2chaos.system.kafka import TopicControl
from k2chaos.system.kafka.control import KafkaControl
from k2chaos.system.runtime import Endpoint
from k2chaos.system.table_control import IcebergControl, TableControl


class Endpoints(Protocol):
    """The control surfaces of a pipeline; `Unsupported` where the pipeline has none such."""

    def address(self, stage: str) -> str | None:
        """Where *stage* is; ``None`` where nobody can tell."""

    def exchange(self) -> ExchangeClient:
        """The exchange's control API."""

    def topic(self) -> TopicControl:
        """The topic, with the group that reads it."""

    def table(self) -> TableControl:
        """The table, as another writer sees it."""


@dataclass(frozen=True, slots=True)
class NoEndpoints:
    """Of a pipeline nobody named."""

    def address(self, stage: str) -> str | None:  # noqa: ARG002
        """Nobody knows."""
        return None

    def exchange(self) -> ExchangeClient:
        """Not known."""
        raise _unnamed(stage="exchange")

    def topic(self) -> TopicControl:
        """Not known."""
        raise _unnamed(stage="topic")

    def table(self) -> TableControl:
        """Not known."""
        raise _unnamed(stage="table")


@dataclass(frozen=True, slots=True)
class FileEndpoints:
    """
    As the pipeline file at *path* says; read again each time, for it may have been mended.

    Secrets come from the environment and from the file's ``env_file``, never from a ledger.
    """

    path: Path

    def address(self, stage: str) -> str | None:
        """As the file says it now."""
        return endpoint_of(load_pipeline(self.path).pipeline, stage).address

    def exchange(self) -> ExchangeClient:
        """The exchange's control API; `Unsupported` where the pipeline has no exchange."""
        pipeline = load_pipeline(self.path).pipeline
        if pipeline.exchange is None:
            message = f"pipeline {pipeline.name} has no exchange"
            raise Unsupported(message)
        return ExchangeClient(pipeline.exchange.control)

    def topic(self) -> TopicControl:
        """The topic; `Unsupported` where the pipeline has none."""
        pipeline = load_pipeline(self.path).pipeline
        if pipeline.topic is None:
            message = f"pipeline {pipeline.name} has no topic"
            raise Unsupported(message)
        return KafkaControl(pipeline.topic)

    def table(self) -> TableControl:
        """The table; `Unsupported` where the pipeline has none."""
        pipeline = load_pipeline(self.path).pipeline
        if pipeline.table is None:
            message = f"pipeline {pipeline.name} has no table"
            raise Unsupported(message)
        return IcebergControl(pipeline.table, pipeline.record)


def endpoints_of(path: Path | None) -> Endpoints:
    """Those of the pipeline file at *path*; none where there is no path."""
    return FileEndpoints(path) if path else NoEndpoints()


def endpoint_of(pipeline: Pipeline, stage: str) -> Endpoint:
    """Where *pipeline* has the stage; `Unsupported` where it has none."""
    exchange, topic, table = pipeline.exchange, pipeline.topic, pipeline.table
    addresses = {
        "exchange": exchange.control if exchange else None,
        "topic": f"{topic.bootstrap}/{topic.name}" if topic else None,
        "table": f"{_host(table.catalog.get('uri', ''))}/{table.name}" if table else None,
    }
    if (address := addresses[stage]) is None:
        message = (
            f"pipeline {pipeline.name} has no {stage}; its stages: {', '.join(pipeline.stages)}"
        )
        raise Unsupported(message)
    return Endpoint(stage, address)


def _host(address: str) -> str:
    """Host and port of *address*: what else stands in it may be a secret."""
    return urlsplit(address).netloc.rpartition("@")[2]


def _unnamed(stage: str) -> Unsupported:
    return Unsupported(f"no pipeline file says where the {stage} is")
