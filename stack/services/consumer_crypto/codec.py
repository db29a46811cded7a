"""
From the bytes of a Kafka record to a trade, or to the reason why not.

Confluent's wire format: one zero byte, four bytes schema id, Avro. The writer's schema comes from
a registry and is kept for good: an id never changes its meaning.

A registry that does not answer is never a record's fault. A record is condemned for an unknown
schema only when a registry says so and no other registry contradicts; one that is silent is
given some time to do that, once for all that is denied while its silence lasts.
"""

from __future__ import annotations

import io
import json
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from http import HTTPStatus
from typing import Any, Final, Self

import fastavro
import httpx

from consumer_crypto import trade

_HEADER_BYTES: Final = 5
_SECONDS_FOR_SILENT_REGISTRIES: Final = 10.0
# One that is given up costs no more than its 3 s in each 10 s.
_SECONDS_TO_ASK_AGAIN: Final = 10.0
# Not asked for longer, a registry may have been back in between: its next silence is another.
_SECONDS_OF_ONE_SILENCE: Final = 60.0
_SECONDS_TO_REMEMBER_UNKNOWN: Final = 60.0
# Garbage can name four billion schemas.
_MOST_REMEMBERED: Final = 1_000
# Asking two registries that hang takes 6 s.
_TIMEOUT: Final = httpx.Timeout(3.0, connect=1.0)

Schema = dict[str, Any]
Clock = Callable[[], float]


class Reason(StrEnum):
    """Why a record can never become a row."""

    NO_VALUE = "no-value"
    BAD_MAGIC = "bad-magic"
    UNKNOWN_SCHEMA = "unknown-schema"
    OTHER_SCHEMA = "other-schema"
    CORRUPT_AVRO = "corrupt-avro"
    OUT_OF_RANGE = "value-out-of-range"


class UndecodableError(Exception):
    """The record can never become a row."""

    def __init__(self, reason: Reason, text: str) -> None:
        """Keep the label for the metric and the text for whoever looks into the DLQ."""
        super().__init__(text)
        self.reason = reason


class RegistryUnavailableError(Exception):
    """No registry could tell; worth asking again."""


@dataclass(frozen=True, slots=True)
class _Silence:
    """Since when a registry does not answer while another denies; when it was last asked."""

    since: float
    asked_at: float

    def is_patience_over(self, now: float) -> bool:
        return now - self.since >= _SECONDS_FOR_SILENT_REGISTRIES

    def is_fresh(self, now: float) -> bool:
        return now - self.asked_at < _SECONDS_TO_ASK_AGAIN


class Registries:
    """The registries, asked in turn, one that answers is enough."""

    def __init__(self, urls: Sequence[str], clock: Clock = time.monotonic) -> None:
        """Ask at *urls* (up to and with the path of Confluent's API)."""
        self._urls = urls
        self._clock = clock
        self._http = httpx.Client(timeout=_TIMEOUT)
        self._known: dict[int, Schema | UndecodableError] = {}
        self._silences: dict[str, _Silence] = {}
        self._forget_at: dict[int, float] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._http.close()

    def schema(self, schema_id: int) -> Schema:
        """
        Get the parsed schema of *schema_id*.

        Raises:
            UndecodableError: There is no such schema, or it is not one of a trade.
            RegistryUnavailableError: Nobody could tell.
        """
        known = self._known.get(schema_id)
        if known is None or self._clock() > self._forget_at.get(schema_id, float("inf")):
            known = self._ask(schema_id)
            self._remember(schema_id, known)
        if isinstance(known, UndecodableError):
            raise UndecodableError(known.reason, str(known))
        return known

    def _remember(self, schema_id: int, found: Schema | UndecodableError) -> None:
        self._known[schema_id] = found
        if len(self._known) > _MOST_REMEMBERED:
            unknown = (one for one, what in self._known.items() if not isinstance(what, dict))
            oldest = next(unknown, schema_id)
            del self._known[oldest]
            self._forget_at.pop(oldest, None)

    def _ask(self, schema_id: int) -> Schema | UndecodableError:
        troubles: dict[str, str] = {}
        asked_at = self._clock()
        is_denied = False
        for url in sorted(self._urls, key=self._silences.__contains__):
            if is_denied and self._is_given_up(url):
                continue
            answer = self._answer(url, schema_id)
            if isinstance(answer, str):
                troubles[url] = f"{url}: {answer}"
                continue
            self._silences.pop(url, None)
            if answer.status_code == HTTPStatus.OK:
                return _parsed(schema_id, answer)
            is_denied = True
        if not is_denied or self._must_wait(troubles, asked_at):
            raise RegistryUnavailableError("; ".join(troubles.values()))
        self._forget_at[schema_id] = self._clock() + _SECONDS_TO_REMEMBER_UNKNOWN
        return UndecodableError(Reason.UNKNOWN_SCHEMA, f"no registry knows schema id {schema_id}")

    def _answer(self, url: str, schema_id: int) -> httpx.Response | str:
        """Return what the registry says, yes or no, or why it says neither."""
        try:
            response = self._http.get(f"{url}/schemas/ids/{schema_id}")
        except httpx.HTTPError as error:
            return f"{type(error).__name__} {error}"
        if response.status_code in (HTTPStatus.OK, HTTPStatus.NOT_FOUND):
            return response
        return f"HTTP {response.status_code}"

    def _is_given_up(self, url: str) -> bool:
        silence, now = self._silences.get(url), self._clock()
        return silence is not None and silence.is_patience_over(now) and silence.is_fresh(now)

    def _must_wait(self, silent: Iterable[str], asked_at: float) -> bool:
        """Note who kept silent on a denial; tell whether one of them may still contradict."""
        for url in silent:
            before = self._silences.get(url)
            is_same = before and asked_at - before.asked_at <= _SECONDS_OF_ONE_SILENCE
            since = before.since if before and is_same else asked_at
            self._silences[url] = _Silence(since, asked_at)
        now = self._clock()
        return not all(self._silences[url].is_patience_over(now) for url in silent)


def _parsed(schema_id: int, response: httpx.Response) -> Schema | UndecodableError:
    try:
        schema = fastavro.parse_schema(json.loads(response.json()["schema"]))
    except (fastavro.schema.SchemaParseException, ValueError, KeyError, TypeError) as error:
        return UndecodableError(Reason.OTHER_SCHEMA, f"schema id {schema_id} is not Avro: {error}")
    if isinstance(schema, dict) and schema.get("name") == trade.RECORD_NAME:
        return schema
    name = schema.get("name", schema.get("type")) if isinstance(schema, dict) else schema
    return UndecodableError(
        Reason.OTHER_SCHEMA, f"schema id {schema_id} is {name!s:.100}, not {trade.RECORD_NAME}"
    )


class Decoder:
    """Turns record values into trades."""

    def __init__(self, schema_of: Callable[[int], Schema]) -> None:
        """Look schemas up with *schema_of*."""
        self._schema_of = schema_of

    def decode(self, value: bytes | None) -> dict[str, Any]:
        """
        Decode one record's *value*.

        Raises:
            UndecodableError: It is no trade; waiting will not make it one.
            RegistryUnavailableError: The schema could not be looked up; ask again.
        """
        if value is None:
            raise UndecodableError(Reason.NO_VALUE, "the record has no value")
        if len(value) < _HEADER_BYTES or value[0] != 0:
            raise UndecodableError(Reason.BAD_MAGIC, f"starts with {value[:_HEADER_BYTES].hex()!r}")
        schema = self._schema_of(int.from_bytes(value[1:_HEADER_BYTES]))
        decoded = _read(schema, value)
        if misfit := trade.misfit_of(decoded):
            raise UndecodableError(Reason.OTHER_SCHEMA, misfit)
        if excess := trade.excess_of(decoded):
            raise UndecodableError(Reason.OUT_OF_RANGE, excess)
        return decoded


def _read(schema: Schema, value: bytes) -> dict[str, Any]:
    stream = io.BytesIO(value)
    stream.seek(_HEADER_BYTES)
    try:
        decoded = fastavro.schemaless_reader(stream, schema, None)
    except Exception as error:  # garbage makes fastavro raise almost anything
        text = f"{type(error).__name__}: {error}"
        raise UndecodableError(Reason.CORRUPT_AVRO, text) from error
    if rest := len(value) - stream.tell():
        raise UndecodableError(Reason.CORRUPT_AVRO, f"{rest} bytes are left after the record")
    if not isinstance(decoded, dict):
        raise UndecodableError(Reason.CORRUPT_AVRO, f"decodes to {type(decoded).__name__}")
    return decoded
