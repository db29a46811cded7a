"""What the arguments of one call mean only together."""

import inspect
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

from k2chaos.errors import Unsupported, UsageError
from k2chaos.pipeline import ROLES, Pipeline
from k2chaos.system.amounts import what_is_wrong
from k2chaos.system.bounds import refuse_forbidden
from k2chaos.system.faults.catalogue import kind_of_action
from k2chaos.system.faults.network.delay import what_is_wrong_with_delay, what_is_wrong_with_order
from k2chaos.system.faults.network.duplicate import what_is_wrong_with_share
from k2chaos.system.runtime import allowed_services

_AMOUNTS: Final[Mapping[str, Callable[..., str | None]]] = {
    "delay_packets": what_is_wrong_with_delay,
    "reorder_packets": what_is_wrong_with_order,
    "duplicate_packets": what_is_wrong_with_share,
}
"""By action; each takes the arguments of its own signature."""
_ENDS: Final = (("role", "service"), ("to", "to_service"))


def lint_combined(
    func: str, values: Mapping[str, Any], where: str, pipeline: Pipeline | None
) -> Iterator[str]:
    """
    The mistakes that no argument makes alone.

    Args:
        values: All arguments, defaults included; those that only the run will know are ``None``.
    """
    if {"role", "to"} <= {*values} and values["role"] == values["to"] is not None:
        yield f"{where}.to: must be another role than role, {values['to']}"
    for role, service in _ENDS:
        yield from _service(values.get(role), values.get(service), f"{where}.{service}", pipeline)
    yield from _forbidden(func, where, pipeline)
    count = values.get("count")
    if pipeline and isinstance(count, int) and count > pipeline.limits.faults_at_once:
        limit = f"limits.faults_at_once, {pipeline.limits.faults_at_once}"
        yield f"{where}.count: {count} at once is above {limit}"
    judge = _AMOUNTS.get(func)
    if judge is not None:
        asked = {name: values.get(name) for name in inspect.signature(judge).parameters}
        is_each_right = not any(what_is_wrong(name, value) for name, value in asked.items())
        wrong = judge(**asked) if is_each_right else None
        if wrong:
            yield f"{where}: {wrong}"


def _forbidden(func: str, where: str, pipeline: Pipeline | None) -> Iterator[str]:
    """Whether a fault without container would touch what the pipeline file forbids."""
    kind = kind_of_action(func)
    stage = getattr(kind, "stage", None)
    if pipeline is None or kind is None or stage is None:
        return
    try:
        refuse_forbidden(pipeline, kind.kind, stage)
    except UsageError as error:
        yield f"{where}: {error}"


def _service(role: Any, service: Any, where: str, pipeline: Pipeline | None) -> Iterator[str]:
    """Whether *service* is one of *role* in the pipeline file."""
    if pipeline is None or role not in ROLES or not isinstance(service, str) or not service:
        return
    try:
        allowed_services(pipeline, role, service)
    except (UsageError, Unsupported) as error:
        yield f"{where}: {error}"
