"""The lab: the reference pipeline of ``stack/``, built, started, watched and stopped."""

from k2chaos.system.lab.down import ServiceStatus, lab_down, lab_logs, lab_status
from k2chaos.system.lab.prepare import prepare_engine
from k2chaos.system.lab.restart import restart_engine
from k2chaos.system.lab.up import lab_up

__all__ = [
    "ServiceStatus",
    "lab_down",
    "lab_logs",
    "lab_status",
    "lab_up",
    "prepare_engine",
    "restart_engine",
]
