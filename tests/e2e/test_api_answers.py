"""
What the API and the services tell about the data, held against the data.

The table is read by PyIceberg, the counts by what the exchange was asked for.
"""

from datetime import timedelta

import httpx
import pyarrow as pa
import pyarrow.compute as pc

from tests.e2e.content import ask, iceberg_table, rows_since
from tests.e2e.lab import HEALTH_PORTS, Lab
from tests.e2e.paths import covers


@covers("API history")
def test_a_range_of_the_past_is_answered_trade_by_trade_as_the_table_holds_it(still: Lab) -> None:
    baseline = still.baseline()
    # Trades of one order have one time, so there are three orders.
    for _ in range(3):
        window = still.emit(240)
        still.await_arrival(window, "topic")
    still.await_arrival(window, "api")
    rows = rows_since(still.pipeline, baseline.started - timedelta(seconds=5), "BTCUSDT")
    times = rows["timestamp"].combine_chunks().unique().sort().to_pylist()
    assert len(times) >= 3
    start, end = times[1], times[-1]
    inside = rows.filter(
        pc.and_(pc.greater_equal(rows["timestamp"], start), pc.less(rows["timestamp"], end))
    )

    found = ask(
        still.pipeline,
        "/v1/trades",
        symbol="BTCUSDT",
        start_time=start.isoformat(),
        end_time=end.isoformat(),
        limit="1000",
    ).json()

    assert 0 < inside.num_rows < rows.num_rows
    assert inside.num_rows == found["pagination"]["total"]
    assert sorted(inside["trade_id"].to_pylist()) == sorted(
        one["trade_id"] for one in found["data"]
    )


@covers("API about the table")
def test_symbols_stats_and_snapshots_tell_what_the_table_holds(still: Lab) -> None:
    still.await_arrival(still.emit(120), "api")
    table = iceberg_table(still.pipeline)
    rows = table.scan(selected_fields=("symbol", "timestamp")).to_arrow()
    counted = rows.group_by("symbol").aggregate([("timestamp", "count"), ("timestamp", "max")])

    stats = ask(still.pipeline, "/v1/stats").json()
    symbols = ask(still.pipeline, "/v1/symbols").json()
    snapshots = ask(still.pipeline, "/v1/snapshots", limit="5").json()

    assert rows.num_rows == stats["data"]["trades"]
    assert counted.num_rows == stats["data"]["symbols"]
    assert _by_symbol(counted) == {
        one["symbol"]: (one["trades"], one["last_timestamp"]) for one in symbols["data"]
    }
    newest = table.current_snapshot()
    assert newest is not None
    assert newest.snapshot_id == snapshots["data"][0]["snapshot_id"]
    assert newest.snapshot_id == stats["meta"]["snapshot_id"]


@covers("metrics")
def test_the_counts_that_monitoring_reads_move_with_the_data(still: Lab) -> None:
    before = {role: _metrics(role) for role in ("source", "sink", "api")}
    window = still.emit(360)
    still.await_arrival(window, "api")
    asked = 7
    for _ in range(asked):
        ask(still.pipeline, "/v1/stats")
    after = {role: _metrics(role) for role in before}

    def moved(role: str, name: str) -> float:
        return after[role][name] - before[role].get(name, 0.0)

    assert window.expected == moved("sink", "k2_sink_records_written_total") == 360
    assert moved("sink", "k2_sink_batches_total") >= 1
    acknowledged = [
        name for name in after["source"] if name.startswith("source_acknowledged_total")
    ]
    assert window.expected == sum(moved("source", name) for name in acknowledged)
    assert asked == moved("api", 'k2_api_requests_total{route="/v1/stats",status="200"}')


def _by_symbol(counted: pa.Table) -> dict[str, tuple[int, str]]:
    names = ("symbol", "timestamp_count", "timestamp_max")
    rows = zip(*(counted[name].to_pylist() for name in names), strict=True)
    return {symbol: (count, newest.isoformat()) for symbol, count, newest in rows}


def _metrics(role: str) -> dict[str, float]:
    """Every sample of a service, by name and labels."""
    text = httpx.get(f"http://127.0.0.1:{HEALTH_PORTS[role]}/metrics", timeout=5.0).text
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    assert lines, f"the {role} tells no metrics"
    return {name: float(value) for name, _, value in (line.rpartition(" ") for line in lines)}
