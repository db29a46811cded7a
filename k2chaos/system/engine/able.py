"""What an engine can do: what it says of itself, and what only trying tells."""

import logging
from collections.abc import Callable, Mapping
from typing import Any, Final

from k2chaos.errors import FaultError, TargetError
from k2chaos.system.runtime import HelperCall

logger = logging.getLogger("chaostoolkit")

_RESET: Final = """python3 -c "
import socket, subprocess
with socket.create_server(('127.0.0.1', 0)) as listening:
    with socket.create_connection(listening.getsockname()) as one:
        words = ('ss', '-K', '-H', '-t', 'sport', f'= :{one.getsockname()[1]}')
        assert subprocess.check_output(words)
" """
_BIND: Final = """python3 -c "
from netfilterqueue import NetfilterQueue
NetfilterQueue().bind(1, print)
" """
_TRIALS: Final[Mapping[str, tuple[str, ...]]] = {
    "sock-destroy": (_RESET,),
    "nfqueue": (
        _BIND,
        *(
            f"iptables -w 5 -t {table} -A OUTPUT -m mark --mark 1 "
            "-j NFQUEUE --queue-num 1 --queue-bypass"
            for table in ("raw", "mangle", "security")
        ),
    ),
    "netfilter": (
        "iptables -w 5 -A OUTPUT -p tcp -m length --length 1:2 -j DROP",
        "iptables -w 5 -A OUTPUT -m statistic --mode random --probability 0.5 -j DROP",
    ),
}
"""What works only where the kernel can do it: that of which packet faults are made."""
BY_HELPER: Final = frozenset(_TRIALS)
"""What the engine does not know of itself."""
_SCRIPT: Final = "\n".join(
    " && ".join((*commands, f"echo {name}")) for name, commands in _TRIALS.items()
)
_TRY: Final = HelperCall(("sh", "-c", f"{_SCRIPT}\ntrue"), capabilities=("NET_ADMIN", "NET_RAW"))
"""In a network namespace of its own, which ends with it."""


def said(info: Mapping[str, Any]) -> frozenset[str]:
    """The abilities that the engine's account of itself shows."""
    options = " ".join(info.get("SecurityOptions") or ())
    can = {
        "cpu": info.get("CpuCfsQuota", False),
        "memory": info.get("MemoryLimit", False) and info.get("SwapLimit", False),
        "pids": info.get("PidsLimit", False),
        "host-pid": "rootless" not in options and "userns" not in options,
    }
    return frozenset(name for name, is_there in can.items() if is_there)


def tried(run_helper: Callable[[HelperCall], str]) -> frozenset[str]:
    """The abilities that a helper shows by doing it to itself; none where no helper can be run."""
    try:
        return frozenset(run_helper(_TRY).split())
    except (FaultError, TargetError) as error:
        logger.warning("whether the host has a packet filter cannot be tried: %s", error)
        return frozenset()
