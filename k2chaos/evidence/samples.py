"""
Samples: one measurement of one quantity at one time, as the observer of a run writes them.

``samples.arrows`` is an Arrow IPC stream that grows as it happens: each batch is whole on disk once
it is written, so that a reader finds everything but the last moments after any death. A sample has
a number, or a word that says why there is none; never neither.
"""

import threading
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Final, NamedTuple

import pyarrow as pa

SAMPLES_FILE: Final = "samples.arrows"
"""Its name in the run folder."""

SAMPLES: Final = pa.schema(
    [
        pa.field("at", pa.timestamp("us", tz="UTC"), nullable=False),
        pa.field("stage", pa.string(), nullable=False),
        pa.field("quantity", pa.string(), nullable=False),
        pa.field("key", pa.string()),
        pa.field("value", pa.float64()),
        pa.field("note", pa.string()),
    ]
)
"""
One row is one sample.

``at``: the wall clock of this machine when it was known. ``stage``: where it was measured, or
``engine``. ``quantity``: one of `QUANTITIES`. ``key``: the record's key, or the container
(``service-number``). ``value``: ``null`` where nothing was measured. ``note``: why not, or what was
said beside the number.
"""

QUANTITIES: Final[Mapping[str, str]] = {
    "attempt_seconds": "how long one look took; without a value it was refused, failed or hangs",
    "newest_id": "the highest number of a key that the stage shows (exchange: that it emitted)",
    "freshness_seconds": "the stage's freshness, its worst key's; it goes on growing unseen",
    "missing_id": "a number that an answer lacks although it shows the key's before and after it",
    "status": "what the stage says of its own health (1 healthy, 0 not; the note is its word)",
    "running": "1 while the container runs, else 0 (the note is the engine's word)",
    "healthy": "1 while the engine calls the container healthy, else 0 (the note is its word)",
    "restarts": "how often the engine restarted the container",
    "cpu_cores": "processor time a second, in cores",
    "memory_bytes": "memory in use",
    "impaired_services": "how many of the pipeline's services do not run or are not healthy",
}


class Sample(NamedTuple):
    """One row of `SAMPLES`."""

    at: datetime
    stage: str
    quantity: str
    value: float | None = None
    key: str | None = None
    note: str | None = None


@dataclass(slots=True)
class SampleWriter:
    """
    Appends samples to a stream. Safe to use from several threads.

    Raises:
        OSError: From any method: the disk is full, or the folder is gone.
    """

    path: Path
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _sink: pa.OSFile | None = None
    _stream: pa.ipc.RecordBatchStreamWriter | None = None

    def append(self, samples: Iterable[Sample]) -> None:
        """Put *samples* on disk as one batch; nothing is written where there are none."""
        rows = list(samples)
        if not rows:
            return
        columns = {name: [getattr(row, name) for row in rows] for name in SAMPLES.names}
        batch = pa.RecordBatch.from_pydict(columns, schema=SAMPLES)
        with self._lock:
            if self._stream is None:
                self._sink = pa.OSFile(str(self.path), "wb")
                self._stream = pa.ipc.new_stream(self._sink, SAMPLES)
            self._stream.write_batch(batch)

    def close(self) -> None:
        """End the stream."""
        with self._lock:
            if self._stream is not None and self._sink is not None:
                self._stream.close()
                self._sink.close()
                self._stream = self._sink = None


def read_samples(path: Path) -> tuple[pa.Table, str]:
    """
    Read a stream back.

    Returns:
        Every whole batch (schema `SAMPLES`), and what is wrong with what follows: empty where the
        stream was ended properly or merely stops between two batches.

    Raises:
        OSError: There is no such file, or it cannot be read.
    """
    batches: list[pa.RecordBatch] = []
    damage = ""
    with pa.OSFile(str(path), "rb") as source:
        try:
            with pa.ipc.open_stream(source) as stream:
                if stream.schema != SAMPLES:
                    return SAMPLES.empty_table(), "not samples of this version"
                for batch in stream:
                    batches.append(batch)  # noqa: PERF402 - those before a damaged one are kept
        except (pa.ArrowException, OSError) as error:
            damage = " ".join(str(error).split())[:200]
    return pa.Table.from_batches(batches, schema=SAMPLES), damage
