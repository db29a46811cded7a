"""Another writer of the table: it commits nothing, marked, and can be stopped."""

import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from pyiceberg.table.snapshots import MetadataLogEntry

from k2chaos.errors import TargetNotReady
from k2chaos.system.table import TableClient
from k2chaos.system.table_control import Commit, IcebergControl
from tests.contract.waiting import wait_until
from tests.fakes.servers import Answer, Request
from tests.fakes.table import FakeTable, fake_table, rows_of
from tests.fakes.topic import RECORD, START_MS

SINCE = datetime.fromtimestamp(START_MS / 1000, UTC)


@pytest.fixture
def table(tmp_path: Path) -> Iterator[FakeTable]:
    with fake_table(tmp_path) as one:
        one.append(rows_of("BTCUSDT", 1, 2))
        yield one


def ours(control: IcebergControl, tag: str = "tag") -> list[Commit]:
    return [one for one in control.commits_since(SINCE) if one.mark == tag]


def test_empty_snapshots_come_until_it_is_stopped(table: FakeTable) -> None:
    control = IcebergControl(table.table, RECORD)
    started = control.now()

    control.start_commits("tag", 20.0, 60.0)
    wait_until(lambda: len(ours(control)) >= 3, "three snapshots of ours")
    control.stop_commits("tag")
    count = len(ours(control))

    assert not [one for one in threading.enumerate() if one.name == "k2chaos-commits"]
    assert count == len(ours(control))
    assert [""] == [one.mark for one in control.commits_since(SINCE) if one.at < started]
    assert {"append"} == {one.operation for one in ours(control)}
    assert TableClient(table.table, RECORD).read(SINCE).num_rows == 2


def test_it_ends_by_itself_when_nobody_stops_it(table: FakeTable) -> None:
    control = IcebergControl(table.table, RECORD)

    control.start_commits("tag", 20.0, 0.0)

    wait_until(
        lambda: not [one for one in threading.enumerate() if one.name == "k2chaos-commits"],
        "the end of the thread",
    )
    control.stop_commits("tag")


def test_a_commit_that_lost_the_race_is_followed_by_the_next(table: FakeTable) -> None:
    refused: list[Request] = []

    def answer(request: Request) -> Answer:
        if request.method == "POST" and len(refused) < 2:
            refused.append(request)
            error = {"message": "branch main has changed", "type": "CommitFailedException"}
            return 409, {"error": {**error, "code": 409}}
        return table.answer(request)

    control = IcebergControl(table.table, RECORD)
    table.server.answer = answer

    control.start_commits("tag", 20.0, 60.0)
    wait_until(lambda: ours(control), "a snapshot of ours")
    control.stop_commits("tag")

    assert len(refused) == 2


def test_old_metadata_is_not_ours_to_delete(table: FakeTable, tmp_path: Path) -> None:
    table.recreate(**{"write.metadata.delete-after-commit.enabled": "true"})
    old = tmp_path / "old.metadata.json"
    old.write_text("{}")
    entry = MetadataLogEntry(metadata_file=f"file://{old}", timestamp_ms=START_MS)

    def answer(request: Request) -> Answer:
        """As a catalog whose log of old metadata is full: each commit drops the oldest."""
        log = [] if request.method == "POST" else [entry]
        table.metadata = table.metadata.model_copy(update={"metadata_log": log})
        return table.answer(request)

    table.server.answer = answer
    control = IcebergControl(table.table, RECORD)

    control.start_commits("tag", 20.0, 60.0)
    wait_until(lambda: len(ours(control)) >= 3, "three snapshots of ours")
    control.stop_commits("tag")

    assert old.exists()


def test_a_catalog_that_is_gone_is_not_taken_for_peace(tmp_path: Path) -> None:
    with fake_table(tmp_path) as gone:
        control = IcebergControl(gone.table, RECORD)

    with pytest.raises(TargetNotReady, match="refused"):
        control.commits_since(SINCE)
