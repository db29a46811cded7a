"""The numbers that ``/metrics`` tells."""

from __future__ import annotations

from typing import Final

from prometheus_client import Counter, Gauge, Histogram

RECORDS_WRITTEN: Final = Counter("k2_sink_records_written", "Rows committed to the table.")
BATCHES: Final = Counter("k2_sink_batches", "Batches committed to the table.")
COMMIT_SECONDS: Final = Histogram(
    "k2_sink_commit_seconds",
    "From handing a batch to the table until it is certainly in, retries included.",
    buckets=(0.05, 0.1, 0.2, 0.3, 0.5, 1, 2, 5, 10, 30, 60, 120),
)
DEAD_LETTERS: Final = Counter(
    "k2_sink_dead_letters", "Records sent to the dead letter topic.", ["reason"]
)
RETRIES: Final = Counter("k2_sink_retries", "Tries that failed and were repeated.", ["step"])
CONFLICTS: Final = Counter(
    "k2_sink_commit_conflicts", "Commits refused because somebody else committed in between."
)
FENCED: Final = Counter(
    "k2_sink_fenced", "Times this process found that another sink writes its partitions."
)
LAG: Final = Gauge(
    "k2_sink_lag_records", "Records in the topic that are not in the table yet.", ["partition"]
)
LAST_EVENT_TIME: Final = Gauge(
    "k2_sink_last_event_timestamp_seconds", "Newest event time committed to the table."
)
LAST_COMMIT: Final = Gauge("k2_sink_last_commit_timestamp_seconds", "When the last commit ended.")
BUFFERED: Final = Gauge("k2_sink_buffered_records", "Records read and not handed over yet.")
UPKEEP_SECONDS: Final = Histogram(
    "k2_sink_upkeep_seconds",
    "How long a step of upkeep kept the writer from its batches.",
    ["step"],
    buckets=(0.05, 0.1, 0.2, 0.3, 0.5, 1, 2, 5, 10, 30),
)
UPKEEP_FAILURES: Final = Counter(
    "k2_sink_upkeep_failures", "Steps of upkeep that failed.", ["step"]
)
SNAPSHOTS_EXPIRED: Final = Counter("k2_sink_snapshots_expired", "Snapshots expired.")
FILES_COMPACTED: Final = Counter("k2_sink_files_compacted", "Small files put into bigger ones.")
ROWS_COMPACTED: Final = Counter("k2_sink_rows_compacted", "Rows written anew by compactions.")
FILES_DELETED: Final = Counter("k2_sink_files_deleted", "Files deleted that nothing refers to.")
FILES_STORED: Final = Gauge("k2_sink_files_stored", "Data files and manifests in the store.")
