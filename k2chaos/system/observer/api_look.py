"""
The query API as the observer looks at it: one request for the newest records of all keys.

Read row by row and not through columns: two hundred rows, five times a second, for a few numbers.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import islice, pairwise
from typing import Any, Final

from k2chaos.clock import Clock
from k2chaos.errors import StageBlind, in_words
from k2chaos.evidence.freshness import Sighting
from k2chaos.evidence.identity import number_of
from k2chaos.evidence.samples import Sample
from k2chaos.pipeline import Api, Record
from k2chaos.system.api import ApiClient
from k2chaos.system.http import HttpClient
from k2chaos.system.observer.stage import Shown

DEGRADED: Final = "degraded"
"""Note of an answer that calls itself so: it may be old."""
HEALTHY: Final = frozenset({"healthy", "ok", "up", "pass"})
"""Words for well: K2's, and those of other frameworks (Spring's, the health+json draft's)."""
_WORD: Final = 60
_MOST_MISSING: Final = 10
_MOST_QUESTIONS: Final = 4
"""How many keys that an answer lacks are asked for, one by one, in one look."""
_UNKNOWN_KEY: Final = frozenset({404})

_Newest = dict[str, tuple[int, str]]
"""By key: the highest number, and its event time as the API spells it."""


@dataclass(slots=True)
class ApiLook:
    """
    Asks one query API.

    A key of which the exchange emitted more than the API has shown, and which an answer lacks, may
    be a slow one, pushed out by faster ones: it is asked for by itself.
    """

    api: Api
    record: Record
    seconds: float = 5.0
    _http: HttpClient = field(init=False)
    _shown: dict[str, int] = field(default_factory=dict)
    _asked: dict[str, int] = field(default_factory=dict)
    _questions_asked: int = 0

    def __post_init__(self) -> None:
        """Open no connection yet."""
        headers = {"X-API-Key": self.api.key}
        hint = "check api.key in the pipeline file and the variable that it names"
        self._http = HttpClient("api", self.api.url, self.seconds, headers, hint)

    def ask(self, wanted: Mapping[str, int]) -> Shown:
        """What the API shows; by key the numbers that are *wanted*."""
        answer = self._http.get_json(self.api.newest)
        ids, newest = self._rows(answer)
        for key in self._questions(wanted, newest):
            newest.update(self._rows(self._of_key(key))[1])
        self._shown.update((key, number) for key, (number, _) in newest.items())
        missing = islice(_missing(ids), _MOST_MISSING)
        meta = answer.get("meta") or {}
        return Shown(
            self._sightings(newest), DEGRADED if meta.get("degraded") else None, [*missing]
        )

    def close(self) -> None:
        """Disconnect."""
        self._http.close()

    def _questions(self, wanted: Mapping[str, int], newest: _Newest) -> list[str]:
        """Keys to ask for: those never asked for, and some others, longest unasked first."""
        lacking = [
            key
            for key, number in wanted.items()
            if key not in newest and self._shown.get(key, 0) < number
        ]
        lacking.sort(key=lambda key: self._asked.get(key, 0))
        new = [key for key in lacking if key not in self._asked and key not in self._shown]
        asked = [*dict.fromkeys([*new, *lacking])][: max(_MOST_QUESTIONS, len(new))]
        for key in asked:
            self._questions_asked += 1
            self._asked[key] = self._questions_asked
        return asked

    def _of_key(self, key: str) -> Any:
        path = self.api.newest.partition("?")[0]
        query: dict[str, str | int] = {self.record.key: key, "limit": 1}
        answer = self._http.get_json(path, query, accept=_UNKNOWN_KEY)
        return answer if isinstance(answer, dict) and "data" in answer else {"data": []}

    def _rows(self, answer: Any) -> tuple[dict[str, list[int]], _Newest]:
        """
        By key, all numbers of an answer, and the highest with its event time.

        Of records of one event time the answer's end may show some and not the others: the numbers
        of those last ones are left out.
        """
        names, prefix = self.record, self.record.sequence.prefix
        ids: dict[str, list[int]] = {}
        newest: _Newest = {}
        try:
            rows = answer["data"]
            last = rows[-1][names.event_time] if rows else ""
            for row in rows:
                key, time = str(row[names.key]), str(row[names.event_time])
                number = number_of(row[names.sequence.field], prefix)
                if number is None or row[names.key] is None:
                    continue
                if time != last:
                    ids.setdefault(key, []).append(number)
                if key not in newest or number > newest[key][0]:
                    newest[key] = (number, time)
        except (KeyError, TypeError, AttributeError) as error:
            raise self._not_understood(error) from error
        return ids, newest

    def _sightings(self, newest: _Newest) -> dict[str, Sighting]:
        try:
            return {key: Sighting(one, _time(text)) for key, (one, text) in newest.items()}
        except ValueError as error:
            raise self._not_understood(error) from error

    def _not_understood(self, error: Exception) -> StageBlind:
        message = (
            f"api: {self.api.url}{self.api.newest}: not an answer of records ({in_words(error)}); "
            "check api.newest and `record` in the pipeline file"
        )
        return StageBlind(message, "undecodable")


@dataclass(frozen=True, slots=True)
class HealthLook:
    """Asks an API for its own word on its health."""

    client: ApiClient
    clock: Clock

    def look(self) -> list[Sample]:
        """See `Looking`."""
        answer = self.client.health()
        word = str(answer.get("status", "no status") if isinstance(answer, dict) else answer)
        is_well = float(word.lower() in HEALTHY)
        return [Sample(self.clock.now(), "api", "status", is_well, note=word[:_WORD])]

    def unseen(self, note: str) -> list[Sample]:
        """See `Looking`."""
        return [Sample(self.clock.now(), "api", "status", note=note)]


def _missing(ids: Mapping[str, list[int]]) -> Iterable[tuple[str, int]]:
    """Numbers between two of the same key that are not there."""
    for key, numbers in sorted(ids.items()):
        ordered = sorted(numbers)
        for one, following in pairwise(ordered):
            for number in range(one + 1, following):
                yield key, number


def _time(text: str) -> datetime:
    """An event time of the API: naive is UTC."""
    moment = datetime.fromisoformat(text)
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
