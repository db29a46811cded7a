"""
Holding a fault: the only way in, and the only way out.

1. What must be restored is read first (`prepare`), and is on disk (`tried`) before the fault is;
   then the guardian knows of it, which heals if this process dies.
2. A fault counts once its witness saw it; one that nobody saw is healed and is an error.
3. Heal comes in `finally`, is retried until the witness sees nothing left, and is said loudly
   when it does not get there; the ledger then keeps the fault open.
4. A signal is heard only while the fault is in effect, never between a step and its undoing.
"""

import contextlib
import logging
import uuid
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta

from tenacity import Retrying, retry_if_exception_type
from tenacity.wait import wait_exponential

from k2chaos.clock import Clock
from k2chaos.errors import EngineUnreachable, FaultNotHealed, FaultNotInjected, TargetError
from k2chaos.evidence.ledger import FaultLedger
from k2chaos.system.faults import Fault, Hold, System, Witnessed, fault_to_json
from k2chaos.system.interrupt import Interrupt

logger = logging.getLogger("chaostoolkit")

WITNESS_DEADLINE_SECONDS = 5.0
HEAL_DEADLINE_SECONDS = 60.0
_LOOK_SECONDS = 0.5


@dataclass(frozen=True, slots=True)
class Holding:
    """
    What `held` works with.

    Attributes:
        ledger: Where every step is written down.
        interrupt: The run's stop switch.
        watch_over: Returns when somebody who outlives this process knows of what the ledger says;
            nothing is injected before.
    """

    system: System
    ledger: FaultLedger
    clock: Clock
    interrupt: Interrupt
    watch_over: Callable[[], None] = lambda: None


@contextlib.contextmanager
def held(fault: Fault, longest_seconds: float, holding: Holding) -> Iterator[Hold]:
    """
    Inject *fault*, yield while it is in effect, heal it whatever happens.

    Args:
        longest_seconds: How long the body may take; beyond it the fault counts as abandoned, and
            anyone who sweeps may heal it.

    Raises:
        Interrupted: The run was told to end before anything was touched.
        TargetNotReady: The target is not in the state this fault starts from.
        FaultNotInjected: The witness did not see the fault; it was healed.
        FaultNotHealed: The witness still sees it; the ledger keeps it open.
    """
    with holding.interrupt.shield():
        holding.interrupt.refuse_when_requested()
        fault = fault.prepare(holding.system)
        hold = _write_down(fault, longest_seconds, holding)
        try:
            _inject(fault, hold, holding)
            active_from = holding.clock.monotonic()
            try:
                # Only here may a signal raise: on both sides of it the shield is up.
                with holding.interrupt.exposed():
                    yield hold
            finally:
                hold.held_seconds = holding.clock.monotonic() - active_from
                hold.ended_early |= not _still_there(fault, hold, holding)
        finally:
            heal(fault, hold, holding, hold.watch_seconds)


def watch(holds: Sequence[Hold], seconds: float, holding: Holding) -> None:
    """
    Let *seconds* pass while the faults of *holds* are held, looking at least once a second
    whether they are.

    A fault that was gone at any look ended early, whatever is seen later.
    """
    until = holding.clock.monotonic() + seconds
    while (left := until - holding.clock.monotonic()) > 0:
        if holding.clock.wait(min(_LOOK_SECONDS, left), holding.interrupt.requested):
            return
        for hold in holds:
            hold.ended_early |= not hold.fault.observe(holding.system).struck


def _write_down(fault: Fault, longest_seconds: float, holding: Holding) -> Hold:
    """Put *fault* on disk before it is in the system."""
    now = holding.clock.now()
    hold = Hold(f"{fault.kind}-{uuid.uuid4().hex[:8]}", fault, now)
    deadline = now + timedelta(seconds=longest_seconds + HEAL_DEADLINE_SECONDS)
    holding.ledger.tried(hold.fault_id, fault_to_json(fault), deadline, at=now)
    return hold


def _inject(fault: Fault, hold: Hold, holding: Holding) -> None:
    """Inject and wait for the witness."""
    holding.watch_over()
    started = holding.clock.monotonic()
    logger.info("injecting %s into %s", fault.kind, fault.target)
    try:
        fault.inject(holding.system)
    except Exception as error:
        hold.watch_seconds = fault.landing_seconds  # it may have been sent all the same
        holding.ledger.failed(hold.fault_id, str(error), at=holding.clock.now())
        raise
    hold.injected_at = holding.clock.now()
    witnessed = _wait_until(fault, holding, WITNESS_DEADLINE_SECONDS, struck=True)
    hold.inject_seconds = holding.clock.monotonic() - started
    hold.witness["injected"] = dict(witnessed.seen)
    if not witnessed.struck:
        message = (
            f"{fault.kind} of {fault.target} was asked for, and the engine did not refuse, but "
            f"{WITNESS_DEADLINE_SECONDS:g} s later nothing of it can be seen: {hold.witness}"
        )
        holding.ledger.failed(hold.fault_id, message, at=holding.clock.now())
        raise FaultNotInjected(message)
    holding.ledger.active(hold.fault_id, dict(witnessed.seen), at=holding.clock.now())
    logger.info("confirmed %s of %s after %.2f s", fault.kind, fault.target, hold.inject_seconds)


def _still_there(fault: Fault, hold: Hold, holding: Holding) -> bool:
    """Whether what struck is still in effect just before the heal (for a lasting fault)."""
    try:
        witnessed = fault.observe(holding.system)
    except (TargetError, EngineUnreachable) as error:
        hold.witness["before_heal"] = {"unreadable": str(error)}
        return True
    hold.witness["before_heal"] = dict(witnessed.seen)
    return witnessed.struck


def heal(fault: Fault, hold: Hold, holding: Holding, watch_seconds: float = 0.0) -> None:
    """
    Undo *fault* and ask the system until it agrees, for at most a minute.

    Args:
        watch_seconds: Go on looking for so long, and undo it again where it comes back: an
            injection that was sent may still be on its way when its sender is dead.

    Raises:
        FaultNotHealed: It does not agree; the ledger keeps the fault open.
    """
    started = holding.clock.monotonic()

    def once() -> Witnessed:
        fault.heal(holding.system)
        witnessed = _wait_until(fault, holding, WITNESS_DEADLINE_SECONDS, active=False)
        if witnessed.active:
            message = f"still {dict(witnessed.seen)}"
            raise FaultNotHealed(message)
        return witnessed

    try:
        witnessed = _patiently(once, holding.clock)
        while holding.clock.monotonic() < started + watch_seconds:
            holding.clock.wait(0.1)
            if fault.observe(holding.system).active:
                witnessed = _patiently(once, holding.clock)
    except (TargetError, EngineUnreachable, FaultNotHealed) as error:
        holding.ledger.failed(hold.fault_id, str(error), at=holding.clock.now())
        message = (
            f"{fault.kind} of {fault.target} could not be healed ({error}); it stays on record: "
            f"run `k2chaos heal {hold.fault_id}`"
        )
        logger.exception(message)
        raise FaultNotHealed(message) from error
    hold.healed_at = holding.clock.now()
    hold.heal_seconds = holding.clock.monotonic() - started
    hold.witness["healed"] = dict(witnessed.seen)
    holding.ledger.healed(hold.fault_id, dict(witnessed.seen), at=hold.healed_at)
    logger.info(
        "healed %s of %s, confirmed after %.2f s", fault.kind, fault.target, hold.heal_seconds
    )


def _patiently(once: Callable[[], Witnessed], clock: Clock) -> Witnessed:
    until = clock.monotonic() + HEAL_DEADLINE_SECONDS
    retrying = Retrying(
        stop=lambda _state: clock.monotonic() >= until,
        sleep=_sleeping(clock),
        wait=wait_exponential(multiplier=0.05, max=2.0),
        retry=retry_if_exception_type((TargetError, EngineUnreachable, FaultNotHealed)),
        reraise=True,
    )
    return retrying(once)


def _sleeping(clock: Clock) -> Callable[[float], None]:
    def sleep(seconds: float) -> None:
        clock.wait(seconds)

    return sleep


def _wait_until(
    fault: Fault,
    holding: Holding,
    deadline_seconds: float,
    *,
    struck: bool | None = None,
    active: bool | None = None,
) -> Witnessed:
    """Observe until the asked-for witnessed or the deadline; the last witnessed is returned."""
    until = holding.clock.monotonic() + deadline_seconds
    while True:
        witnessed = fault.observe(holding.system)
        if struck in (None, witnessed.struck) and active in (None, witnessed.active):
            return witnessed
        if holding.clock.monotonic() >= until:
            return witnessed
        holding.clock.wait(0.02)
