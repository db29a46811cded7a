"""
Healing what a run left behind, from the ledger alone.

A fault is *abandoned* when its deadline has passed or when the run that holds it is no longer
alive (its pipeline's lock is free, or held by another run). A sweep heals abandoned faults only;
an explicit heal takes what it is told.
"""

import itertools
import struct
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from k2chaos.clock import Clock
from k2chaos.errors import FaultNotHealed, K2ChaosError, UsageError
from k2chaos.evidence.ledger import (
    FaultLedger,
    LedgerEntry,
    drop_when_done,
    read_ledger,
    read_state_ledgers,
)
from k2chaos.evidence.state import Holder, held_pipelines
from k2chaos.system.endpoints import endpoints_of
from k2chaos.system.faults import Fault, Hold, System
from k2chaos.system.faults.at_once import at_once
from k2chaos.system.faults.catalogue import fault_from_json
from k2chaos.system.faults.held import Holding, heal, require_same_place
from k2chaos.system.interrupt import Interrupt
from k2chaos.system.runtime import Container, Runtime

_UNFORESEEN: Final = (
    ArithmeticError,
    AttributeError,
    LookupError,
    OSError,
    RuntimeError,
    TypeError,
    ValueError,
    struct.error,
)
"""A mistake of ours about an answer: it keeps no other fault from being healed, nor a guardian from
trying again."""


@dataclass(frozen=True, slots=True)
class OpenFault:
    """A fault that is not confirmed gone, and whether its run still answers for it."""

    entry: LedgerEntry
    is_abandoned: bool

    @property
    def target(self) -> str:
        """The service, as the ledger knows it."""
        target = self.entry.fault.get("target", {})
        return str(target.get("service") or target.get("address") or "?")


@dataclass(frozen=True, slots=True)
class Healing:
    """What became of one open fault."""

    fault_id: str
    kind: str
    target: str
    outcome: Literal["healed", "failed"]
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Status:
    """Open faults, unreadable ledger lines, and who holds which pipeline."""

    open: tuple[OpenFault, ...]
    unreadable: tuple[str, ...]
    holders: dict[str, Holder]


def status(directory: Path, clock: Clock) -> Status:
    """What is open in the state *directory*; touches nothing."""
    reading = read_state_ledgers(directory)
    holders = held_pipelines(directory)
    return Status(
        tuple(OpenFault(entry, _is_abandoned(entry, holders, clock)) for entry in reading.open),
        reading.unreadable,
        holders,
    )


def sweep(
    directory: Path,
    connect: Callable[[str], Runtime],
    clock: Clock,
    is_ours: Callable[[LedgerEntry], bool] = lambda _entry: True,
) -> tuple[Healing, ...]:
    """Heal every abandoned fault for which *is_ours* holds."""
    abandoned = [one.entry for one in status(directory, clock).open if one.is_abandoned]
    return _heal_all(filter(is_ours, abandoned), connect, clock)


def heal_open(
    directory: Path,
    connect: Callable[[str], Runtime],
    clock: Clock,
    fault_id: str | None = None,
    project: str | None = None,
) -> tuple[Healing, ...]:
    """
    Heal all open faults, or the one that is named, or those of one Compose project, whoever holds
    them.

    Raises:
        UsageError: No open fault has that id.
    """
    entries = [one.entry for one in status(directory, clock).open]
    entries = [entry for entry in entries if project in (None, entry.pipeline)]
    if fault_id is not None:
        entries = [entry for entry in entries if entry.fault_id == fault_id]
        if not entries:
            message = f"no open fault has the id {fault_id}; `k2chaos status` lists the open ones"
            raise UsageError(message)
    return _heal_all(entries, connect, clock)


def heal_ledger(
    path: Path,
    connect: Callable[[str], Runtime],
    clock: Clock,
    is_wanted: Callable[[LedgerEntry], bool] = lambda _entry: True,
) -> tuple[Healing, ...]:
    """Heal the open faults of one run's ledger for which *is_wanted* holds."""
    return _heal_all(filter(is_wanted, read_ledger(path).open), connect, clock)


def _is_abandoned(entry: LedgerEntry, holders: dict[str, Holder], clock: Clock) -> bool:
    holder = holders.get(entry.pipeline)
    return holder is None or holder.run != entry.run or clock.now() > entry.deadline


def _heal_all(
    entries: Iterable[LedgerEntry],
    connect: Callable[[str], Runtime],
    clock: Clock,
) -> tuple[Healing, ...]:
    # The last one injected is undone first: faults of one target may lie upon each other. What is
    # elsewhere does not wait for it: one that cannot be healed is tried for a minute.
    stacks: dict[str, list[LedgerEntry]] = {}
    for entry in reversed([*entries]):
        stacks.setdefault(str(entry.fault.get("target")), []).append(entry)
    healings: dict[str, list[Healing]] = {target: [] for target in stacks}

    def heal_stack(target: str) -> None:
        for entry in stacks[target]:
            healings[target].append(_heal_one(entry, connect, clock))

    at_once(heal_stack, [*stacks])
    return tuple(itertools.chain.from_iterable(healings.values()))


def _still_landing(entry: LedgerEntry, fault: Fault, clock: Clock) -> float:
    """
    For how many seconds from now the injection of a fault that nobody saw may yet take effect.

    When it was sent is not on record: its run may have died at any moment until now.
    """
    is_over = entry.was_witnessed or clock.now() > entry.deadline
    return 0.0 if is_over else fault.landing_seconds


def _refuse_kept_up(entry: LedgerEntry, fault: Fault) -> None:
    """
    Say of nothing that it is gone which lives in the run's own process, while that lives.

    Raises:
        FaultNotHealed: It does.
    """
    holder = held_pipelines(entry.path.parent.parent).get(entry.pipeline)
    if getattr(fault, "ends_with_its_run", False) and holder and holder.run == entry.run:
        message = (
            f"process {holder.pid} still keeps it up, and nobody else can end it: `k2chaos stop` "
            "ends the run, and this with it"
        )
        raise FaultNotHealed(message)


def _heal_one(entry: LedgerEntry, connect: Callable[[str], Runtime], clock: Clock) -> Healing:
    state_copy = entry.path
    ledger = FaultLedger(entry.run, entry.pipeline, (state_copy, *entry.copies))
    kind = str(entry.fault.get("kind"))
    target = ""
    try:
        fault = fault_from_json(entry.fault)
        target = str(fault.target)
        _refuse_kept_up(entry, fault)
        hold = Hold(entry.fault_id, fault, clock.now())
        engine = fault.target.engine if isinstance(fault.target, Container) else ""
        system = System(connect(engine), endpoints_of(entry.pipeline_file))
        require_same_place(fault, system)  # at once: nothing that is edited now is waited for
        holding = Holding(system, ledger, clock, Interrupt(threading.Event()))
        heal(hold, holding, _still_landing(entry, fault, clock))
    except (K2ChaosError, *_UNFORESEEN) as error:
        said = str(error) if isinstance(error, K2ChaosError) else repr(error)
        return Healing(entry.fault_id, kind, target, "failed", said)
    drop_when_done(state_copy)
    return Healing(entry.fault_id, kind, target, "healed", f"{hold.heal_seconds:.2f} s")
