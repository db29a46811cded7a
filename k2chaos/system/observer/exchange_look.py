"""The exchange as the observer looks at it: its ledger, which every other stage is held against."""

from collections.abc import Mapping
from dataclasses import dataclass

from k2chaos.clock import Clock
from k2chaos.evidence.freshness import Sighting
from k2chaos.system.exchange import ExchangeClient
from k2chaos.system.observer.gauge import Said
from k2chaos.system.observer.stage import Shown


@dataclass(slots=True)
class ExchangeLook:
    """Asks one exchange."""

    client: ExchangeClient
    clock: Clock
    _said: Said | None = None

    def said(self) -> Said | None:
        """What it said last."""
        return self._said

    def ask(self, _wanted: Mapping[str, int]) -> Shown:
        """What was emitted until now."""
        asked_at = self.clock.monotonic()
        self._said = said = Said(self.client.ledger(), asked_at)
        emitted = ((key, one.last_id, one.last_time) for key, one in said.emitted.items())
        return Shown({key: Sighting(number, time) for key, number, time in emitted if time})
