"""
Actions for Chaos Toolkit: break one thing, for a while, and put it back.

Every fault is held: on record before it is injected, confirmed by a witness, healed and confirmed
gone before the action returns. Actions need a run to answer for them, so the experiment must
declare the control ``k2chaos.controls``.
"""

from k2chaos.actions.feed import (
    burst,
    delay_trades,
    disconnect_storm,
    disconnect_subscribers,
    duplicate_trades,
    malform_frames,
    refuse_connections,
    reorder_trades,
    stall_feed,
)
from k2chaos.actions.network import (
    black_hole,
    fail_names,
    isolate,
    partition,
    reset_connections,
)
from k2chaos.actions.packets import (
    delay_packets,
    duplicate_packets,
    limit_bandwidth,
    lose_packets,
    reorder_packets,
)
from k2chaos.actions.process import crash, freeze_process, kill, pause, restart, stop
from k2chaos.actions.resources import squeeze_cpu, squeeze_memory, squeeze_processes
from k2chaos.actions.table import conflict_commits
from k2chaos.actions.topic import (
    impersonate_sink,
    join_group,
    oversized_record,
    poison_records,
    squeeze_record_size,
    starve_writes,
)
from k2chaos.actions.waiting import await_recovery

__all__ = [
    "await_recovery",
    "black_hole",
    "burst",
    "conflict_commits",
    "crash",
    "delay_packets",
    "delay_trades",
    "disconnect_storm",
    "disconnect_subscribers",
    "duplicate_packets",
    "duplicate_trades",
    "fail_names",
    "freeze_process",
    "impersonate_sink",
    "isolate",
    "join_group",
    "kill",
    "limit_bandwidth",
    "lose_packets",
    "malform_frames",
    "oversized_record",
    "partition",
    "pause",
    "poison_records",
    "refuse_connections",
    "reorder_packets",
    "reorder_trades",
    "reset_connections",
    "restart",
    "squeeze_cpu",
    "squeeze_memory",
    "squeeze_processes",
    "squeeze_record_size",
    "stall_feed",
    "starve_writes",
    "stop",
]
