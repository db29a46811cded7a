"""Every fault is described by the code, and what a host cannot do is refused before a run."""

import io
import json

import pytest

from k2chaos.errors import UsageError
from k2chaos.listing import listed, print_json, print_listing
from k2chaos.system.faults.catalogue import FAULTS, INJECTIONS
from k2chaos.system.faults.needs import ABILITIES, refuse_impossible
from tests.fakes.runtime import FakeRuntime


@pytest.mark.parametrize("one", listed(), ids=lambda one: one.action)
def test_every_fault_says_what_it_does_who_sees_it_and_what_undoes_it(one: object) -> None:
    for name in ("family", "does", "witness", "undone_by"):
        assert getattr(one, name), name


def test_all_of_them_are_listed() -> None:
    assert len(FAULTS) + len(INJECTIONS) == len(listed())


def test_what_the_host_cannot_do_says_why() -> None:
    entries = listed(frozenset(ABILITIES) - {"pids"})
    shown, document = io.StringIO(), io.StringIO()
    print_listing(entries, shown)
    print_json(entries, document)

    unable = [one["action"] for one in json.loads(document.getvalue())["faults"] if one["why_not"]]
    assert ["squeeze_processes"] == unable
    assert "on this host: no: the engine cannot limit processes" in shown.getvalue()
    assert "on this host: yes" in shown.getvalue()


@pytest.mark.parametrize(
    "ability, actions",
    [
        ("cpu", {"squeeze_cpu"}),
        ("memory", {"squeeze_memory"}),
        ("pids", {"squeeze_processes"}),
        ("host-pid", {"crash", "freeze_process"}),
        (
            "netfilter",
            {"partition", "isolate", "lose_packets", "black_hole"}
            | {"fail_names", "reset_connections"},
        ),
        ("sock-destroy", {"reset_connections"}),
        (
            "nfqueue",
            {"delay_packets", "duplicate_packets", "reorder_packets", "limit_bandwidth"},
        ),
    ],
)
def test_what_each_ability_is_needed_for(ability: str, actions: set[str]) -> None:
    entries = listed(frozenset(ABILITIES) - {ability})

    assert actions == {one.action for one in entries if one.why_not}


def _experiment(action: str, module: str = "k2chaos.actions") -> dict[str, object]:
    return {"method": _method(action, module)}


def _method(action: str, module: str = "k2chaos.actions") -> list[dict[str, object]]:
    provider = {"type": "python", "module": module, "func": action}
    return [{"type": "action", "name": "it", "provider": provider}]


def test_a_fault_that_cannot_be_done_here_is_refused() -> None:
    unable = FakeRuntime(able=frozenset(ABILITIES) - {"host-pid"})

    with pytest.raises(UsageError, match="freeze_process cannot be done on this host"):
        refuse_impossible(_experiment("freeze_process"), unable)

    refuse_impossible(_experiment("freeze_process"), FakeRuntime())
    refuse_impossible(_experiment("freeze_process", "somebody.else"), unable)


@pytest.mark.parametrize("experiment", [{}, _experiment("await_recovery"), _experiment("pause")])
def test_an_engine_is_asked_for_nothing_that_no_fault_needs(experiment: dict[str, object]) -> None:
    runtime = FakeRuntime(able=frozenset())

    refuse_impossible(experiment, runtime)

    assert [] == runtime.asked


def test_an_engine_is_asked_once_and_only_for_what_is_needed() -> None:
    method = [*_method("partition"), *_method("crash"), *_method("pause")]
    runtime = FakeRuntime()

    refuse_impossible({"method": method, "rollbacks": _method("lose_packets")}, runtime)

    assert [{"netfilter", "host-pid"}] == runtime.asked
