"""When upkeep does what, and what becomes of a step that fails."""

from pathlib import Path

import pytest
from sink_catalog import Lake
from test_sink_compaction import sizes
from test_sink_retention import age, filled, snapshots
from test_sink_table import OWNED, sequences, step

from consumer_crypto.health import Vitals
from consumer_crypto.settings import UpkeepSettings
from consumer_crypto.upkeep import Upkeep

SETTINGS = UpkeepSettings(seconds=30, keep_seconds=60, files=6, leave=2)


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return Lake(tmp_path)


def test_nothing_is_done_right_after_the_start(lake: Lake) -> None:
    table = filled(lake, 8)
    age(lake, 100)
    Upkeep(table, SETTINGS, Vitals(0.0), Clock()).step()
    assert snapshots(lake) == 8


def test_one_step_does_one_thing(lake: Lake) -> None:
    table, clock = filled(lake, 8), Clock()
    upkeep = Upkeep(table, SETTINGS, Vitals(0.0), clock)
    age(lake, 100)
    clock.now += 31
    upkeep.step()
    assert (sizes(lake), snapshots(lake)) == ([1, 1, 6], 9)
    upkeep.step()
    upkeep.step()
    assert (sizes(lake), snapshots(lake)) == ([1, 1, 6], 1)


def test_a_step_that_fails_is_not_repeated_at_once_and_harms_no_batch(lake: Lake) -> None:
    table, clock = filled(lake, 8), Clock()
    upkeep = Upkeep(table, SETTINGS, Vitals(0.0), clock)
    clock.now += 31
    lake.lose_request = True
    upkeep.step()
    table.append(step("next", 8), OWNED)
    upkeep.step()
    assert sizes(lake) == [1] * 9
    clock.now += 31
    upkeep.step()
    assert sizes(lake) == [1, 1, 1, 6]
    assert sequences(lake) == list(range(9))


def test_settings_come_from_the_environment() -> None:
    assert UpkeepSettings.from_environment({}) == UpkeepSettings()
    assert UpkeepSettings.from_environment({"COMPACT_FILES": "7"}).files == 7
    with pytest.raises(ValueError, match="COMPACT_ROWS must be a number above 0, not 'many'"):
        UpkeepSettings.from_environment({"COMPACT_ROWS": "many"})
    for unusable in ({"COMPACT_FILES": "1"}, {"COMPACT_LEAVE": "0.5"}):
        with pytest.raises(ValueError, match="must be a whole number"):
            UpkeepSettings.from_environment(unusable)
