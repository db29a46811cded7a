"""References are resolved as Chaos Toolkit resolves them; its own look-up is the judge."""

from collections.abc import Mapping
from typing import Any

import pytest
from chaoslib.caching import cache_activities, clear_cache, lookup_activity

from k2chaos.evidence.declared import declared

PAUSE = {"type": "action", "name": "freeze", "provider": {"func": "pause"}}
PROBE = {"type": "probe", "name": "look", "provider": {"func": "freshness_seconds"}}
SAME = {"type": "probe", "name": "freeze", "provider": {"func": "lost_records"}}


def _experiment(*probes: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "steady-state-hypothesis": {"title": "t", "probes": [*probes]},
        "method": [PAUSE, {"ref": "freeze"}, {"type": "probe", "ref": "look"}],
        "rollbacks": [{"ref": "freeze", "background": True}],
    }


@pytest.mark.parametrize("probes", [(PROBE,), (PROBE, SAME)])
def test_a_reference_stands_for_what_upstream_finds(probes: tuple[Mapping[str, Any], ...]) -> None:
    experiment = _experiment(*probes)
    cache_activities(experiment)
    try:
        freeze, look = lookup_activity("freeze"), lookup_activity("look")
    finally:
        clear_cache()

    assert (PAUSE, freeze, look) == declared(experiment, "method")
    assert (freeze,) == declared(experiment, "rollbacks")


def test_a_reference_to_nothing_stays_as_it_is() -> None:
    assert ({"ref": "nobody"},) == declared({"method": [{"ref": "nobody"}]}, "method")
    assert () == declared({}, "method")
