"""Samples come back as they were written, up to the moment at which their writer died."""

import os
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pytest

from k2chaos.evidence.samples import SAMPLES, Sample, SampleWriter, read_samples

NOW = datetime(2026, 1, 1, tzinfo=UTC)
SEEN = Sample(NOW, "api", "newest_id", 42.0, "BTCUSDT")
REFUSED = Sample(NOW, "api", "attempt_seconds", None, None, "refused")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where samples go."""
    return tmp_path / "samples.arrows"


def test_what_was_written_is_read(path: Path) -> None:
    writer = SampleWriter(path)
    writer.append([SEEN, REFUSED])
    writer.append([])
    writer.close()

    table, damage = read_samples(path)

    assert [SEEN._asdict(), REFUSED._asdict()] == table.to_pylist()
    assert damage == ""


def test_samples_can_be_read_while_their_writer_lives(path: Path) -> None:
    writer = SampleWriter(path)
    writer.append([SEEN])

    assert read_samples(path)[0].num_rows == 1
    writer.append([REFUSED])
    assert read_samples(path)[0].num_rows == 2
    writer.close()


def test_of_a_truncated_stream_the_whole_batches_are_read_and_the_rest_is_told(path: Path) -> None:
    writer = SampleWriter(path)
    writer.append([SEEN])
    whole = path.stat().st_size
    writer.append([REFUSED])
    writer.close()
    os.truncate(path, whole + 100)

    table, damage = read_samples(path)

    assert [SEEN._asdict()] == table.to_pylist()
    assert damage


def test_a_file_of_something_else_is_told(path: Path) -> None:
    path.write_bytes(b"time,value\n1,2\n")

    table, damage = read_samples(path)

    assert table == SAMPLES.empty_table()
    assert damage


def test_an_empty_file_holds_nothing(path: Path) -> None:
    path.touch()

    table, damage = read_samples(path)

    assert table.num_rows == 0
    assert damage


def test_no_file_is_an_error(path: Path) -> None:
    with pytest.raises(OSError, match="samples"):
        read_samples(path)


def test_samples_of_another_version_are_told(path: Path) -> None:
    other = pa.table({"at": [1], "value": [2.0]})
    with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_stream(sink, other.schema) as stream:
        stream.write_table(other)

    assert (SAMPLES.empty_table(), "not samples of this version") == read_samples(path)


def test_a_writer_that_wrote_nothing_leaves_nothing(path: Path) -> None:
    SampleWriter(path).close()

    assert not path.exists()
