"""What a container uses, from the engine's statistics."""

from typing import Any

import pytest

from k2chaos.system.engine.limiting import use_of

HOST = {
    "NanoCpus": 0, "CpuQuota": 0, "CpuPeriod": 0, "Memory": 0, "MemorySwap": 0, "PidsLimit": None,
}  # fmt: skip


@pytest.mark.parametrize(
    "pages, expected",
    [
        ({"total_inactive_file": 30, "inactive_file": 10}, 70),  # v1: of the group and those below
        ({"inactive_file": 40}, 60),  # v2
        ({}, 100),
        (None, 100),
        ({"inactive_file": 200}, 100),  # counted at different moments
    ],
)
def test_files_that_lie_idle_are_not_in_use(pages: dict[str, Any] | None, expected: int) -> None:
    stats = {"memory_stats": {"usage": 100, "limit": 1000, "stats": pages}}

    assert expected == use_of(HOST, stats).memory.used_bytes


def test_what_does_not_run_uses_nothing() -> None:
    use = use_of(HOST, {})

    assert (0, None) == (use.memory.used_bytes, use.memory.effective_bytes)
