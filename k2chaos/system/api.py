"""
The query API as a place where records can be seen, over its own HTTP contract.

``newest`` of the pipeline file is one request for the newest records of all keys; its path also
answers for one key, with ``start_time`` and ``end_time`` (naive UTC) and newest first.
"""

from collections.abc import Collection, Iterable
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import pyarrow as pa

from k2chaos.clock import Clock, SystemClock
from k2chaos.errors import StageBlind
from k2chaos.evidence.freshness import Sighting, advance, newest_of
from k2chaos.evidence.identity import joined, records_of
from k2chaos.pipeline import Api, Record
from k2chaos.system.http import HttpClient

_PAGE: Final = 10_000
"""The most that one request may ask for."""
_MICROSECOND: Final = timedelta(microseconds=1)


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
        self._http = HttpClient(
            "api",
            api.url,
            seconds,
            headers={"X-API-Key": api.key},
            hint="check api.key in the pipeline file and the variable that it names",
        )
        self._path = api.newest.partition("?")[0]

    def newest(self, keys: Collection[str] = ()) -> dict[str, Sighting]:
        """The newest record of each key: one request, and one more for each of *keys* it lacks."""
        found = newest_of(self._records(self._http.get_json(self.api.newest)))
        for key in sorted(set(keys) - found.keys()):
            query: dict[str, str | int] = {self.record.key: key, "limit": 1}
            advance(found, newest_of(self._records(self._http.get_json(self._path, query))))
        return found

    def read(self, keys: Iterable[str], start: datetime, end: datetime) -> pa.Table:
        """All records of *keys* with an event time from *start* to *end*, key by key."""
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
        """Close the connection."""
        self._http.close()

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
            answer = self._http.get_json(
                self._path, {self.record.key: key, **query, "limit": _PAGE}
            )
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

    def _records(self, answer: Any) -> pa.Table:
        names = self.record
        try:
            rows = answer["data"]
            keys = [row[names.key] for row in rows]
            fields = [row[names.sequence.field] for row in rows]
            times = [_time(row[names.event_time]) for row in rows]
            return records_of(keys, fields, times, names.sequence.prefix)
        except (KeyError, TypeError, ValueError, pa.ArrowException) as error:
            message = (
                f"api: {self.api.url}{self._path}: not an answer of records ({error!r}); check "
                "api.newest and `record` in the pipeline file"
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
