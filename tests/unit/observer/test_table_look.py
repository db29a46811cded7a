"""The table, by the files that were added."""

from pathlib import Path

import pytest

from k2chaos.errors import StageUnavailable
from k2chaos.evidence.freshness import Sighting
from k2chaos.system.observer.table_look import TableLook
from tests.fakes.servers import refusing
from tests.fakes.table import fake_table, rows_of
from tests.fakes.topic import RECORD, time_of


def test_the_newest_of_each_key_is_seen_file_by_file(tmp_path: Path) -> None:
    with fake_table(tmp_path) as table:
        table.append(rows_of("BTC", 1, 2), rows_of("ETH", 7))
        look = TableLook(table.table, RECORD)
        assert {"BTC": 2, "ETH": 7} == {
            key: one.sequence for key, one in look.ask({"BTC": 2}).newest.items()
        }
        table.append(rows_of("BTC", 3))

        assert Sighting(3, time_of(3)) == look.ask({}).newest["BTC"]


def test_a_catalog_that_is_gone_is_told_with_the_reason(tmp_path: Path) -> None:
    with fake_table(tmp_path) as table, refusing() as url:
        table.server.url = url
        look = TableLook(table.table, RECORD)
        with pytest.raises(StageUnavailable) as refusal:
            look.ask({})

    assert "refused" == refusal.value.reason
