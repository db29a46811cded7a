"""Actions that disturb the topic: its broker's settings, the sink's group, records of ours."""

from typing import Any, get_args

from chaoslib.types import Configuration, Secrets

from k2chaos.system.amounts import refuse_bad_amount, refuse_other_than
from k2chaos.system.disturbing import hold_at_stage, longest_of
from k2chaos.system.faults.group import ImpersonateSink, JoinGroup
from k2chaos.system.faults.records import OversizedRecord, PoisonKind, PoisonRecords
from k2chaos.system.faults.topic import SqueezeRecordSize, StarveWrites
from k2chaos.system.holding import Wish
from k2chaos.system.run import current_run


def starve_writes(
    duration: float = 15.0,
    bytes_per_second: float = 1000.0,
    client_id: str = "",
    start_after: float = 0.0,
    configuration: Configuration = None,
    secrets: Secrets = None,
) -> dict[str, Any]:
    """
    Let producers write only so many bytes a second for a while, by a quota of the broker.

    Acknowledgements come later and later; nothing is refused. This is what a broker with a slow
    disk, or a quota set too low, looks like to the source.

    Args:
        duration: Seconds to hold the fault.
        bytes_per_second: What the broker lets each client write; take a fraction of what is
            written, and remember that what was put off is still put off after the heal.
        client_id: Whose writes; by default those of every client without a quota of its own.
        start_after: Seconds from the call to the effect; the fault is prepared meanwhile.

    Returns:
        When the fault was confirmed active, when confirmed gone, the achieved length in seconds,
        and how fast the topic grew before and during it.

    Raises:
        UsageError: *bytes_per_second* is below 1.
        Unsupported: The pipeline has no topic, or the broker wants SASL or TLS.
        TargetNotReady: Too little is written to see it stop.
        FaultNotInjected: The topic went on growing.
        FaultNotHealed: The quota is still ours. The ledger keeps the fault open;
            ``k2chaos heal`` tries again.
    """
    refuse_bad_amount("bytes_per_second", bytes_per_second)
    wish = Wish("broker", duration, start_after)
    fields = {"bytes_per_second": float(bytes_per_second), "client_id": client_id}
    return hold_at_stage(current_run(), StarveWrites, wish, **fields)


def squeeze_record_size(
    duration: float = 15.0,
    max_bytes: int = 100,
    start_after: float = 0.0,
    configuration: Configuration = None,
    secrets: Secrets = None,
) -> dict[str, Any]:
    """
    Let the topic refuse batches of records above some bytes for a while.

    Clients are told that the message is too large, and do not try again by themselves: a source
    that does not keep the record loses it.

    Args:
        duration: Seconds to hold the fault.
        max_bytes: The largest batch that is still taken (``max.message.bytes``), compressed and
            with its head of 61 bytes; 100 is less than one trade of the lab.
        start_after: Seconds from the call to the effect; the fault is prepared meanwhile.

    Returns:
        As of ``starve_writes``; the witness says what the broker said to a batch one byte larger.

    Raises:
        UsageError: *max_bytes* is below 1.
        Unsupported: The pipeline has no topic, or the broker wants SASL or TLS.
        TargetNotReady: The topic takes no more already.
        FaultNotInjected: The larger batch is not called too large.
    """
    refuse_bad_amount("max_bytes", max_bytes)
    wish = Wish("broker", duration, start_after)
    return hold_at_stage(current_run(), SqueezeRecordSize, wish, max_bytes=max_bytes)


def join_group(
    duration: float = 15.0,
    start_after: float = 0.0,
    configuration: Configuration = None,
    secrets: Secrets = None,
) -> dict[str, Any]:
    """
    Let a stranger join the sink's group for a while, who takes partitions and reads nothing.

    This is a second deployment, or a colleague's console consumer, under the sink's group id.

    Args:
        duration: Seconds to hold the fault.
        start_after: Seconds from the call to the effect; the fault is prepared meanwhile.

    Returns:
        As of ``starve_writes``; the witness counts the partitions that the stranger held.

    Raises:
        TargetNotReady: Nobody is in the group.
        FaultNotInjected: The group gave the stranger nothing.
    """
    wish = Wish("sink", duration, start_after)
    return hold_at_stage(current_run(), JoinGroup, wish, longest_seconds=longest_of(wish))


def impersonate_sink(
    duration: float = 15.0,
    start_after: float = 0.0,
    configuration: Configuration = None,
    secrets: Secrets = None,
) -> dict[str, Any]:
    """
    Let an impostor join the sink's group under the sink's own ``group.instance.id`` for a while.

    The sink is fenced, and whatever starts it again fences the impostor, which comes back: two
    copies of one sink, as after a failover in which the first one lived on.

    Args:
        duration: Seconds to hold the fault.
        start_after: Seconds from the call to the effect; the fault is prepared meanwhile.

    Returns:
        As of ``starve_writes``; the witness counts how often the place was taken.

    Raises:
        TargetNotReady: No member of the group has an instance id.
        FaultNotInjected: The coordinator did not give the place to the impostor.
    """
    wish = Wish("sink", duration, start_after)
    return hold_at_stage(current_run(), ImpersonateSink, wish, longest_seconds=longest_of(wish))


def poison_records(
    poison: str = "bad-magic",
    records: int = 1,
    configuration: Configuration = None,
    secrets: Secrets = None,
) -> dict[str, Any]:
    """
    Write a few records to the topic that the sink cannot decode. They stay there.

    An injection, not a fault: nothing undoes it. The records hold no trade, so nobody misses them
    in the table.

    Args:
        poison: ``bad-magic`` (not Confluent's format), ``unknown-schema`` (an id that no registry
            knows) or ``truncated`` (a record of the source, cut in half).
        records: How many, at most 10.

    Returns:
        When they were written, and how many the topic holds.

    Raises:
        UsageError: Another kind of poison, or more than 10 records.
        FaultNotInjected: The broker did not take them.
    """
    refuse_other_than("poison", poison, get_args(PoisonKind))
    refuse_bad_amount("records", records)
    fields = {"poison": poison, "records": records}
    return hold_at_stage(current_run(), PoisonRecords, Wish("source", 0.0), **fields)


def oversized_record(
    size: int = 2000000,
    configuration: Configuration = None,
    secrets: Secrets = None,
) -> dict[str, Any]:
    """
    Write one record of many bytes to the topic; the broker refuses it, or it stays there.

    An injection, not a fault: nothing undoes it. The record cannot be decoded.

    Args:
        size: Bytes of its value, at most 100,000,000.

    Returns:
        When it was offered, and whether the broker took it.

    Raises:
        UsageError: *size* is out of bounds.
        FaultNotInjected: It is neither in the topic nor too large for it.
    """
    refuse_bad_amount("size", size)
    return hold_at_stage(current_run(), OversizedRecord, Wish("source", 0.0), size=size)
