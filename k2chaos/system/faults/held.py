"""
Holding a fault: the only way in, and the only way out.

1. What must be restored is read first (`prepare`), and is on disk (`tried`) before the fault is;
   then the guardian knows of it, which heals if this process dies.
2. A fault counts once its witness saw it; one that nobody saw is healed and is an error.
3. Heal comes in `finally`, is retried until the witness sees nothing left, and is said loudly
   when it does not get there; the ledger then keeps the fault open.
4. Who cannot write `tried` injects nothing; who cannot write what comes later heals all the same,
   and says so.
5. A signal is heard only while the fault is in effect, never between a step and its undoing.

What is done in which order stands in `steps`, as a value.
"""

import contextlib
import logging
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime, timedelta
from typing import TypeVar

from k2chaos.clock import Clock
from k2chaos.errors import (
    FaultError,
    FaultNotHealed,
    RunError,
    StageError,
    TargetError,
    UsageError,
)
from k2chaos.system.faults import Fault, Hold, System, id_of
from k2chaos.system.faults.at_once import at_once
from k2chaos.system.faults.steps import HEAL_DEADLINE_SECONDS, Holding
from k2chaos.system.patience import patiently
from k2chaos.system.runtime import Endpoint

logger = logging.getLogger("chaostoolkit")

_T = TypeVar("_T")

__all__ = [
    "HEAL_DEADLINE_SECONDS",
    "Holding",
    "heal",
    "held",
    "held_together",
    "new_hold",
    "watch",
]

_CURABLE = (TargetError, UsageError, FaultError, StageError)
"""What may be over in a moment: an engine that is silent, a pipeline file that is being edited."""
_LOOK_SECONDS = 0.5
_SHORTEST_SECONDS = 0.005
_BREATH_SECONDS = 0.001
_SPARE_SECONDS = 0.1
"""By so much the last look is begun ahead, beside twice what looks took so far."""


@contextlib.contextmanager
def held(
    fault: Fault, longest_seconds: float, holding: Holding, begin_at: datetime | None = None
) -> Iterator[Hold]:
    """Hold one *fault*; see `held_together`."""
    hold = new_hold(fault, holding, begin_at)
    with held_together([hold], longest_seconds, holding):
        yield hold


def new_hold(fault: Fault, holding: Holding, begin_at: datetime | None = None) -> Hold:
    """
    The record of a fault that is about to be held.

    Args:
        begin_at: When its effect is to begin; it is prepared ahead. By default at once.
    """
    return Hold(id_of(fault), fault, holding.clock.now(), begin_at)


@contextlib.contextmanager
def held_together(
    holds: Sequence[Hold], longest_seconds: float, holding: Holding
) -> Iterator[None]:
    """
    Inject the faults of *holds*, yield while all are in effect, heal them whatever happens.

    Nothing is injected before all of them are prepared, on disk and watched over; then they strike
    at once, each from a thread of its own. They are healed one by one, the last one first.

    Args:
        longest_seconds: How long the body may take; beyond it the faults count as abandoned, and
            anyone who sweeps may heal them.

    Raises:
        Interrupted: The run was told to end before anything was touched.
        TargetNotReady: A target is not in the state its fault starts from; none was touched.
        FaultNotInjected: The witness did not see a fault; all of them were healed.
        FaultNotHealed: The witness still sees one; the ledger keeps it open.
    """
    steps = holding.steps
    with holding.interrupt.shield():
        holding.interrupt.refuse_when_requested()
        at_once(lambda hold: steps.prepare(hold, holding), holds)
        with contextlib.ExitStack() as undoing:
            for hold in holds:
                steps.write_down(hold, holding, _deadline(hold, longest_seconds))
                undoing.callback(_end, hold, holding)
            for hold in holds:
                steps.watch_over(hold, holding)
            at_once(lambda hold: _strike(hold, holding), holds)
            # Only here may a signal raise: on both sides of it the shield is up.
            with holding.interrupt.exposed():
                yield


def _deadline(hold: Hold, longest_seconds: float) -> datetime:
    begin_at = max(hold.tried_at, hold.begin_at or hold.tried_at)
    return begin_at + timedelta(seconds=longest_seconds + HEAL_DEADLINE_SECONDS)


def _strike(hold: Hold, holding: Holding) -> None:
    """Inject it, and see it; it is held from then on."""
    steps = holding.steps
    steps.inject(hold, holding)
    steps.witness(hold, holding)
    steps.confirm(hold, holding)
    hold.held_from = holding.clock.monotonic()


def _end(hold: Hold, holding: Holding) -> None:
    """Heal it, after a last look where it was held."""
    try:
        if hold.held_from is not None:
            _last_looks(hold, holding)
            hold.held_seconds = holding.clock.monotonic() - hold.held_from
    finally:
        heal(hold, holding, hold.watch_seconds)


def _last_looks(hold: Hold, holding: Holding) -> None:
    """
    Look once; where that was begun ahead, go on looking until its time has come, for an engine that
    has rested is slow to heal.
    """
    clock, requested = holding.clock, holding.interrupt.requested
    while True:
        began = clock.monotonic()
        holding.steps.look(hold, holding)
        left = (hold.held_until or 0.0) - clock.monotonic()
        if left < max(2 * (clock.monotonic() - began), _SHORTEST_SECONDS) or requested.is_set():
            clock.wait(left, requested)
            return
        clock.wait(_BREATH_SECONDS, requested)


def watch(holds: Sequence[Hold], seconds: float, holding: Holding) -> None:
    """
    Let *seconds* pass while the faults of *holds* are held, looking at least once a second
    whether they are.

    They count from when the first effect began, and end early by what the heal will take, so that
    the effect lasts as long as was asked; this returns earlier still, to leave time for a last look
    before the heal. A fault that was gone at any look ended early, whatever is seen later.
    """
    clock = holding.clock
    until = clock.monotonic() + seconds - _behind(holds, holding)
    look_seconds = 0.0
    while (left := until - 2 * look_seconds - _SPARE_SECONDS - clock.monotonic()) > 0:
        if clock.wait(min(_LOOK_SECONDS, left), holding.interrupt.requested):
            return
        began = clock.monotonic()
        if until - began < max(_LOOK_SECONDS / 5, 3 * look_seconds):
            continue  # the end is not to be missed for a look
        for hold in holds:
            hold.ended_early |= not hold.fault.observe(holding.system).lasts
        look_seconds = clock.monotonic() - began
    for hold in holds:
        hold.held_until = until


def _behind(holds: Sequence[Hold], holding: Holding) -> float:
    """How long the first effect has lasted already, and what its heal will need to arrive."""
    began = [(hold.began_at, hold) for hold in holds if hold.began_at is not None]
    if not began:
        return 0.0
    first, hold = min(began, key=lambda one: one[0])
    lasted = (holding.clock.now() - first).total_seconds()
    # The way back is taken to be as long as it usually is: how long the way there was this time
    # says nothing of it (an engine that was slow once is not slow twice).
    return max(0.0, lasted) + hold.fault.heal_lead_seconds


def heal(hold: Hold, holding: Holding, watch_seconds: float = 0.0) -> None:
    """
    Undo a fault and ask the system until it agrees, for at most a minute.

    Args:
        watch_seconds: Go on looking for so long, and undo it again where it comes back: an
            injection that was sent may still be on its way when its sender is dead.

    Raises:
        FaultNotHealed: It does not agree; the ledger keeps the fault open.
    """
    fault, steps, clock = hold.fault, holding.steps, holding.clock
    started = clock.monotonic()
    sent_at = clock.now()

    def once() -> None:
        require_same_place(fault, holding.system)
        steps.undo(hold, holding)
        steps.see_gone(hold, holding)

    try:
        _patiently(once, clock)
        while clock.monotonic() < started + watch_seconds:
            clock.wait(0.1)
            if _patiently(lambda: fault.observe(holding.system), clock).active:
                _patiently(once, clock)
    except _CURABLE as error:
        with contextlib.suppress(RunError):  # what is loud below matters more than its record
            holding.ledger.failed(hold.fault_id, str(error), at=clock.now())
        message = (
            f"{fault.kind} of {fault.target} could not be healed ({error}); it stays on record: "
            f"run `k2chaos heal {hold.fault_id}`"
        )
        logger.exception(message)
        raise FaultNotHealed(message) from error
    hold.healed_at = clock.now()
    hold.heal_seconds = clock.monotonic() - started
    try:
        steps.close(hold, holding, sent_at)
    except RunError as error:
        logger.error("%s of %s is healed, but %s", fault.kind, fault.target, error)
        raise


def require_same_place(fault: Fault, system: System) -> None:
    """
    Refuse to heal a fault of feed, topic or table elsewhere than where it was injected.

    Raises:
        FaultNotHealed: The pipeline file names another place by now.
        UsageError: The pipeline file cannot be read.
    """
    if isinstance(fault.target, Endpoint):
        now = system.endpoints.address(fault.target.stage)
        # Entries of versions before name the topic or the table alone, without their host.
        if now is not None and not f"/{now}".endswith(f"/{fault.target.address}"):
            message = (
                f"it is at {fault.target.address}, and the pipeline file says {now} by now: "
                "put the file back, then heal"
            )
            raise FaultNotHealed(message)


def _patiently(once: Callable[[], _T], clock: Clock) -> _T:
    return patiently(once, clock, HEAL_DEADLINE_SECONDS, _CURABLE)
