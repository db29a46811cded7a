from collections.abc import Mapping

import pyarrow as pa

from k2chaos.system.tail import Span, Tail
from tests.fakes.histories import Row, table_of


class Log:
    """Partitions of rows, and how many were read."""

    def __init__(self, *partitions: list[Row]) -> None:
        self.partitions = list(partitions)
        self.firsts = [0] * len(partitions)
        self.count = 0

    def read(self, spans: Mapping[int, Span]) -> pa.Table:
        rows = [row for one, (a, b) in spans.items() for row in self.partitions[one][a:b]]
        self.count += len(rows)
        return table_of(rows)

    def newest(self, tail: Tail, *keys: str) -> dict[str, int]:
        ends = {one: len(rows) for one, rows in enumerate(self.partitions)}
        found = tail.look(dict(enumerate(self.firsts)), ends, keys)
        return {key: sighting.sequence for key, sighting in found.items()}


def trades(key: str, last: int) -> list[Row]:
    return [(key, sequence) for sequence in range(1, last + 1)]


def test_a_first_look_reads_only_the_tails() -> None:
    log = Log(trades("BTC", 5000), trades("ETH", 10), [])

    assert {"BTC": 5000, "ETH": 10} == log.newest(Tail(log.read))
    assert log.count < 100


def test_a_key_that_is_asked_for_is_searched_further_back() -> None:
    log = Log([*trades("SLOW", 3), *trades("BTC", 5000)])

    assert {"BTC": 5000, "SLOW": 3} == log.newest(Tail(log.read), "SLOW")


def test_a_key_that_is_asked_for_later_is_searched_then() -> None:
    log = Log([*trades("SLOW", 3), *trades("BTC", 5000)])
    tail = Tail(log.read)
    log.newest(tail)

    assert {"BTC": 5000, "SLOW": 3} == log.newest(tail, "SLOW")


def test_a_key_that_is_nowhere_is_searched_once() -> None:
    log = Log(trades("BTC", 5000))
    tail = Tail(log.read)
    log.newest(tail, "NEVER")
    log.count = 0

    assert {"BTC": 5000} == log.newest(tail, "NEVER")
    assert 0 == log.count


def test_later_looks_read_what_came_since_and_nothing_twice() -> None:
    log = Log(trades("BTC", 500), trades("ETH", 5))
    tail = Tail(log.read)
    log.newest(tail)
    log.count = 0
    log.partitions[0] += [("BTC", 501), ("BTC", 502)]

    assert {"BTC": 502, "ETH": 5} == log.newest(tail)
    assert 2 == log.count


def test_after_a_long_gap_only_its_end_is_read_while_all_keys_are_in_it() -> None:
    log = Log(trades("BTC", 10))
    tail = Tail(log.read)
    log.newest(tail)
    log.count = 0
    log.partitions[0] = trades("BTC", 50_000)

    assert {"BTC": 50_000} == log.newest(tail)
    assert log.count < 100


def test_a_key_that_moved_only_at_the_start_of_a_long_gap_is_not_missed() -> None:
    log = Log([("SLOW", 1), *trades("BTC", 10)])
    tail = Tail(log.read)
    log.newest(tail)
    log.partitions[0] = [("SLOW", 1), *trades("BTC", 10), ("SLOW", 2), *trades("BTC", 9_000)]

    assert {"BTC": 9_000, "SLOW": 2} == log.newest(tail)


def test_an_older_record_that_comes_late_does_not_lower_the_maximum() -> None:
    log = Log(trades("BTC", 10))
    tail = Tail(log.read)
    log.newest(tail)
    log.partitions[0].append(("BTC", 3))

    assert {"BTC": 10} == log.newest(tail)


def test_records_that_retention_took_are_not_asked_for() -> None:
    log = Log(trades("BTC", 100))
    log.firsts = [95]

    assert {"BTC": 100} == log.newest(Tail(log.read), "NEVER")
    assert 5 == log.count


def test_a_log_that_was_made_anew_starts_over() -> None:
    log = Log(trades("BTC", 100))
    tail = Tail(log.read)
    log.newest(tail)
    log.partitions[0] = trades("ETH", 5)

    assert {"ETH": 5} == log.newest(tail)
