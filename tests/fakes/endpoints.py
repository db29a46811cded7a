"""Endpoints of a pipeline of which only the exchange is known."""

from dataclasses import dataclass

from k2chaos.errors import Unsupported
from k2chaos.system.exchange import ExchangeClient
from k2chaos.system.kafka import TopicControl
from k2chaos.system.table_control import TableControl


@dataclass(frozen=True, slots=True)
class OnlyExchange:
    """The one that answers at *url*."""

    url: str

    def address(self, stage: str) -> str | None:
        """Nobody is asked."""
        return None

    def exchange(self) -> ExchangeClient:
        """Its control API."""
        return ExchangeClient(self.url)

    def topic(self) -> TopicControl:
        """Not known."""
        message = "there is no topic"
        raise Unsupported(message)

    def table(self) -> TableControl:
        """Not known."""
        message = "there is no table"
        raise Unsupported(message)
