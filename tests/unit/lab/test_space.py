"""Disk space is checked before anything is built."""

from pathlib import Path

import pytest

from k2chaos.errors import UsageError
from k2chaos.system.lab.up import check_space


def test_a_disk_with_too_little_space_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=f"{tmp_path}.* GiB free, the lab needs 1048576 GiB"):
        check_space([tmp_path], 1 << 50)


def test_a_folder_that_does_not_exist_yet_counts_for_the_disk_it_will_be_on(tmp_path: Path) -> None:
    check_space([tmp_path / "not" / "yet"], 1)
