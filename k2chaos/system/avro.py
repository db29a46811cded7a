"""
Decoding what lies on a topic: Confluent's wire format, Avro, the schema from the registry by id.

Only the three fields that identify a record are decoded; the others are skipped. A value that does
not decode is counted and never raised: what it means is the judge's business. A registry that
cannot be asked, however, is raised: then we do not know whether the value would have decoded.
"""

import io
import json
import struct
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import fastavro
import pyarrow as pa

from k2chaos.errors import StageBlind
from k2chaos.evidence.identity import records_of
from k2chaos.pipeline import Record
from k2chaos.system.registries import Registries

_HEADER: Final = struct.Struct(">bI")
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


@dataclass(frozen=True, slots=True)
class _Reading:
    """How to read values of one schema: what wrote them, what we want, the unit of their time."""

    writer: Any
    reader: Any
    micros: int


@dataclass(frozen=True, slots=True)
class Decoder:
    """Decodes the values of one topic. Schemas are asked for once."""

    registries: Registries
    record: Record
    _readings: dict[int, _Reading] = field(default_factory=dict, init=False, repr=False)

    def decode(self, values: Iterable[bytes | None]) -> tuple[pa.Table, int]:
        """
        Decode *values* in their order.

        Returns:
            The records (schema `RECORDS`) and how many values did not decode.
        """
        rows: list[tuple[Any, Any, int]] = []
        undecodable = 0
        unknown: set[int] = set()
        for value in values:
            row = self._row(value, unknown)
            if row is None:
                undecodable += 1
            else:
                rows.append(row)
        keys, fields, times = zip(*rows, strict=True) if rows else ((), (), ())
        prefix = self.record.sequence.prefix
        return records_of(list(keys), list(fields), list(times), prefix), undecodable

    def _row(self, value: bytes | None, unknown: set[int]) -> tuple[Any, Any, int] | None:
        if value is None or len(value) < _HEADER.size:
            return None
        magic, schema_id = _HEADER.unpack_from(value)
        if magic != 0 or schema_id in unknown:
            return None
        reading = self._readings.get(schema_id) or self._ask(schema_id)
        if reading is None:
            unknown.add(schema_id)
            return None
        stream = io.BytesIO(value)
        stream.seek(_HEADER.size)
        try:
            row: Any = fastavro.schemaless_reader(stream, reading.writer, reading.reader)
            names = self.record
            time = row[names.event_time] * reading.micros
            return row[names.key], row[names.sequence.field], time
        except _BROKEN_VALUE:
            return None

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
                f"({error!r}); does topic.registry hold the full base path?"
            )
            raise StageBlind(message, "undecodable") from error
        self._readings[schema_id] = reading
        return reading

    def _reading(self, schema: Mapping[str, Any]) -> _Reading:
        fields = {one["name"]: one for one in schema["fields"]}
        names = (self.record.key, self.record.sequence.field, self.record.event_time)
        wanted = {**schema, "fields": [fields[name] for name in dict.fromkeys(names)]}
        unit = _logical_type(fields[self.record.event_time]["type"])
        # Without logical types a timestamp stays an integer: ten times faster than a datetime.
        return _Reading(
            writer=fastavro.parse_schema(_plain(schema)),
            reader=fastavro.parse_schema(_plain(wanted)),
            micros=_MICROS[unit],
        )


def _logical_type(kind: Any) -> str:
    """The logical type of a field, be it nullable or not."""
    branches = kind if isinstance(kind, list) else [kind]
    found = [branch["logicalType"] for branch in branches if isinstance(branch, dict)]
    return str(found[0]) if found else "none"


def _plain(node: Any) -> Any:
    """The same schema without its logical types."""
    if isinstance(node, dict):
        return {key: _plain(value) for key, value in node.items() if key != "logicalType"}
    if isinstance(node, list):
        return [_plain(value) for value in node]
    return node
