"""What a run refuses before anything is touched."""

from pathlib import Path

import pytest

from k2chaos.errors import RunError, UsageError
from k2chaos.evidence.state import state_directory
from k2chaos.pipeline_file import PipelineFile
from k2chaos.system.beginning import Request, begin_run
from k2chaos.system.faults.needs import ABILITIES
from k2chaos.system.interrupt import Interrupt
from k2chaos.system.run import has_run
from tests.fakes.clock import FakeClock
from tests.fakes.pipelines import lab_pipeline
from tests.fakes.runtime import FakeRuntime


@pytest.mark.parametrize(
    "action, ability",
    [
        ("squeeze_cpu", "cpu"),
        ("squeeze_memory", "memory"),
        ("squeeze_processes", "pids"),
        ("crash", "host-pid"),
        ("partition", "netfilter"),
        ("delay_packets", "nfqueue"),
        ("reset_connections", "sock-destroy"),
        ("reset_connections", "netfilter"),
    ],
)
def test_a_run_with_a_fault_that_this_host_cannot_do_is_refused(
    action: str, ability: str, tmp_path: Path
) -> None:
    runtime = FakeRuntime(able=frozenset(ABILITIES) - {ability})
    for service in lab_pipeline().all_services:
        runtime.add(service)

    with pytest.raises(UsageError) as refusal:
        _begin(action, runtime, tmp_path)

    expected = f"{action} cannot be done on this host: {ABILITIES[ability]}. Nothing was touched"
    assert expected == str(refusal.value)
    assert ([], {}) == (runtime.sent, runtime.marked)
    assert [] == [one for one in tmp_path.rglob("*") if one.is_file()]
    assert not (tmp_path / "j").exists()
    assert not has_run()


def test_nothing_is_broken_while_a_ledger_holds_a_line_that_nobody_can_read(tmp_path: Path) -> None:
    runtime = FakeRuntime()
    ledger = state_directory({"XDG_STATE_HOME": str(tmp_path / "state")}) / "faults" / "run-1.jsonl"
    ledger.write_text('{"schema": 1, "event": "tri\n')

    with pytest.raises(RunError, match=r"run-1\.jsonl:1.* undo it by hand"):
        _begin("pause", runtime, tmp_path)

    assert ([], {}) == (runtime.sent, runtime.marked)
    assert not has_run()


def _begin(action: str, runtime: FakeRuntime, folder: Path) -> None:
    provider = {"type": "python", "module": "k2chaos.actions", "func": action}
    experiment = {"method": [{"type": "action", "name": "break it", "provider": provider}]}
    begin_run(
        Request("one", "a claim", experiment),
        PipelineFile(folder / "lab.yaml", lab_pipeline(), "", ()),
        FakeClock(),
        Interrupt(),
        {"XDG_STATE_HOME": str(folder / "state"), "K2CHAOS_JOURNALS": str(folder / "j")},
        lambda: runtime,
    )
