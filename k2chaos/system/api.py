"""
The query API as a place where records can be seen, over its own HTTP contract.

``newest`` of the pipeline file is one request for the newest records of all keys; its path also
answers for one key, with ``start_time`` and ``end_time`` (naive UTC) and newest first.

An API may answer from what it remembers while it cannot look, and says so (``meta.degraded``).
What such an answer shows is there, so it counts for what is newest, whose age goes on growing from
its event time; what it lacks says nothing, so no window of records is read from one.
"""

from collections.abc import Collection, Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import pyarrow as pa

from k2chaos.clock import Clock, SystemClock
from k2chaos.errors import StageBlind, StageUnavailable, in_words
from k2chaos.evidence.freshness import Sighting, advance, newest_of
from k2chaos.evidence.identity import joined, records_of
from k2chaos.pipeline import Api, Record
from k2chaos.system.http import HttpClient

_PAGE: Final = 10_000
"""The most that one request may ask for."""
_PATIENCE: Final = 6
"""A page of so many records may take so many times as long as an ordinary answer."""
_MICROSECOND: Final = timedelta(microseconds=1)
_UNKNOWN_KEY: Final = "unknown-symbol"
"""The ``code`` of a 404 that tells a key without records from a path that is wrong."""


class ApiClient:
    """
    Asks one query API. Safe to use from several threads.

    Args:
        api: Its address, key and paths.
        record: What identifies a record.
        seconds: How long one request may take.
        clock: What latency is measured with.
    """

    def __init__(
        self, api: Api, record: Record, seconds: float = 5.0, clock: Clock | None = None
    ) -> None:
        """Open no connection yet."""
        self.api = api
        self.record = record
        self._clock = clock or SystemClock()
        hint = "check api.key in the pipeline file and the variable that it names"
        key = {"X-API-Key": api.key}
        self._http = HttpClient("api", api.url, seconds, headers=key, hint=hint)
        self._pager = HttpClient("api", api.url, seconds * _PATIENCE, headers=key, hint=hint)
        self._path = api.newest.partition("?")[0]

    def newest(self, keys: Collection[str] = ()) -> dict[str, Sighting]:
        """The newest record of each key: one request, and one more for each of *keys* it lacks."""
        found = newest_of(self._records(self._http.get_json(self.api.newest)))
        for key in sorted(set(keys) - found.keys()):
            advance(found, newest_of(self._records(self._ask(key, {"limit": 1}))))
        return found

    def read(self, keys: Iterable[str], start: datetime, end: datetime) -> pa.Table:
        """
        All records of *keys* with an event time from *start* to *end*, key by key.

        Raises:
            StageUnavailable: Also when the API says that its answer may be old (``degraded``): what
                is not in such an answer need not be lost.
        """
        return joined(page for key in keys for page in self._pages(key, start, end))

    def latency(self) -> float:
        """Seconds that one request for the newest records takes."""
        before = self._clock.monotonic()
        self._http.get_json(self.api.newest)
        return self._clock.monotonic() - before

    def health(self) -> Any:
        """The API's own word on its health, as JSON; an unhealthy one may say so with a 503."""
        return self._http.get_json(self.api.health, accept=frozenset({503}))

    def check_key(self) -> None:
        """
        Find out that the API takes our key.

        Raises:
            StageBlind: It does not.
            StageUnavailable: It cannot be asked.
        """
        self._http.get_json(self.api.newest)

    def close(self) -> None:
        """Close the connections."""
        self._http.close()
        self._pager.close()

    def _pages(self, key: str, start: datetime, end: datetime) -> Iterable[pa.Table]:
        """
        Walk back in time, page by page.

        Not by offset: records that arrive meanwhile would shift it. A full page may cut through
        records of one event time, so those of its oldest are left to the next page, whose end lies
        just behind them; that is right whether the API includes its end or not.
        """
        since = start.astimezone(UTC)
        until = end.astimezone(UTC)
        while True:
            query = {"start_time": _naive(since), "end_time": _naive(until + _MICROSECOND)}
            answer = self._ask(key, {**query, "limit": _PAGE}, self._pager)
            self._refuse_when_degraded(answer)
            page = _within(self._records(answer), since, until)
            if not _has_more(answer):
                yield page
                return
            oldest = _oldest(page)
            if oldest is None or oldest >= until:
                message = (
                    f"api: {self._path}: more than {_PAGE} records of {key} at {until}, "
                    "which cannot be paged through"
                )
                raise StageBlind(message, "too many")
            yield _within(page, oldest + _MICROSECOND, until)
            until = oldest

    def _ask(self, key: str, query: Mapping[str, str | int], http: HttpClient | None = None) -> Any:
        """Ask for records of *key*; of one that the API has never seen there are none."""
        asked = {self.record.key: key, **query}
        answer = (http or self._http).get_json(self._path, asked, accept=frozenset({404}))
        is_unknown = isinstance(answer, dict) and answer.get("code") == _UNKNOWN_KEY
        return {"data": []} if is_unknown else answer

    def _refuse_when_degraded(self, answer: Any) -> None:
        meta = answer.get("meta") if isinstance(answer, dict) else None
        if isinstance(meta, dict) and meta.get("degraded"):
            message = (
                f"api: {self.api.url}{self._path}: its answer may be old, it is as of "
                f"{meta.get('as_of')}: {meta.get('reason')}; look again when it has recovered"
            )
            raise StageUnavailable(message, "degraded")

    def _records(self, answer: Any) -> pa.Table:
        names = self.record
        try:
            rows = answer["data"]
            keys = [row[names.key] for row in rows]
            fields = [row[names.sequence.field] for row in rows]
            times = [_time(row[names.event_time]) for row in rows]
            content = [[row[name] for row in rows] for name in names.content]
            return records_of(keys, fields, times, names.sequence.prefix, content)
        except (KeyError, TypeError, ValueError, pa.ArrowException) as error:
            message = (
                f"api: {self.api.url}{self._path}: not an answer of records ({in_words(error)}); "
                "check api.newest and `record` in the pipeline file"
            )
            raise StageBlind(message, "undecodable") from error


def _has_more(answer: Any) -> bool:
    """Whether the API holds back records of this request."""
    pagination = answer.get("pagination") or {}
    return bool(pagination.get("has_more", len(answer["data"]) >= _PAGE))


def _oldest(page: pa.Table) -> datetime | None:
    moments = page["event_time"].cast(pa.int64()).to_numpy()
    return _moment(int(moments.min())) if len(moments) else None


def _within(page: pa.Table, since: datetime, until: datetime) -> pa.Table:
    moments = page["event_time"].cast(pa.int64()).to_numpy()
    return page.filter(pa.array((moments >= _micros(since)) & (moments <= _micros(until))))


def _time(text: str) -> datetime:
    """An event time of the API: naive is UTC."""
    moment = datetime.fromisoformat(text)
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


def _naive(moment: datetime) -> str:
    return moment.replace(tzinfo=None).isoformat()


def _micros(moment: datetime) -> int:
    return (moment - _EPOCH) // _MICROSECOND


def _moment(micros: int) -> datetime:
    return _EPOCH + micros * _MICROSECOND


_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
