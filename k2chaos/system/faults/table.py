"""Faults of the table: another writer, with whom the sink's commits conflict."""

from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import ClassVar, Final, Self

from k2chaos.system.faults import System, Witnessed, new_tag
from k2chaos.system.runtime import Endpoint

_FRESH: Final = timedelta(seconds=3)


@dataclass(frozen=True, slots=True)
class ConflictCommits:
    """
    Another writer commits empty snapshots, several a second, so that the sink's commits conflict.

    It lives in a thread of the process that holds the fault, and ends with it.

    Witness: the table's history has snapshots of ours since the fault was prepared, the newest of
    them younger than 3 s; those of others since then are counted beside it. Healed by its end;
    gone when the newest is older than that. The snapshots stay: they hold no data.
    """

    kind: ClassVar[str] = "conflict-commits"
    stage: ClassVar[str] = "table"
    does: ClassVar[str] = "commit empty snapshots, so that the sink's own commits conflict"
    undone_by: ClassVar[str] = "commit no more; the empty snapshots stay in the history"
    marks: ClassVar[tuple[str, str]] = ("", "")
    lead_seconds: ClassVar[float] = 0.0
    heal_lead_seconds: ClassVar[float] = 0.0

    target: Endpoint
    per_second: float = 5.0
    longest_seconds: float = 120.0
    prepared_at: datetime | None = None
    tag: str = field(default_factory=new_tag)

    @property
    def landing_seconds(self) -> float:
        """As long as one commit that is under way may take."""
        return _FRESH.total_seconds()

    def prepare(self, system: System) -> Self:
        """The table must be readable."""
        table = system.endpoints.table()
        now = table.now()
        table.commits_since(now)
        return replace(self, prepared_at=now)

    def inject(self, system: System, _at: datetime) -> None:
        """Begin to commit."""
        table = system.endpoints.table()
        table.start_commits(self.tag, self.per_second, self.longest_seconds)

    def observe(self, system: System) -> Witnessed:
        """Struck while snapshots of ours come."""
        table = system.endpoints.table()
        now = table.now()
        commits = table.commits_since(self.prepared_at or now)
        ours = [one.at for one in commits if one.mark == self.tag]
        is_fresh = bool(ours) and now - ours[-1] < _FRESH
        seen = {
            "empty_commits": len(ours),
            "appends_of_others": sum(one.operation == "append" and not one.mark for one in commits),
        }
        return Witnessed(is_fresh, is_fresh, seen)

    def heal(self, system: System) -> None:
        """Commit no more; a writer in another process ended with it."""
        system.endpoints.table().stop_commits(self.tag)
