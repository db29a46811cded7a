"""
Who may be held now: limits of the pipeline file, and faults that cannot be held together.

One admission a run, asked by every action under one lock: what was let in counts from then on
until its hold is over, so that two actions at the same time cannot both slip under a limit that
has room for one.
"""

import contextlib
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from k2chaos.errors import UsageError
from k2chaos.evidence.ledger import LedgerEntry
from k2chaos.pipeline import Pipeline
from k2chaos.system.bounds import not_shared
from k2chaos.system.faults import Fault, id_of

_Seen = Mapping[str, Any]


@dataclass(slots=True)
class Admission:
    """What one run holds, and is about to hold: kind and target by fault id."""

    _held: dict[str, _Seen] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @contextlib.contextmanager
    def of(
        self, faults: Sequence[Fault], open_now: Sequence[LedgerEntry], pipeline: Pipeline
    ) -> Iterator[None]:
        """
        Let *faults* in for the block, all of them or none.

        Raises:
            UsageError: The limits, or a fault that is held, forbid it; nothing was touched.
        """
        new = {id_of(one): {"kind": one.kind, "target": asdict(one.target)} for one in faults}
        with self._lock:
            there = {entry.fault_id: entry.fault for entry in open_now} | self._held
            _refuse_too_many(new, there, pipeline)
            _refuse_clashes(new, there)
            self._held.update(new)
        try:
            yield
        finally:
            with self._lock:
                for fault_id in new:
                    self._held.pop(fault_id, None)


def _refuse_too_many(
    new: Mapping[str, _Seen], there: Mapping[str, _Seen], pipeline: Pipeline
) -> None:
    limits = pipeline.limits
    services = {_impaired(one) for one in (*new.values(), *there.values())}
    for name, count, limit in (
        ("faults_at_once", len(there) + len(new), limits.faults_at_once),
        ("impaired_services_at_once", len(services), limits.impaired_services_at_once),
    ):
        if count > limit:
            message = (
                f"{len(new)} faults asked for while {len(there)} are open: that makes "
                f"{count}, and limits.{name} of pipeline {pipeline.name} is {limit}"
            )
            raise UsageError(message)


def _refuse_clashes(new: Mapping[str, _Seen], there: Mapping[str, _Seen]) -> None:
    held = dict(there)
    for fault_id, one in new.items():
        for other_id, other in held.items():
            is_elsewhere = other_id == fault_id or _place(one) != _place(other)
            what = "" if is_elsewhere else not_shared(str(one["kind"]), str(other.get("kind")))
            if what:
                message = (
                    f"{fault_id} cannot be held while {other_id} is: both change {what} of "
                    f"{_impaired(one)}; let the one end before the other begins"
                )
                raise UsageError(message)
        held[fault_id] = one


def _place(fault: _Seen) -> tuple[str, ...]:
    """Where it is; of a container its id says nothing, for that may change."""
    target = fault.get("target", {})
    names = ("project", "service", "number") if "service" in target else ("stage", "address")
    return tuple(str(target.get(name)) for name in names)


def _impaired(fault: _Seen) -> str:
    """The service, or the stage, that a fault's target counts as."""
    target = fault.get("target", {})
    return str(target.get("service") or target.get("stage"))
