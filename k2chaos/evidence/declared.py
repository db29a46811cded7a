"""What an experiment declares, as Chaos Toolkit reads it."""

from collections.abc import Mapping
from typing import Any, Literal

Part = Literal["method", "rollbacks"]


def declared(experiment: Mapping[str, Any], part: Part) -> tuple[Mapping[str, Any], ...]:
    """
    The activities of one part of *experiment*, each ``ref`` replaced by what it names.

    It names an activity of the method or a probe of the hypothesis; where both have the name, the
    probe. What stands beside it is ignored, and one that names nothing stays as it is.
    """
    hypothesis = experiment.get("steady-state-hypothesis") or {}
    every = (*(experiment.get("method") or ()), *(hypothesis.get("probes") or ()))
    named = {one["name"]: one for one in every if one.get("name")}
    listed = experiment.get(part) or ()
    return tuple(named.get(one["ref"], one) if one.get("ref") else one for one in listed)
