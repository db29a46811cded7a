"""Actions that make the simulated exchange misbehave towards its subscribers."""

from typing import Any

from chaoslib.types import Configuration, Secrets

from k2chaos.system.disturbing import hold_feed
from k2chaos.system.faults.feed import (
    Burst,
    DelayTrades,
    DisconnectStorm,
    DisconnectSubscribers,
    DuplicateTrades,
    MalformFrames,
    RefuseConnections,
    ReorderTrades,
    StallFeed,
)
from k2chaos.system.run import current_run


def stall_feed(
    duration: float = 15.0,
    start_after: float = 0.0,
    configuration: Configuration = None,
    secrets: Secrets = None,
) -> dict[str, Any]:
    """
    Let the exchange keep its connections open and send no trade for a while.

    Pings are answered and the history by id goes on answering; what is traded meanwhile never
    comes on the stream. This is what a stuck fan-out of an exchange looks like from outside.

    Args:
        duration: Seconds to hold the fault.
        start_after: Seconds from the call to the effect; the fault is prepared meanwhile.

    Returns:
        When the fault was confirmed active, when confirmed gone, the achieved length in seconds,
        and what the exchange counted.

    Raises:
        Unsupported: The pipeline has no exchange.
        TargetNotReady: The exchange does not answer.
        FaultNotInjected: The exchange counted no effect: nobody was connected, or it did nothing.
        FaultNotHealed: The order is still in force. The ledger keeps the fault open;
            ``k2chaos heal`` tries again, and the exchange ends it by itself at last.
    """
    return hold_feed(current_run(), StallFeed, duration, start_after)


def refuse_connections(
    duration: float = 15.0,
    start_after: float = 0.0,
    configuration: Configuration = None,
    secrets: Secrets = None,
) -> dict[str, Any]:
    """
    Let the exchange close every connection and refuse new ones for a while.

    The history by id goes on answering.

    Args:
        duration: Seconds to hold the fault.
        start_after: Seconds from the call to the effect; the fault is prepared meanwhile.

    Returns:
        As of ``stall_feed``.

    Raises:
        FaultNotInjected: Nobody was refused: nobody tried to come back.
    """
    return hold_feed(current_run(), RefuseConnections, duration, start_after)


def disconnect_subscribers(
    start_after: float = 0.0,
    configuration: Configuration = None,
    secrets: Secrets = None,
) -> dict[str, Any]:
    """
    Let the exchange close every open connection, once; who comes back is let in.

    Args:
        start_after: Seconds from the call to the effect; the fault is prepared meanwhile.

    Returns:
        As of ``stall_feed``.

    Raises:
        FaultNotInjected: No connection was closed.
    """
    return hold_feed(current_run(), DisconnectSubscribers, 0.0, start_after)


def disconnect_storm(
    duration: float = 15.0,
    every_seconds: float = 2.0,
    start_after: float = 0.0,
    configuration: Configuration = None,
    secrets: Secrets = None,
) -> dict[str, Any]:
    """
    Let the exchange close every open connection again and again for a while.

    Args:
        duration: Seconds to hold the fault.
        every_seconds: From one closing to the next, 0.1 to 60.
        start_after: Seconds from the call to the effect; the fault is prepared meanwhile.

    Returns:
        As of ``stall_feed``.

    Raises:
        UsageError: *every_seconds* is out of bounds.
        FaultNotInjected: No connection was closed.
    """
    return hold_feed(
        current_run(), DisconnectStorm, duration, start_after, every_seconds=every_seconds
    )


def malform_frames(
    duration: float = 15.0,
    percent: float = 10.0,
    start_after: float = 0.0,
    configuration: Configuration = None,
    secrets: Secrets = None,
) -> dict[str, Any]:
    """
    Let a share of the exchange's frames be no trades: cut short, empty, of the wrong types.

    The trade of a broken frame comes on the stream no more; the history by id has it.

    Args:
        duration: Seconds to hold the fault.
        percent: The share of the frames, 0.1 to 100.
        start_after: Seconds from the call to the effect; the fault is prepared meanwhile.

    Returns:
        As of ``stall_feed``.

    Raises:
        UsageError: *percent* is out of bounds.
        FaultNotInjected: No frame was broken.
    """
    return hold_feed(current_run(), MalformFrames, duration, start_after, percent=percent)


def duplicate_trades(
    duration: float = 15.0,
    percent: float = 10.0,
    start_after: float = 0.0,
    configuration: Configuration = None,
    secrets: Secrets = None,
) -> dict[str, Any]:
    """
    Let the exchange send a share of the trades twice.

    Args:
        duration: Seconds to hold the fault.
        percent: The share of the trades, 0.1 to 100.
        start_after: Seconds from the call to the effect; the fault is prepared meanwhile.

    Returns:
        As of ``stall_feed``.

    Raises:
        UsageError: *percent* is out of bounds.
        FaultNotInjected: No trade was sent twice.
    """
    return hold_feed(current_run(), DuplicateTrades, duration, start_after, percent=percent)


def reorder_trades(
    duration: float = 15.0,
    percent: float = 10.0,
    start_after: float = 0.0,
    configuration: Configuration = None,
    secrets: Secrets = None,
) -> dict[str, Any]:
    """
    Let the exchange send a share of the trades after the next one of the same symbol.

    Args:
        duration: Seconds to hold the fault.
        percent: The share of the trades, 0.1 to 100.
        start_after: Seconds from the call to the effect; the fault is prepared meanwhile.

    Returns:
        As of ``stall_feed``.

    Raises:
        UsageError: *percent* is out of bounds.
        FaultNotInjected: No trade was swapped.
    """
    return hold_feed(current_run(), ReorderTrades, duration, start_after, percent=percent)


def delay_trades(
    duration: float = 15.0,
    milliseconds: float = 1000.0,
    start_after: float = 0.0,
    configuration: Configuration = None,
    secrets: Secrets = None,
) -> dict[str, Any]:
    """
    Let the exchange send every trade late, in order, its event time unchanged.

    Args:
        duration: Seconds to hold the fault.
        milliseconds: How late, 1 to 4000.
        start_after: Seconds from the call to the effect; the fault is prepared meanwhile.

    Returns:
        As of ``stall_feed``.

    Raises:
        UsageError: *milliseconds* is out of bounds.
        FaultNotInjected: No trade was held back.
    """
    return hold_feed(current_run(), DelayTrades, duration, start_after, milliseconds=milliseconds)


def burst(
    duration: float = 10.0,
    factor: float = 10.0,
    start_after: float = 0.0,
    configuration: Configuration = None,
    secrets: Secrets = None,
) -> dict[str, Any]:
    """
    Let the exchange trade a multiple of its rate for a while, then its rate again.

    An injection: what was traded stays, and the evidence lists it apart from faults. It is ended
    as reliably as a fault is healed.

    Args:
        duration: Seconds that the burst lasts.
        factor: How many times the rate, 1.1 to 100, as far as the exchange can trade.
        start_after: Seconds from the call to the effect; it is prepared meanwhile.

    Returns:
        As of ``stall_feed``, under ``injections``.

    Raises:
        UsageError: *factor* is out of bounds.
        TargetNotReady: The exchange refuses: it cannot trade so fast, or is at rest.
        FaultNotInjected: It did not trade more than before.
    """
    return hold_feed(current_run(), Burst, duration, start_after, factor=factor)
