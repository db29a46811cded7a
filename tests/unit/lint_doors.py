"""Functions with the signatures of the package's doors, for `lint_experiment` to look at."""

from types import ModuleType
from typing import Any

Configuration = dict[str, Any]


def pause(
    role: str,
    duration: float = 15.0,
    service: str = None,  # type: ignore[assignment]  # noqa: RUF013 - as upstream wants it
    count: int = 1,
    configuration: Configuration | None = None,
    secrets: Configuration | None = None,
) -> dict[str, Any]:
    """Hold a fault that lasts."""
    return {}


def kill(role: str, duration: float = 0.0, count: int = 1) -> dict[str, Any]:
    """Hold a fault that may be over at once."""
    return {}


def freeze_process(role: str, process: str) -> dict[str, Any]:
    """Take the name of a process."""
    return {}


def duplicate_trades(percent: float = 10.0) -> dict[str, Any]:
    """Take a share in percent."""
    return {}


def await_recovery(deadline: float = 120.0) -> dict[str, Any]:
    """Take a deadline."""
    return {}


def freshness_seconds(stage: str = "api") -> float:
    """Take a stage."""
    return 0.0


def api_latency_seconds(requests: int = 10) -> float:
    """Take a number of requests."""
    return 0.0


def within(value: float, limits: list[float], *, strict: bool = False) -> bool:
    """Judge a value that upstream adds."""
    return strict


def _module(name: str, **functions: Any) -> ModuleType:
    module = ModuleType(name)
    module.__dict__.update(functions, __all__=sorted(functions))
    return module


MODULES = {
    "k2chaos.actions": _module(
        "k2chaos.actions",
        pause=pause,
        kill=kill,
        freeze_process=freeze_process,
        duplicate_trades=duplicate_trades,
        await_recovery=await_recovery,
    ),
    "k2chaos.probes": _module(
        "k2chaos.probes",
        freshness_seconds=freshness_seconds,
        api_latency_seconds=api_latency_seconds,
    ),
    "k2chaos.tolerances": _module("k2chaos.tolerances", within=within),
    "k2chaos.controls": _module("k2chaos.controls"),
}


def doors(name: str) -> ModuleType | None:
    """Find one of these modules."""
    return MODULES.get(name)
