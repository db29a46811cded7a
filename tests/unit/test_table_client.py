import dataclasses
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from k2chaos.errors import StageBlind, StageError, StageUnavailable
from k2chaos.pipeline import Record, Sequence
from k2chaos.system.table import TableClient
from tests.fakes.servers import Answer, Request, refusing, silent
from tests.fakes.table import FakeTable, fake_table, rows_of
from tests.fakes.topic import RECORD, time_of

MERGING = {"commit.manifest-merge.enabled": "true", "commit.manifest.min-count-to-merge": "1"}


@pytest.fixture
def table(tmp_path: Path) -> Iterator[FakeTable]:
    with fake_table(tmp_path) as fake:
        yield fake


def client_of(table: FakeTable, seconds: float = 5.0, **catalog: str) -> TableClient:
    properties = {**table.table.catalog, **catalog}
    return TableClient(dataclasses.replace(table.table, catalog=properties), RECORD, seconds)


def newest_of(client: TableClient, *keys: str) -> dict[str, int]:
    return {key: one.sequence for key, one in client.newest(keys).items()}


def failure_of(client: TableClient) -> StageError:
    with pytest.raises(StageError) as caught:
        client.newest()
    return caught.value


def test_a_table_that_was_never_written_shows_nothing(table: FakeTable) -> None:
    client = client_of(table)

    assert {} == client.newest()
    assert client.snapshot_id() is None
    assert 0 == client.read(time_of(0)).num_rows


def test_all_rows_from_a_moment_on_are_read_copies_included(table: FakeTable) -> None:
    table.append(rows_of("BTC", 1, 2, 3))
    table.append(rows_of("BTC", 3, 4), rows_of("ETH", 1, 9))

    rows = client_of(table).read(time_of(3)).to_pylist()

    found = sorted((row["key"], row["sequence"], row["event_time"]) for row in rows)
    assert [
        ("BTC", 3, time_of(3)),
        ("BTC", 3, time_of(3)),
        ("BTC", 4, time_of(4)),
        ("ETH", 9, time_of(9)),
    ] == found


def test_a_table_that_is_compacted_while_it_is_read_is_read_anew(table: FakeTable) -> None:
    table.append(rows_of("BTC", 1, 2))
    table.append(rows_of("BTC", 3))
    answer = table.server.answer

    def compacting(request: Request) -> Answer:
        """The metadata as it was, the files as they are from now on."""
        stale = answer(request)
        if request.path.endswith("/trades"):
            table.server.answer = answer
            table.compact()
        return stale

    table.server.answer = compacting

    assert [1, 2, 3] == sorted(client_of(table).read(time_of(0))["sequence"].to_pylist())


def test_a_table_whose_files_are_gone_is_broken(table: FakeTable) -> None:
    table.append(rows_of("BTC", 1, 2))
    for path in table.directory.rglob("*.parquet"):
        path.unlink()

    with pytest.raises(StageUnavailable, match="reading records"):
        client_of(table).read(time_of(0))


def test_the_margin_lies_before_the_moment(table: FakeTable) -> None:
    table.append(rows_of("BTC", 1, 2, 3, 4))

    assert 3 == client_of(table).read(time_of(4), time_of(2) - time_of(0)).num_rows


def test_rows_of_other_feeds_are_left_out(table: FakeTable) -> None:
    table.append(rows_of("BTC", 1), rows_of("BTC", 99, prefix="KRAKEN-"))

    assert {"BTC": 1} == newest_of(client_of(table))


def test_the_newest_row_of_each_key_is_found(table: FakeTable) -> None:
    table.append(rows_of("BTC", 1, 3, 2), rows_of("ETH", 1))
    table.append(rows_of("BTC", 4))

    newest = client_of(table).newest()

    assert {"BTC": 4, "ETH": 1} == {key: one.sequence for key, one in newest.items()}
    assert time_of(4) == newest["BTC"].event_time


def test_a_look_at_an_unchanged_table_reads_no_file(table: FakeTable) -> None:
    table.append(rows_of("BTC", 1))
    client = client_of(table)
    client.newest()
    for path in table.directory.rglob("*.parquet"):
        path.unlink()

    assert {"BTC": 1} == newest_of(client, "BTC")


def test_later_looks_read_only_the_files_that_came_since(table: FakeTable) -> None:
    table.append(rows_of("BTC", 1))
    client = client_of(table)
    client.newest()
    for path in (*table.directory.rglob("*.parquet"), *table.directory.rglob("*-m0.avro")):
        path.unlink()
    table.append(rows_of("ETH", 1))

    assert {"BTC": 1, "ETH": 1} == newest_of(client)


def test_files_that_were_read_are_known_again_in_a_merged_manifest(table: FakeTable) -> None:
    table.recreate(**MERGING)
    table.append(rows_of("BTC", 1))
    client = client_of(table)
    client.newest()
    for path in table.directory.rglob("*.parquet"):
        path.unlink()
    table.append(rows_of("ETH", 1))

    assert {"BTC": 1, "ETH": 1} == newest_of(client)


def test_a_key_that_is_asked_for_is_searched_in_older_files(table: FakeTable) -> None:
    table.append(rows_of("SLOW", 1))
    for sequence in range(100, 110):
        table.append(rows_of("BTC", sequence))
    client = client_of(table)

    assert {"BTC": 109} == newest_of(client), "the newest eight files do not hold it"
    assert {"BTC": 109, "SLOW": 1} == newest_of(client, "BTC", "SLOW")


def test_compaction_changes_nothing_that_is_visible(table: FakeTable) -> None:
    table.append(rows_of("SLOW", 1))
    for sequence in range(100, 110):
        table.append(rows_of("BTC", sequence))
    client = client_of(table)
    newest_of(client)
    table.compact()
    table.append(rows_of("BTC", 110))

    assert {"BTC": 110, "SLOW": 1} == newest_of(client, "BTC", "SLOW")


def test_older_files_that_are_gone_are_looked_for_anew(table: FakeTable) -> None:
    table.append(rows_of("SLOW", 1))
    for sequence in range(100, 110):
        table.append(rows_of("BTC", sequence))
    client = client_of(table)
    newest_of(client)
    table.compact()
    newest_of(client, "NEVER")

    assert {"BTC": 109, "SLOW": 1} == newest_of(client, "BTC", "SLOW")


def test_a_table_that_was_made_anew_starts_over(table: FakeTable) -> None:
    table.append(rows_of("BTC", 100))
    client = client_of(table)
    client.newest()
    table.recreate()
    table.append(rows_of("BTC", 1))

    assert {"BTC": 1} == newest_of(client)


def test_only_the_current_snapshot_is_asked_of_the_catalog(table: FakeTable) -> None:
    client_of(table).newest()

    assert {"snapshots": "refs"} == table.server.requests[-1].query


def test_a_table_that_is_not_in_the_catalog_is_unavailable(table: FakeTable) -> None:
    missing = dataclasses.replace(table.table, name="market_data.nothing")

    error = failure_of(TableClient(missing, RECORD))

    assert (StageUnavailable, "missing") == (type(error), error.reason)
    assert "has the sink ever written" in str(error)


@pytest.mark.parametrize("status", [401, 403])
def test_a_catalog_that_refuses_our_credentials_makes_us_blind(
    table: FakeTable, status: int
) -> None:
    client = client_of(table, token="hunter2")
    client.newest()
    error = {"message": "no hunter2 here", "type": "NotAuthorizedException", "code": status}
    table.server.answer = lambda _: (status, {"error": error})

    failure = failure_of(client)

    assert (StageBlind, "credentials") == (type(failure), failure.reason)
    assert "table.catalog" in str(failure)
    assert "hunter2" not in str(failure)


@pytest.mark.parametrize("status", [500, 503])
def test_a_catalog_that_errs_is_unavailable(table: FakeTable, status: int) -> None:
    client = client_of(table)
    client.newest()
    error = {"message": "database is down", "type": "Oops", "code": status}
    table.server.answer = lambda _: (status, {"error": error})

    failure = failure_of(client)

    assert isinstance(failure, StageUnavailable)
    assert "database is down" in str(failure)


def test_a_catalog_that_answers_nonsense_makes_us_blind(table: FakeTable) -> None:
    table.server.answer = lambda _: (200, b"<html>")

    assert isinstance(failure_of(client_of(table)), StageBlind)


def test_a_catalog_that_is_gone_is_refused(table: FakeTable) -> None:
    with refusing() as url:
        assert "refused" == failure_of(client_of(table, uri=url)).reason


def test_a_frozen_catalog_is_a_timeout_within_the_limit(table: FakeTable) -> None:
    with silent() as address:
        before = time.monotonic()
        error = failure_of(client_of(table, seconds=0.5, uri=f"http://{address}"))

    assert (StageUnavailable, "timeout") == (type(error), error.reason)
    assert time.monotonic() - before < 15.0


def test_a_catalog_that_freezes_later_is_a_timeout_too(table: FakeTable) -> None:
    client = client_of(table, seconds=0.5)
    client.newest()
    table.server.hang_seconds = 2.0

    assert "timeout" == failure_of(client).reason


def test_a_data_file_that_the_store_lost_is_unavailable(table: FakeTable) -> None:
    table.append(rows_of("BTC", 1))
    for path in table.directory.rglob("*.parquet"):
        path.unlink()

    assert isinstance(failure_of(client_of(table)), StageUnavailable)


def test_a_field_that_the_table_lacks_makes_us_blind(table: FakeTable) -> None:
    table.append(rows_of("BTC", 1))
    other = Record(key="isin", sequence=Sequence("trade_id"), event_time="timestamp")

    with pytest.raises(StageBlind, match="isin"):
        TableClient(table.table, other).newest()
    with pytest.raises(StageBlind, match="isin"):
        TableClient(table.table, other).read(time_of(0))
