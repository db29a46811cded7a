"""Chaos engineering for streaming data pipelines."""

from typing import Any

__all__ = ["discover"]


def discover(discover_system: bool = True) -> Any:  # noqa: FBT001, FBT002 - upstream's convention
    """What ``chaos discover`` lists: the actions and probes, with their arguments."""
    from chaoslib.discovery.discover import (
        discover_actions,
        discover_probes,
        initialize_discovery_result,
    )

    del discover_system
    discovery = initialize_discovery_result("chaostoolkit-k2chaos", _version(), "k2chaos")
    discovery["activities"].extend(discover_actions("k2chaos.actions"))
    discovery["activities"].extend(discover_probes("k2chaos.probes"))
    return discovery


def _version() -> str:
    from importlib.metadata import version

    return version("chaostoolkit-k2chaos")
