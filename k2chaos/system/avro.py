"""
Decoding what lies on a topic: Confluent's wire format, Avro, the schema from the registry by id.

Only the fields that the pipeline file names are decoded; the others are skipped. A value that does
not decode is told and never raised: what it means is the judge's business. A registry that
cannot be asked, however, is raised: then we do not know whether the value would have decoded.
"""

import io
import json
import struct
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Final, NamedTuple

import fastavro
import pyarrow as pa

from k2chaos.errors import StageBlind, in_words
from k2chaos.evidence.freshness import Sighting
from k2chaos.evidence.identity import number_of, records_of
from k2chaos.pipeline import Record
from k2chaos.system.registries import Registries

_HEADER: Final = struct.Struct(">bI")
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)
_UNKNOWN_SCHEMA: Final = 40403
_MICROS: Final = {"timestamp-micros": 1, "timestamp-millis": 1000}
_BROKEN_VALUE: Final = (
    EOFError,
    IndexError,
    KeyError,
    OverflowError,
    TypeError,
    UnicodeDecodeError,
    ValueError,
    struct.error,
)


class Decoded(NamedTuple):
    """
    What values came to.

    Attributes:
        records: Schema `RECORDS`, and the columns that were given beside the values.
        failures: Which values are no record (their position among those given), and why.
    """

    records: pa.Table
    failures: list[tuple[int, str]]


@dataclass(frozen=True, slots=True)
class _Reading:
    """
    How to read values of one schema: what wrote them, what we want, and how the fields that were
    logical types become values again.
    """

    writer: Any
    reader: Any
    becoming: Mapping[str, Callable[[Any], Any]]


class _MalformedError(Exception):
    """A value is no record; the message is the reason."""


@dataclass(frozen=True, slots=True)
class Decoder:
    """Decodes the values of one topic. Schemas are asked for once."""

    registries: Registries
    record: Record
    _readings: dict[int, _Reading] = field(default_factory=dict, init=False, repr=False)

    def decode(self, values: Sequence[bytes | None], **beside: Sequence[int]) -> Decoded:
        """
        Decode *values* in their order.

        Args:
            beside: Columns to keep beside the records, as long as *values*.
        """
        rows: list[Mapping[str, Any]] = []
        at: list[int] = []
        failures: list[tuple[int, str]] = []
        unknown: set[int] = set()
        for position, value in enumerate(values):
            try:
                rows.append(self._row(value, unknown))
                at.append(position)
            except _MalformedError as error:
                failures.append((position, str(error)))
        names = self.record
        records = records_of(
            [row[names.key] for row in rows],
            [row[names.sequence.field] for row in rows],
            [row[names.event_time] for row in rows],
            names.sequence.prefix,
            [[row[name] for row in rows] for name in names.content],
            **{name: [column[one] for one in at] for name, column in beside.items()},
        )
        return Decoded(records, failures)

    def newest(self, values: Iterable[bytes | None]) -> dict[str, Sighting]:
        """
        The record with the highest number of each key among *values*.

        Value by value: for the few of a moment, columns cost more than they save.
        """
        names, found = self.record, dict[str, tuple[int, int]]()
        unknown: set[int] = set()
        for value in values:
            try:
                row = self._row(value, unknown)
            except _MalformedError:
                continue
            number = number_of(row[names.sequence.field], names.sequence.prefix)
            if number is None or row[names.key] is None:
                continue
            key = str(row[names.key])
            if number > found.get(key, (-1, 0))[0]:
                found[key] = (number, row[names.event_time])
        return {
            key: Sighting(one, _EPOCH + _MICROSECOND * time) for key, (one, time) in found.items()
        }

    def _row(self, value: bytes | None, unknown: set[int]) -> Mapping[str, Any]:
        if value is None or len(value) < _HEADER.size:
            reason = "no value" if value is None else "shorter than its header"
            raise _MalformedError(reason)
        magic, schema_id = _HEADER.unpack_from(value)
        if magic != 0:
            message = f"magic byte {magic}"
            raise _MalformedError(message)
        reading = None
        if schema_id not in unknown:
            reading = self._readings.get(schema_id) or self._ask(schema_id)
        if reading is None:
            unknown.add(schema_id)
            message = f"schema {schema_id} is not registered"
            raise _MalformedError(message)
        stream = io.BytesIO(value)
        stream.seek(_HEADER.size)
        try:
            row: Any = fastavro.schemaless_reader(stream, reading.writer, reading.reader)
            for name, become in reading.becoming.items():
                row[name] = become(row[name])
        except _BROKEN_VALUE as error:
            message = f"not valid against schema {schema_id}"
            raise _MalformedError(message) from error
        return dict(row)

    def _ask(self, schema_id: int) -> _Reading | None:
        """The registry's schema of that id; ``None`` where it says that there is none."""
        path = f"/schemas/ids/{schema_id}"
        tried, answer = self.registries.get_json(path)
        if isinstance(answer, dict) and answer.get("error_code") == _UNKNOWN_SCHEMA:
            return None
        try:
            reading = self._reading(json.loads(answer["schema"]))
        except (*_BROKEN_VALUE, fastavro.schema.SchemaParseException) as error:
            message = (
                f"{tried}: no Avro schema with the fields that the pipeline file's `record` names "
                f"({in_words(error)}); does topic.registry hold the full base path?"
            )
            raise StageBlind(message, "undecodable") from error
        self._readings[schema_id] = reading
        return reading

    def _reading(self, schema: Mapping[str, Any]) -> _Reading:
        fields = {one["name"]: one for one in schema["fields"]}
        wanted = {**schema, "fields": [fields[name] for name in self.record.fields]}
        kinds = {name: _logical(fields[name]["type"]) for name in self.record.fields}
        times = kinds[self.record.event_time]["logicalType"]
        becoming: dict[str, Callable[[Any], Any]] = {
            self.record.event_time: _times(_MICROS[times]),
            **{
                name: _doubles(10 ** kind.get("scale", 0))
                for name, kind in kinds.items()
                if kind.get("logicalType") == "decimal"
            },
        }
        # Without logical types a timestamp stays an integer: ten times faster than a datetime.
        return _Reading(
            writer=fastavro.parse_schema(_plain(schema)),
            reader=fastavro.parse_schema(_plain(wanted)),
            becoming=becoming,
        )


def _times(micros: int) -> Callable[[int], int]:
    return lambda value: value * micros


def _doubles(scale: int) -> Callable[[bytes | None], float | None]:
    """A decimal as the nearest double: dividing whole numbers rounds once."""

    def become(value: bytes | None) -> float | None:
        return None if value is None else int.from_bytes(value, "big", signed=True) / scale

    return become


def _logical(kind: Any) -> Mapping[str, Any]:
    """The branch of a field's type that is a logical one, be the field nullable or not."""
    branches = kind if isinstance(kind, list) else [kind]
    found = [one for one in branches if isinstance(one, dict) and "logicalType" in one]
    return found[0] if found else {}


def _plain(node: Any) -> Any:
    """The same schema without its logical types."""
    if isinstance(node, dict):
        return {key: _plain(value) for key, value in node.items() if key != "logicalType"}
    if isinstance(node, list):
        return [_plain(value) for value in node]
    return node
