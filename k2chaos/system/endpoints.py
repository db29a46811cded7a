"""
The endpoints of one pipeline that faults may act on: what a fault without container needs.

Each is opened when it is first asked for, and by whoever heals as well: a guardian, or the next
command, which know of the pipeline only what its file says.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from k2chaos.errors import Unsupported
from k2chaos.pipeline_file import load_pipeline
from k2chaos.system.exchange import ExchangeClient


class Endpoints(Protocol):
    """The control surfaces of a pipeline; `Unsupported` where the pipeline has none such."""

    def exchange(self) -> ExchangeClient:
        """The exchange's control API."""


@dataclass(frozen=True, slots=True)
class NoEndpoints:
    """Of a pipeline nobody named."""

    def exchange(self) -> ExchangeClient:
        """Not known."""
        message = "no pipeline file says where the exchange is"
        raise Unsupported(message)


@dataclass(frozen=True, slots=True)
class FileEndpoints:
    """
    As the pipeline file at *path* says; read again each time, for it may have been mended.

    Secrets come from the environment and from the file's ``env_file``, never from a ledger.
    """

    path: Path

    def exchange(self) -> ExchangeClient:
        """The exchange's control API; `Unsupported` where the pipeline has no exchange."""
        pipeline = load_pipeline(self.path).pipeline
        if pipeline.exchange is None:
            message = f"pipeline {pipeline.name} has no exchange"
            raise Unsupported(message)
        return ExchangeClient(pipeline.exchange.control)


def endpoints_of(path: Path | None) -> Endpoints:
    """Those of the pipeline file at *path*; none where there is no path."""
    return FileEndpoints(path) if path else NoEndpoints()
