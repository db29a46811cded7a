import dataclasses
import time
from collections.abc import Iterator

import pytest
from confluent_kafka import Consumer, TopicPartition

from k2chaos.errors import StageBlind, StageError, StageUnavailable
from k2chaos.evidence.freshness import Sighting, newest_of
from k2chaos.pipeline import Record, Sequence
from k2chaos.system.avro import Decoder
from k2chaos.system.kafka.log import Entry, Log
from k2chaos.system.registries import Registries
from k2chaos.system.topic import TopicClient
from tests.fakes.servers import refusing, silent
from tests.fakes.topic import RECORD, FakeTopic, encode, fake_topic, time_of

NOWHERE = dict.fromkeys(range(4), 0)


@pytest.fixture
def topic() -> Iterator[FakeTopic]:
    with fake_topic() as fake:
        yield fake


def client_of(topic: FakeTopic, **changes: object) -> TopicClient:
    return TopicClient(dataclasses.replace(topic.topic, **changes), RECORD, seconds=2.0)  # type: ignore[arg-type]


def failure_of(client: TopicClient) -> StageError:
    with pytest.raises(StageError) as caught:
        client.newest()
    return caught.value


def test_end_offsets_are_where_the_next_record_will_lie(topic: FakeTopic) -> None:
    topic.put("BTC", 1, 2, 3, partition=2)
    client = client_of(topic)

    assert {0: 0, 1: 0, 2: 3, 3: 0} == client.end_offsets()


def test_records_are_read_in_topic_order_copies_included(topic: FakeTopic) -> None:
    topic.put("BTC", 3, 1, 1, 2, partition=1)
    topic.put("ETH", 7, partition=0)

    read = client_of(topic).read(NOWHERE)

    rows = [(row["key"], row["sequence"]) for row in read.records.to_pylist()]
    assert [("ETH", 7), ("BTC", 3), ("BTC", 1), ("BTC", 1), ("BTC", 2)] == rows
    assert time_of(7) == read.records["event_time"][0].as_py()


def test_the_order_of_what_is_read_is_not_that_of_the_brokers_answers(
    topic: FakeTopic, monkeypatch: pytest.MonkeyPatch
) -> None:
    places = [[(1, 0), (0, 0), (1, 1)], [(3, 0)], [(0, 1), (1, 2)]]
    answers = [[Entry(*place, encode("BTC", 1)) for place in batch] for batch in places]
    monkeypatch.setattr(Log, "batches", lambda *_: iter(answers))

    read = client_of(topic).read(NOWHERE)

    columns = read.records.select(["partition", "offset"]).to_pydict().values()
    assert [(0, 0), (0, 1), (1, 0), (1, 1), (1, 2), (3, 0)] == list(zip(*columns, strict=True))


def test_reading_keeps_to_the_offsets_it_was_given(topic: FakeTopic) -> None:
    topic.put("BTC", *range(1, 11))

    read = client_of(topic).read({0: 3}, {0: 6})

    assert [4, 5, 6] == read.records["sequence"].to_pylist()


def test_what_lies_behind_the_end_of_one_partition_is_left_out(topic: FakeTopic) -> None:
    topic.put("BTC", *range(1, 301), partition=0)
    topic.put("ETH", *range(1, 301), partition=1)

    read = client_of(topic).read({0: 0, 1: 0}, {0: 2, 1: 300})

    assert 302 == read.records.num_rows
    assert [1, 2] == read.records["sequence"].to_pylist()[:2]


def test_records_that_do_not_come_are_a_timeout_within_the_limit(topic: FakeTopic) -> None:
    topic.put("BTC", 1)
    before = time.monotonic()

    with pytest.raises(StageUnavailable, match="nothing came for 2 s from partitions 0") as caught:
        client_of(topic).read({0: 0}, {0: 99})

    assert "timeout" == caught.value.reason
    assert time.monotonic() - before < 15.0


def test_a_partition_without_a_starting_offset_is_read_from_its_beginning(
    topic: FakeTopic,
) -> None:
    topic.put("BTC", 1, partition=3)

    assert 1 == client_of(topic).read({0: 0}).records.num_rows


@pytest.mark.parametrize(
    "value, reason",
    [
        (None, "no value"),
        (b"", "shorter than its header"),
        (b"\x00\x00", "shorter than its header"),
        (b"nonsense", "magic byte 110"),
        (b"\x01" + encode("BTC", 2)[1:], "magic byte 1"),
        (encode("BTC", 2, schema_id=99), "schema 99 is not registered"),
        (encode("BTC", 2)[:-20], "not valid against schema 1"),
    ],
    ids=["tombstone", "empty", "short", "text", "magic", "schema", "cut"],
)
def test_a_value_that_does_not_decode_is_told_and_never_raised(
    topic: FakeTopic, value: bytes | None, reason: str
) -> None:
    topic.put("BTC", 1)
    topic.put_raw(value)
    topic.put("BTC", 3)

    read = client_of(topic).read(NOWHERE)

    assert [1, 3] == read.records["sequence"].to_pylist()
    assert [0, 2] == read.records["offset"].to_pylist()
    told = {"partition": 0, "offset": 1, "reason": reason, "tag": None}
    assert [told] == read.malformed.to_pylist()


def test_a_value_of_ours_bears_its_tag(topic: FakeTopic) -> None:
    topic.put_raw(b"nonsense", headers={"k2chaos": "abc"})
    topic.flush()

    assert ["abc"] == client_of(topic).read(NOWHERE).malformed["tag"].to_pylist()


def test_the_content_of_a_record_comes_to_a_digest(topic: FakeTopic) -> None:
    topic.put_raw(encode("BTC", 1, price=b"\x01\x02"))
    topic.put_raw(encode("BTC", 1, price=b"\x00\x01\x02"))
    topic.put_raw(encode("BTC", 1, price=b"\x01\x03"))
    topic.flush()
    record = dataclasses.replace(RECORD, content=("side", "price"))

    first, same, other = (
        TopicClient(topic.topic, record).read(NOWHERE).records["digest"].to_pylist()
    )

    assert first == same
    assert first != other


def test_letters_say_whose_they_are_and_why(topic: FakeTopic) -> None:
    headers = {"reason": "undecodable", "partition": "3", "offset": "17"}
    client = client_of(topic)
    before = client.letter_offsets()
    topic.put_raw(b"nonsense", topic=topic.topic.dlq, headers=headers)
    topic.put_raw(encode("BTC", 7), topic=topic.topic.dlq)
    topic.flush()

    letters = client.read_letters(before).to_pylist()

    nobody = {"key": None, "sequence": None, "event_time": None}
    bitcoin = {"key": "BTC", "sequence": 7, "event_time": time_of(7)}
    assert [
        {"partition": 3, "offset": 17, "reason": "undecodable", **nobody},
        {"partition": None, "offset": None, "reason": None, **bitcoin},
    ] == letters


def test_a_group_that_never_committed_has_no_offsets(topic: FakeTopic) -> None:
    topic.put("BTC", 1, 2)
    client = client_of(topic)
    assert {} == client.committed()

    sink = Consumer({"bootstrap.servers": topic.topic.bootstrap, "group.id": "sink"})
    sink.commit(offsets=[TopicPartition(topic.name, 0, 2)], asynchronous=False)
    assert {0: 2} == client.committed()
    sink.close()


def test_the_schema_is_asked_for_once(topic: FakeTopic) -> None:
    topic.put("BTC", *range(1, 20))
    client = client_of(topic)
    client.read(NOWHERE)
    client.read(NOWHERE)

    assert 1 == len(topic.registry.requests)


def test_a_registry_that_is_down_is_raised_for_nobody_can_say_what_would_decode(
    topic: FakeTopic,
) -> None:
    topic.put("BTC", 1)
    with refusing() as url, pytest.raises(StageUnavailable, match="schema registry"):
        client_of(topic, registry=(url,)).read(NOWHERE)


def test_with_one_registry_down_the_other_is_asked_and_asked_first_from_then_on(
    topic: FakeTopic,
) -> None:
    topic.put("BTC", 1, 2)
    with refusing() as url:
        client = client_of(topic, registry=(url, topic.registry.url))

        assert 2 == client.read(NOWHERE).records.num_rows
    assert topic.registry.url == client._decoder.registries.clients[0].url


def test_with_all_registries_down_each_is_named(topic: FakeTopic) -> None:
    topic.put("BTC", 1)
    with refusing() as one, refusing() as other:
        with pytest.raises(StageUnavailable, match="none of 2 registries") as caught:
            client_of(topic, registry=(one, other)).read(NOWHERE)
        assert one in str(caught.value)
        assert other in str(caught.value)


@pytest.mark.parametrize("answer", [(404, {"detail": "Not Found"}), (200, {"schema": "{}"})])
def test_a_registry_that_is_none_makes_us_blind(
    topic: FakeTopic, answer: tuple[int, object]
) -> None:
    topic.put("BTC", 1)
    topic.registry.answer = lambda _: answer

    with pytest.raises(StageBlind, match=r"topic\.registry"):
        client_of(topic).read(NOWHERE)


def test_a_record_without_the_fields_of_the_pipeline_file_makes_us_blind(topic: FakeTopic) -> None:
    topic.put("BTC", 1)
    other = Record(key="isin", sequence=Sequence("trade_id"), event_time="timestamp")

    with pytest.raises(StageBlind, match="isin"):
        TopicClient(topic.topic, other).read(NOWHERE)


def test_a_sequence_may_be_a_plain_number(topic: FakeTopic) -> None:
    topic.put("BTC", 41, 42)
    other = Record(key="symbol", sequence=Sequence("source_sequence"), event_time="timestamp")

    read = TopicClient(topic.topic, other).read(NOWHERE)

    assert [41, 42] == read.records["sequence"].to_pylist()


def test_the_newest_of_each_key_is_found_in_the_tails(topic: FakeTopic) -> None:
    topic.put("BTC", *range(1, 500), partition=0)
    topic.put("ETH", 1, 3, 2, partition=1)

    newest = client_of(topic).newest()

    assert {"BTC": 499, "ETH": 3} == {key: one.sequence for key, one in newest.items()}
    assert time_of(499) == newest["BTC"].event_time


def test_later_looks_see_what_came_since(topic: FakeTopic) -> None:
    client = client_of(topic)
    assert {} == client.newest()

    topic.put("BTC", 1, 2)
    assert 2 == client.newest()["BTC"].sequence

    topic.put("ETH", 1, partition=2)
    assert {"BTC": 2, "ETH": 1} == {key: one.sequence for key, one in client.newest().items()}


def test_looking_leaves_no_trace(topic: FakeTopic) -> None:
    """The sink's group has no offsets and no partition has a record more."""
    topic.put("BTC", 1, 2)
    client = client_of(topic)
    client.newest()
    client.read(NOWHERE)

    sink = Consumer({"bootstrap.servers": topic.topic.bootstrap, "group.id": "sink"})
    assert {-1001} == {one.offset for one in sink.committed(topic.partitions, timeout=5)}
    assert {0: 2, 1: 0, 2: 0, 3: 0} == client.end_offsets()
    sink.close()


def test_a_broker_that_is_gone_is_refused_within_the_limit(topic: FakeTopic) -> None:
    with refusing() as url:
        before = time.monotonic()
        error = failure_of(client_of(topic, bootstrap=url.removeprefix("http://")))

    assert (StageUnavailable, "refused") == (type(error), error.reason)
    assert time.monotonic() - before < 15.0


def test_a_broker_that_is_frozen_is_a_timeout_within_the_limit(topic: FakeTopic) -> None:
    with silent() as address:
        before = time.monotonic()
        error = failure_of(client_of(topic, bootstrap=address))

    assert (StageUnavailable, "timeout") == (type(error), error.reason)
    assert time.monotonic() - before < 15.0


def test_a_topic_that_is_not_there_is_unavailable(topic: FakeTopic) -> None:
    error = failure_of(client_of(topic, name="not:a:topic"))

    assert isinstance(error, StageUnavailable)
    assert "not:a:topic" in str(error)


def test_offsets_that_are_gone_make_us_blind(topic: FakeTopic) -> None:
    topic.put("BTC", 1)

    with pytest.raises(StageBlind, match="are gone"):
        client_of(topic).read({0: 50}, {0: 60})


@pytest.mark.parametrize(
    "options, reason",
    [
        ({"security.protocol": "sasl_plaintext", "sasl.mechanism": "PLAIN"}, "options"),
        ({"no.such.option": "1"}, "options"),
        (
            {
                "security.protocol": "sasl_plaintext",
                "sasl.mechanism": "PLAIN",
                "sasl.username": "us",
                "sasl.password": "hunter2",
            },
            "credentials",
        ),
    ],
    ids=["incomplete", "unknown", "sasl"],
)
def test_wrong_options_make_us_blind_and_are_not_told(
    topic: FakeTopic, options: dict[str, str], reason: str
) -> None:
    error = failure_of(client_of(topic, options=options))

    assert (StageBlind, reason) == (type(error), error.reason)
    assert "topic.options" in str(error)
    assert "hunter2" not in str(error)


def test_librdkafka_says_nothing_on_our_standard_error(
    topic: FakeTopic, capfd: pytest.CaptureFixture[str]
) -> None:
    with refusing() as url:
        failure_of(client_of(topic, bootstrap=url.removeprefix("http://")))

    assert ("", "") == capfd.readouterr()


def test_the_newest_of_a_few_values_is_that_of_their_columns(topic: FakeTopic) -> None:
    values = [encode("BTC", 7), encode("ETH", 2), encode("BTC", 9), b"rubbish", None]
    values += [encode("BTC", 8), encode("ETH", 1), encode("SOL", 5, schema_id=3)]
    decoder = Decoder(Registries.at(topic.topic.registry, 2.0), RECORD)

    newest = decoder.newest(values)

    assert {"BTC": Sighting(9, time_of(9)), "ETH": Sighting(2, time_of(2))} == newest
    assert newest_of(decoder.decode(values).records) == newest
