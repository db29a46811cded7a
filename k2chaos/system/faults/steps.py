"""
The steps of holding a fault, one after the other, as a value.

`held` and `heal` say in which order they come and what happens when one fails; here stands what
each does. That they are a value is what lets a test come between any two of them.
"""

import contextlib
import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from k2chaos.clock import Clock
from k2chaos.errors import EngineUnreachable, FaultNotHealed, FaultNotInjected, TargetError
from k2chaos.evidence.ledger import FaultLedger
from k2chaos.system.faults import Fault, Hold, System, Witnessed, fault_to_json
from k2chaos.system.interrupt import Interrupt
from k2chaos.system.runtime import Container

logger = logging.getLogger("chaostoolkit")

WITNESS_DEADLINE_SECONDS = 5.0
HEAL_DEADLINE_SECONDS = 60.0
_SPIN_SECONDS = 0.25
"""Before an instant the rest is waited for in steps so short that no timer's slack matters, and the
engine is asked again and again: after a rest its answer takes two to three times as long."""
_ASK_SECONDS = 0.006
"""What asking it takes at least; there must be time for twice what it took."""


def prepare(hold: Hold, holding: "Holding") -> None:
    """Read what the heal will need."""
    hold.fault = hold.fault.prepare(holding.system)


def write_down(hold: Hold, holding: "Holding", deadline: datetime) -> None:
    """Put it on disk, before it is in the system."""
    holding.ledger.tried(hold.fault_id, fault_to_json(hold.fault), deadline, at=hold.tried_at)


def watch_over(_hold: Hold, holding: "Holding") -> None:
    """Return when somebody who outlives this process knows of it."""
    holding.watch_over()


def inject(hold: Hold, holding: "Holding") -> None:
    """Wait for its instant, less what the way takes, and inject it, unless it was given up."""
    fault, clock = hold.fault, holding.clock
    if hold.begin_at is not None:
        _wait_for(hold.begin_at - timedelta(seconds=fault.lead_seconds), fault, holding)
    _refuse_given_up(hold, holding)
    logger.info("injecting %s into %s", fault.kind, fault.target)
    hold.sent_at = clock.now()
    started = clock.monotonic()
    try:
        hold.began_at = fault.inject(holding.system, hold.begin_at or hold.sent_at)
    except Exception as error:
        hold.watch_seconds = fault.landing_seconds  # it may have been sent all the same
        holding.ledger.failed(hold.fault_id, str(error), at=clock.now())
        raise
    hold.inject_seconds = clock.monotonic() - started


def witness(hold: Hold, holding: "Holding") -> None:
    """Wait until the witness sees it; `FaultNotInjected` where it never does."""
    fault, clock = hold.fault, holding.clock
    started = clock.monotonic()
    requested = holding.interrupt.requested
    witnessed = _look_until(fault, holding, lambda seen: seen.struck or requested.is_set())
    hold.injected_at = clock.now()
    hold.inject_seconds += clock.monotonic() - started
    hold.witness["injected"] = dict(witnessed.seen)
    if not witnessed.struck:
        holding.interrupt.refuse_when_requested()  # nobody waits for a witness then
        message = (
            f"{fault.kind} of {fault.target} was asked for, and nothing refused it, but "
            f"{WITNESS_DEADLINE_SECONDS:g} s later nothing of it can be seen: {hold.witness}"
        )
        holding.ledger.failed(hold.fault_id, message, at=clock.now())
        raise FaultNotInjected(message)


def confirm(hold: Hold, holding: "Holding") -> None:
    """Put on disk that it was seen, and find out when it began."""
    seen = hold.witness["injected"]
    holding.ledger.active(hold.fault_id, seen, at=holding.clock.now())
    if hold.sent_at is not None and hold.began_at is None:
        hold.began_at = _marked(hold, holding, hold.fault.marks[0], hold.sent_at)
    fault = hold.fault
    logger.info("confirmed %s of %s after %.2f s", fault.kind, fault.target, hold.inject_seconds)


def look(hold: Hold, holding: "Holding") -> None:
    """Whether what struck is still in effect just before the heal (for a lasting fault)."""
    try:
        witnessed = hold.fault.observe(holding.system)
    except (TargetError, EngineUnreachable) as error:
        hold.witness["before_heal"] = {"unreadable": str(error)}
        return
    hold.witness["before_heal"] = dict(witnessed.seen)
    hold.ended_early |= not witnessed.lasts


def undo(hold: Hold, holding: "Holding") -> None:
    """Heal it, once."""
    also = hold.fault.heal(holding.system)
    if also:
        hold.witness.setdefault("undone", dict(also))  # a second attempt finds nothing to do


def see_gone(hold: Hold, holding: "Holding") -> None:
    """Wait until the witness sees nothing of it; `FaultNotHealed` where it still does."""
    witnessed = _look_until(hold.fault, holding, lambda seen: not seen.active)
    if witnessed.active:
        message = f"still {dict(witnessed.seen)}"
        raise FaultNotHealed(message)
    hold.witness["healed"] = dict(witnessed.seen)


def close(hold: Hold, holding: "Holding", undone_from: datetime) -> None:
    """Put on disk that it is gone, and find out when it ended."""
    at = hold.healed_at or holding.clock.now()
    holding.ledger.healed(hold.fault_id, hold.witness["healed"], at=at)
    hold.ended_at = _marked(hold, holding, hold.fault.marks[1], undone_from)
    fault = hold.fault
    logger.info(
        "healed %s of %s, confirmed after %.2f s", fault.kind, fault.target, hold.heal_seconds
    )


@dataclass(frozen=True, slots=True)
class Steps:
    """What is done with a fault, in this order; each takes the record it fills."""

    prepare: Callable[[Hold, "Holding"], None] = prepare
    write_down: Callable[[Hold, "Holding", datetime], None] = write_down
    watch_over: Callable[[Hold, "Holding"], None] = watch_over
    inject: Callable[[Hold, "Holding"], None] = inject
    witness: Callable[[Hold, "Holding"], None] = witness
    confirm: Callable[[Hold, "Holding"], None] = confirm
    look: Callable[[Hold, "Holding"], None] = look
    undo: Callable[[Hold, "Holding"], None] = undo
    see_gone: Callable[[Hold, "Holding"], None] = see_gone
    close: Callable[[Hold, "Holding", datetime], None] = close


@dataclass(frozen=True, slots=True)
class Holding:
    """
    What `held` works with.

    Attributes:
        ledger: Where every step is written down.
        interrupt: The run's stop switch.
        watch_over: Returns when somebody who outlives this process knows of what the ledger says;
            nothing is injected before.
        steps: What is done in which order.
    """

    system: System
    ledger: FaultLedger
    clock: Clock
    interrupt: Interrupt
    watch_over: Callable[[], None] = lambda: None
    steps: Steps = field(default_factory=Steps)


def _wait_for(instant: datetime, fault: Fault, holding: Holding) -> None:
    """Return at *instant*, a millisecond late at most; `Interrupted` where the run is to end."""
    clock, took = holding.clock, _ASK_SECONDS
    while (left := (instant - clock.now()).total_seconds()) > 0:
        nap = left - _SPIN_SECONDS if left > _SPIN_SECONDS else min(left, 0.001)
        clock.wait(nap, holding.interrupt.requested)
        holding.interrupt.refuse_when_requested()
        left = (instant - clock.now()).total_seconds()
        if 2 * took < left <= _SPIN_SECONDS and isinstance(fault.target, Container):
            began = clock.monotonic()
            with contextlib.suppress(TargetError, EngineUnreachable):
                holding.system.runtime.state(fault.target)
            took = max(took, clock.monotonic() - began)


def _refuse_given_up(hold: Hold, holding: Holding) -> None:
    """
    Refuse what nobody would heal any more: an entry that was closed meanwhile, or is overdue.

    Somebody may have healed all that was open while this fault waited for its instant, and this
    process may have been suspended.
    """
    entry = holding.ledger.open_entry(hold.fault_id)
    if entry is None or holding.clock.now() > entry.deadline:
        why = "closed it meanwhile" if entry is None else "may heal it by now: it is overdue"
        message = (
            f"{hold.fault.kind} of {hold.fault.target} was not injected: somebody else {why} "
            "(`k2chaos heal`, `k2chaos stop`, or the guardian)"
        )
        raise FaultNotInjected(message)


def _marked(hold: Hold, holding: Holding, action: str, since: datetime) -> datetime | None:
    """When the engine saw *action* happen to the target; ``None`` where nobody knows."""
    target = hold.fault.target
    if not action or not isinstance(target, Container):
        return None
    try:
        return holding.system.runtime.happened(target, action, since)
    except (TargetError, EngineUnreachable):
        return None


def _look_until(fault: Fault, holding: Holding, is_met: Callable[[Witnessed], bool]) -> Witnessed:
    """Observe until *is_met* or the deadline; what was seen last."""
    clock = holding.clock
    until = clock.monotonic() + WITNESS_DEADLINE_SECONDS
    while True:
        witnessed = fault.observe(holding.system)
        if is_met(witnessed) or clock.monotonic() >= until:
            return witnessed
        clock.wait(0.02)
