"""The table as the observer looks at it: the keys of the files that were added since."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from k2chaos.pipeline import Record, Table
from k2chaos.system.observer.stage import Shown
from k2chaos.system.table import TableClient


@dataclass(slots=True)
class TableLook:
    """Asks one table; reads no more of a record than which one it is."""

    table: Table
    record: Record
    _client: TableClient = field(init=False)

    def __post_init__(self) -> None:
        """Connect to nothing yet."""
        self._client = TableClient(self.table, replace(self.record, content=()))

    def ask(self, wanted: Mapping[str, int]) -> Shown:
        """What the table shows; keys that are *wanted* and were never seen are searched for."""
        return Shown(self._client.newest(wanted))
