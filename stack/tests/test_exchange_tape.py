"""The write-ahead log: what it keeps over deaths, tears, full disks and the retention."""

import os
import resource
import signal
import subprocess
import sys
from bisect import bisect_right
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exchange import segment
from exchange.history import BeyondRetentionError, History, Mark
from exchange.segment import Row
from exchange.tape import SeedChangedError, Tape

SERVICES = Path(__file__).parents[1] / "services"
SYMBOLS = ("AAAUSDT", "BBBUSDT")


def open_tape(directory: Path, symbols: tuple[str, ...] = SYMBOLS, seed: int = 7) -> Tape:
    return Tape(directory, seed, symbols, retention_s=30)


def emit(tape: Tape, symbol: str, trades: int, at_ms: int) -> None:
    tape.append([Row(symbol, tape.history(symbol).last_id + 1, trades, at_ms)])


def known(tape: Tape, symbol: str) -> list[tuple[int, int]]:
    return list(tape.history(symbol).times(0, 1_000_000))


def test_ids_and_times_survive_a_death_without_closing(tmp_path: Path) -> None:
    tape = open_tape(tmp_path)
    emit(tape, "AAAUSDT", 3, 1_000)
    emit(tape, "AAAUSDT", 2, 1_020)
    again = open_tape(tmp_path)
    assert known(again, "AAAUSDT") == [(1, 1000), (2, 1000), (3, 1000), (4, 1020), (5, 1020)]
    assert again.history("BBBUSDT").newest == Mark(0, None)
    assert again.newest_ms == 1_020


def test_a_torn_tail_of_any_length_costs_only_the_torn_row(tmp_path: Path) -> None:
    tape = open_tape(tmp_path)
    for at_ms in (1_000, 1_020, 1_040):
        emit(tape, "AAAUSDT", 1, at_ms)
    path = next(tmp_path.glob("*.tape"))
    whole = path.read_bytes()
    for cut in range(1, segment.ROW_BYTES):
        path.write_bytes(whole[:-cut])
        for later in sorted(tmp_path.glob("*.tape"))[1:]:
            later.unlink()
        again = open_tape(tmp_path)
        assert known(again, "AAAUSDT") == [(1, 1000), (2, 1020)]
        emit(again, "AAAUSDT", 1, 1_060)
        assert known(open_tape(tmp_path), "AAAUSDT")[-1] == (3, 1060)


def test_a_damaged_row_ends_its_segment_and_never_invents_trades(tmp_path: Path) -> None:
    tape = open_tape(tmp_path)
    for at_ms in (1_000, 1_020, 1_040):
        emit(tape, "AAAUSDT", 1, at_ms)
    path = next(tmp_path.glob("*.tape"))
    data = bytearray(path.read_bytes())
    data[-2 * segment.ROW_BYTES + 9] ^= 0xFF
    path.write_bytes(data)
    assert known(open_tape(tmp_path), "AAAUSDT") == [(1, 1000)]


def test_ids_that_others_have_seen_are_not_given_out_again_after_damage(tmp_path: Path) -> None:
    tape = open_tape(tmp_path)
    emit(tape, "AAAUSDT", 5, 1_000)
    emit(open_tape(tmp_path), "AAAUSDT", 5, 2_000)
    first = min(tmp_path.glob("*.tape"))
    first.write_bytes(first.read_bytes()[: -segment.ROW_BYTES])
    again = open_tape(tmp_path)
    assert again.history("AAAUSDT").last_id == 10
    assert known(again, "AAAUSDT")[0] == (6, 2000)


def test_a_segment_without_a_readable_header_is_passed_over(tmp_path: Path) -> None:
    emit(open_tape(tmp_path), "AAAUSDT", 5, 1_000)
    emit(open_tape(tmp_path), "AAAUSDT", 5, 2_000)
    min(tmp_path.glob("*.tape")).write_bytes(b"rubbish")
    (tmp_path / "000000009.new").write_bytes(b"K2TA")
    assert known(open_tape(tmp_path), "AAAUSDT")[-1] == (10, 2000)


def test_another_seed_is_refused_since_old_trades_would_change(tmp_path: Path) -> None:
    open_tape(tmp_path)
    with pytest.raises(SeedChangedError, match="seed 7, not 8"):
        open_tape(tmp_path, seed=8)


def test_symbols_may_come_and_go_without_forgetting_their_ids(tmp_path: Path) -> None:
    emit(open_tape(tmp_path), "AAAUSDT", 5, 1_000)
    emit(open_tape(tmp_path, symbols=("CCCUSDT", "BBBUSDT")), "CCCUSDT", 1, 2_000)
    again = open_tape(tmp_path)
    assert (again.history("AAAUSDT").last_id, again.history("CCCUSDT").last_id) == (5, 1)


def test_old_segments_go_and_the_ids_go_on(tmp_path: Path) -> None:
    tape = open_tape(tmp_path)
    for second in range(100):
        emit(tape, "AAAUSDT", 1, second * 1_000)
        tape.turn(second * 1_000)
    history = tape.history("AAAUSDT")
    assert history.last_id == 100
    assert 68_000 - 1_000 <= (history.retained_from_ms or 0) <= 99_000 - 30_000
    assert len(list(tmp_path.glob("*.tape"))) <= 34
    assert known(open_tape(tmp_path), "AAAUSDT")[-1] == (100, 99_000)


def test_a_symbol_silent_for_longer_than_the_retention_keeps_its_id(tmp_path: Path) -> None:
    tape = open_tape(tmp_path)
    emit(tape, "BBBUSDT", 4, 500)
    for second in range(100):
        emit(tape, "AAAUSDT", 1, 1_000 + second * 1_000)
        tape.turn(1_000 + second * 1_000)
    for each in (tape, open_tape(tmp_path)):
        history = each.history("BBBUSDT")
        assert history.newest == Mark(4, 500)
        assert (history.retained_from_id, history.retained_from_ms) == (5, None)


@pytest.mark.parametrize("attempts", [1, 2])
def test_a_full_disk_uses_up_no_ids_and_leaves_no_torn_rows(tmp_path: Path, attempts: int) -> None:
    tape = open_tape(tmp_path)
    emit(tape, "AAAUSDT", 1, 1_000)
    size = next(tmp_path.glob("*.tape")).stat().st_size
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size + 10, limits[1]))
    try:
        for _ in range(attempts):
            with pytest.raises(OSError, match=r"fitted|too large"):
                emit(tape, "AAAUSDT", 1, 1_020)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, before)
    assert tape.history("AAAUSDT").last_id == 1
    emit(tape, "AAAUSDT", 1, 1_040)
    assert known(open_tape(tmp_path), "AAAUSDT") == [(1, 1000), (2, 1040)]


WRITER = """
import sys
from pathlib import Path
from exchange.segment import Row
from exchange.tape import Tape
tape = Tape(Path(sys.argv[1]), 7, ("AAAUSDT", "BBBUSDT"), 30)
while True:
    first = tape.history("AAAUSDT").last_id + 1
    tape.append([Row("AAAUSDT", first, 2, first), Row("BBBUSDT", first, 2, first)])
    print(first + 1, flush=True)
"""


def test_whatever_was_seen_before_a_sigkill_is_on_the_tape(tmp_path: Path) -> None:
    for _ in range(3):
        writer = subprocess.Popen(
            [sys.executable, "-c", WRITER, str(tmp_path)],
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": str(SERVICES)},
        )
        assert writer.stdout is not None
        for _ in range(500):
            writer.stdout.readline()
        writer.kill()
        seen = [int(line) for line in writer.stdout.read().splitlines() if line.isdecimal()]
        writer.stdout.close()
        writer.wait()
        tape = open_tape(tmp_path)
        assert tape.history("AAAUSDT").last_id >= (seen[-1] if seen else 1_000)
        ids = [trade_id for trade_id, _ in known(tape, "AAAUSDT")]
        assert ids == list(range(1, len(ids) + 1))


@given(
    steps=st.lists(st.tuples(st.integers(1, 5), st.integers(0, 3)), max_size=30),
    share=st.floats(0, 1),
    at_ms=st.integers(0, 100),
    floor=st.sampled_from([Mark(), Mark(10, 4)]),
)
def test_the_index_agrees_with_a_plain_list(
    steps: list[tuple[int, int]], share: float, at_ms: int, floor: Mark
) -> None:
    history, now = History(floor), 5
    plain: list[tuple[int, int]] = []
    for trades, gap in steps:
        now += gap
        plain += [(floor.last_id + len(plain) + each + 1, now) for each in range(trades)]
        history.append(trades, now)
    if cut := int(share * len(plain)):
        history.forget_through(Mark(*plain[cut - 1]))
        floor, plain = Mark(*plain[cut - 1]), plain[cut:]
    assert list(history.times(0, 1_000)) == plain
    assert list(history.times(floor.last_id + 3, 4)) == plain[2:6]
    assert history.retained_from_id == (plain[0][0] if plain else history.last_id + 1)
    position = bisect_right([each for _, each in plain], at_ms)
    if position:
        assert history.as_of(at_ms) == Mark(*plain[position - 1])
    elif floor.last_ms is None or floor.last_ms <= at_ms:
        assert history.as_of(at_ms) == floor
    else:
        with pytest.raises(BeyondRetentionError):
            history.as_of(at_ms)
