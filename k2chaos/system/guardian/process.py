"""
``python -m k2chaos.system.guardian.process LEDGER ENGINE PROJECT``: the guardian itself.

Rules: it is connected and has read the code of every fault before it says ``ready``. It learns of
the run's death by the end of its standard input, which the kernel closes whatever the run died of,
and heals at once. A fault whose deadline has passed is healed though the run is alive. It is in a
session of its own and deaf to the signals that end a terminal's processes; it ends when nothing is
open and the run is gone, and it does not give up. Then it lets go of the engine-wide lock that
its run may have left.
"""

import os
import select
import signal
import sys
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Final

from k2chaos.clock import Clock, SystemClock
from k2chaos.errors import K2ChaosError
from k2chaos.evidence.ledger import read_ledger
from k2chaos.system import engine_lock
from k2chaos.system.engine import connect
from k2chaos.system.faults import adapter_of
from k2chaos.system.faults.catalogue import FAULTS, INJECTIONS
from k2chaos.system.faults.healing import Healing, heal_ledger
from k2chaos.system.runtime import Runtime

READY: Final = "ready"
LOOK: Final = "look"
WATCHING: Final = "watching"

_LONGEST_SLEEP_SECONDS: Final = 3600.0
_PAUSE_SECONDS: Final = (0.2, 0.5, 1.0, 2.0, 5.0)
"""Between two tries to heal; then the last for ever: the engine may be restarted, or the host."""


def main() -> int:
    """Watch over one run's ledger until the run is gone and nothing is open."""
    path, engine, project = Path(sys.argv[1]), sys.argv[2], sys.argv[3]
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    os.chdir("/")
    clock = SystemClock()
    runtime = connect(engine)
    for kind in (*FAULTS.values(), *INJECTIONS.values()):
        adapter_of(kind)
    _say(READY)
    _watch(path, lambda _address: runtime, clock)
    _heal_until_nothing_is_open(path, lambda address: connect(address or engine), clock)
    engine_lock.release(runtime, project, path.stem)
    return 0


def _watch(path: Path, reach: Callable[[str], Runtime], clock: Clock) -> None:
    """Return when the run is gone; meanwhile heal what is overdue."""
    said = b""
    while True:
        readable, _, _ = select.select([sys.stdin], [], [], _seconds_to_deadline(path, clock))
        if not readable:
            _tell(heal_ledger(path, reach, clock, lambda entry: clock.now() > entry.deadline))
            continue
        chunk = os.read(sys.stdin.fileno(), 4096)
        if not chunk:
            return
        said += chunk
        *lines, said = said.split(b"\n")
        for _ in lines:
            _say(f"{WATCHING} {len(read_ledger(path).open)}")


def _seconds_to_deadline(path: Path, clock: Clock) -> float:
    """Until the next fault is overdue; one that could not be healed is tried again each second."""
    deadlines = [entry.deadline for entry in read_ledger(path).open]
    if not deadlines:
        return _LONGEST_SLEEP_SECONDS
    left = (min(deadlines) - clock.now()).total_seconds()
    return 1.0 if left < 0 else min(left, _LONGEST_SLEEP_SECONDS)


def _heal_until_nothing_is_open(path: Path, reach: Callable[[str], Runtime], clock: Clock) -> None:
    attempt = 0
    while _tell(heal_ledger(path, reach, clock)):
        clock.wait(_PAUSE_SECONDS[min(attempt, len(_PAUSE_SECONDS) - 1)])
        attempt += 1


def _tell(healings: tuple[Healing, ...]) -> bool:
    """Say in the run's folder what was done; returns whether something is still open."""
    now = datetime.now().astimezone().isoformat(timespec="milliseconds")
    for one in healings:
        what = f"{one.kind} of {one.target} ({one.fault_id}): {one.outcome} {one.detail}"
        sys.stderr.write(f"{now} {what}\n")
    sys.stderr.flush()
    return any(one.outcome == "failed" for one in healings)


def _say(word: str) -> None:
    """A run that is dead hears nothing more, which is no reason to end."""
    try:
        sys.stdout.write(f"{word}\n")
        sys.stdout.flush()
    except BrokenPipeError:
        sys.stdout = Path(os.devnull).open("w", encoding="utf-8")  # noqa: SIM115 - for good


if __name__ == "__main__":
    try:
        code = main()
    except K2ChaosError as error:
        sys.stderr.write(f"guardian: {error}\n")
        code = 1
    sys.exit(code)
