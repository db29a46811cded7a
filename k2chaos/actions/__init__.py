"""
Actions for Chaos Toolkit: break one thing, for a while, and put it back.

Every fault is held: on record before it is injected, confirmed by a witness, healed and confirmed
gone before the action returns. Actions need a run to answer for them, so the experiment must
declare the control ``k2chaos.controls``.
"""

from k2chaos.actions.network import isolate, lose_packets, partition
from k2chaos.actions.process import crash, freeze_process, kill, pause, restart, stop
from k2chaos.actions.resources import squeeze_cpu
from k2chaos.actions.waiting import await_recovery

__all__ = [
    "await_recovery",
    "crash",
    "freeze_process",
    "isolate",
    "kill",
    "lose_packets",
    "partition",
    "pause",
    "restart",
    "squeeze_cpu",
    "stop",
]
