"""Squeezed resources are witnessed by the kernel and given back exactly."""

from pathlib import Path

import pytest

from k2chaos.errors import FaultNotInjected, TargetNotReady, UsageError
from k2chaos.system.amounts import refuse_bad_amount
from k2chaos.system.faults import System
from k2chaos.system.faults.held import held, watch
from k2chaos.system.faults.resources import SqueezeCpu, SqueezeMemory, SqueezeProcesses
from k2chaos.system.limits import CpuLimit, MemoryLimit, ProcessLimit
from tests.fakes.runs import fake_holding
from tests.fakes.runtime import FakeRuntime


@pytest.mark.parametrize(
    "before",
    [CpuLimit(), CpuLimit(nano_cpus=10**9), CpuLimit(quota_us=150_000, period_us=100_000)],
    ids=["unlimited", "in cores", "as a quota"],
)
def test_the_limit_of_before_is_restored_in_its_own_spelling(
    before: CpuLimit, tmp_path: Path
) -> None:
    runtime = FakeRuntime()
    target = runtime.add("kafka")
    runtime.resources.cpus[target] = before

    with held(SqueezeCpu(target, 0.05), 1.0, fake_holding(runtime, tmp_path)) as hold:
        squeezed = runtime.resources.cpus[target]

    assert squeezed == before.squeezed_to(0.05)
    assert before == runtime.resources.cpus[target]
    assert not hold.ended_early


def test_a_container_that_never_had_to_wait_was_not_squeezed(tmp_path: Path) -> None:
    runtime = FakeRuntime()
    target = runtime.add("kafka")
    runtime.resources.idle.add(target)

    with (
        pytest.raises(FaultNotInjected, match="throttled_periods"),
        held(SqueezeCpu(target), 1.0, fake_holding(runtime, tmp_path)),
    ):
        pytest.fail("the body ran without a witness")

    assert CpuLimit() == runtime.resources.cpus[target]


def test_a_squeeze_that_somebody_lifted_ended_early(tmp_path: Path) -> None:
    runtime = FakeRuntime()
    target = runtime.add("kafka")

    with held(SqueezeCpu(target), 1.0, fake_holding(runtime, tmp_path)) as hold:
        runtime.resources.cpus[target] = CpuLimit()

    assert hold.ended_early


@pytest.mark.parametrize("cores", [0, 0.009, -1, True, "much", float("nan"), float("inf"), 1e308])
def test_a_share_the_engine_cannot_give_is_refused(cores: float) -> None:
    with pytest.raises(UsageError, match=r"cores must be a number from 0\.01"):
        refuse_bad_amount("cores", cores)


def test_a_squeeze_that_is_watched_is_looked_at_as_it_was_prepared(tmp_path: Path) -> None:
    runtime = FakeRuntime()
    target = runtime.add("kafka")
    runtime.resources.cpus[target] = CpuLimit(nano_cpus=10**9)
    holding = fake_holding(runtime, tmp_path)

    with held(SqueezeCpu(target, 0.05), 5.0, holding) as hold:
        watch([hold], 2.0, holding)

    assert not hold.ended_early


def test_a_squeeze_that_would_loosen_is_not_begun(tmp_path: Path) -> None:
    runtime = FakeRuntime()
    target = runtime.add("kafka")
    runtime.resources.cpus[target] = CpuLimit(nano_cpus=500_000_000)

    for cores in (0.9, 0.5):
        with (
            pytest.raises(TargetNotReady, match=r"has 0\.5 already"),
            held(SqueezeCpu(target, cores), 1.0, fake_holding(runtime, tmp_path)),
        ):
            pytest.fail("the body ran")

    assert [] == runtime.sent
    assert not (tmp_path / "state.jsonl").exists()


@pytest.mark.parametrize("now", [CpuLimit(), CpuLimit(nano_cpus=2 * 10**9)], ids=["none", "more"])
def test_a_container_that_was_re_created_keeps_the_limit_it_came_with(
    now: CpuLimit, tmp_path: Path
) -> None:
    runtime = FakeRuntime()
    target = runtime.add("kafka")
    runtime.resources.cpus[target] = CpuLimit(nano_cpus=10**9)

    with held(SqueezeCpu(target), 1.0, fake_holding(runtime, tmp_path)) as hold:
        del runtime.states[target]
        runtime.add("kafka")
        runtime.resources.cpus[target] = now

    assert now == runtime.resources.cpus[target]
    assert hold.ended_early
    assert hold.healed_at is not None


def test_a_container_that_is_gone_is_squeezed_no_longer(tmp_path: Path) -> None:
    runtime = FakeRuntime()
    target = runtime.add("kafka")

    with held(SqueezeCpu(target), 1.0, fake_holding(runtime, tmp_path)) as hold:
        del runtime.states[target]

    assert hold.healed_at is not None


def test_a_limit_that_somebody_changed_meanwhile_is_theirs(tmp_path: Path) -> None:
    runtime = FakeRuntime()
    target = runtime.add("kafka")
    runtime.resources.cpus[target] = CpuLimit(nano_cpus=10**9)

    with held(SqueezeCpu(target), 1.0, fake_holding(runtime, tmp_path)):
        runtime.resources.cpus[target] = CpuLimit(nano_cpus=3 * 10**8)

    assert CpuLimit(nano_cpus=3 * 10**8) == runtime.resources.cpus[target]


MIB = 1024**2


@pytest.mark.parametrize(
    "before", [MemoryLimit(500 * MIB, 700 * MIB), MemoryLimit(500 * MIB, 500 * MIB)]
)
def test_the_memory_of_before_is_restored(before: MemoryLimit, tmp_path: Path) -> None:
    runtime = FakeRuntime()
    target = runtime.add("kafka")
    runtime.resources.memories[target] = before

    with held(SqueezeMemory(target, 8), 1.0, fake_holding(runtime, tmp_path)) as hold:
        squeezed = runtime.resources.memories[target]

    assert MemoryLimit(108 * MIB, 108 * MIB) == squeezed
    assert before == runtime.resources.memories[target]
    assert not hold.ended_early


def test_memory_without_limit_is_without_again_by_the_kernels_account(tmp_path: Path) -> None:
    runtime = FakeRuntime()
    target = runtime.add("kafka")
    before = runtime.use(target).memory.effective_bytes

    with held(SqueezeMemory(target), 1.0, fake_holding(runtime, tmp_path)):
        pass

    assert before == runtime.use(target).memory.effective_bytes


def test_memory_that_nobody_uses_was_not_squeezed(tmp_path: Path) -> None:
    runtime = FakeRuntime()
    target = runtime.add("kafka")

    with (
        pytest.raises(FaultNotInjected, match="used_bytes"),
        held(SqueezeMemory(target, 1000), 1.0, fake_holding(runtime, tmp_path)),
    ):
        pytest.fail("the body ran without a witness")


def test_a_kill_for_lack_of_memory_is_recorded(tmp_path: Path) -> None:
    runtime = FakeRuntime()
    target = runtime.add("kafka")
    started = runtime.state(target).started_at
    assert started is not None

    with held(SqueezeMemory(target), 1.0, fake_holding(runtime, tmp_path)) as hold:
        runtime.resources.used_bytes = 0  # by its successor
        runtime.happenings[target, "oom"] = started

    assert started.isoformat() == hold.witness["before_heal"]["out_of_memory_at"]
    assert not hold.ended_early


def test_an_older_kill_for_lack_of_memory_is_not_ours(tmp_path: Path) -> None:
    runtime = FakeRuntime()
    target = runtime.add("kafka")
    started = runtime.state(target).started_at
    assert started is not None
    runtime.happenings[target, "oom"] = started

    with held(SqueezeMemory(target), 1.0, fake_holding(runtime, tmp_path)) as hold:
        seen = hold.fault.observe(System(runtime))

    assert seen.seen["out_of_memory_at"] is None


@pytest.mark.parametrize("before", [ProcessLimit(), ProcessLimit(100)])
def test_the_number_of_processes_of_before_is_restored(
    before: ProcessLimit, tmp_path: Path
) -> None:
    runtime = FakeRuntime()
    target = runtime.add("kafka")
    runtime.resources.processes[target] = before

    with held(SqueezeProcesses(target, 1), 1.0, fake_holding(runtime, tmp_path)) as hold:
        squeezed = runtime.resources.processes[target]

    assert ProcessLimit(5) == squeezed
    assert before == runtime.resources.processes[target]
    assert not hold.ended_early


@pytest.mark.parametrize("kind", [SqueezeMemory, SqueezeProcesses])
def test_an_engine_that_changes_no_limit_is_caught(
    kind: type[SqueezeMemory | SqueezeProcesses], tmp_path: Path
) -> None:
    runtime = FakeRuntime(broken=lambda _container, verb: verb == "limit")
    target = runtime.add("kafka")

    with (
        pytest.raises(FaultNotInjected),
        held(kind(target), 1.0, fake_holding(runtime, tmp_path)),
    ):
        pytest.fail("the body ran without a witness")


@pytest.mark.parametrize("kind", [SqueezeMemory, SqueezeProcesses])
def test_a_container_that_died_of_the_squeeze_runs_again(
    kind: type[SqueezeMemory | SqueezeProcesses], tmp_path: Path
) -> None:
    runtime = FakeRuntime()
    target = runtime.add("kafka")

    with held(kind(target), 1.0, fake_holding(runtime, tmp_path)):
        runtime.send(target, "kill")

    assert runtime.state(target).is_running


@pytest.mark.parametrize("kind", [SqueezeMemory, SqueezeProcesses])
def test_a_squeeze_to_more_than_there_is_is_not_begun(
    kind: type[SqueezeMemory | SqueezeProcesses], tmp_path: Path
) -> None:
    runtime = FakeRuntime()
    target = runtime.add("kafka")
    runtime.resources.memories[target] = MemoryLimit(101 * MIB, 101 * MIB)
    runtime.resources.processes[target] = ProcessLimit(5)

    with (
        pytest.raises(TargetNotReady, match="ask for less headroom"),
        held(kind(target, 2), 1.0, fake_holding(runtime, tmp_path)),
    ):
        pytest.fail("the body ran")

    assert [] == runtime.sent


@pytest.mark.parametrize("headroom", [-1, 0.5, True, "8", None])
def test_a_headroom_that_makes_no_sense_is_refused(headroom: object) -> None:
    with pytest.raises(UsageError, match="whole number"):
        refuse_bad_amount("headroom", headroom)


def test_memory_that_is_given_back_under_the_squeeze_does_not_end_it(tmp_path: Path) -> None:
    runtime = FakeRuntime()
    target = runtime.add("kafka")
    holding = fake_holding(runtime, tmp_path)

    with held(SqueezeMemory(target), 5.0, holding) as hold:
        runtime.resources.used_bytes //= 2
        watch([hold], 2.0, holding)

    assert not hold.ended_early


@pytest.mark.parametrize("kind", [SqueezeMemory, SqueezeProcesses])
def test_a_limit_that_somebody_lifted_ended_early(
    kind: type[SqueezeMemory | SqueezeProcesses], tmp_path: Path
) -> None:
    runtime = FakeRuntime()
    target = runtime.add("kafka")

    with held(kind(target), 1.0, fake_holding(runtime, tmp_path)) as hold:
        runtime.limit(target, MemoryLimit())
        runtime.limit(target, ProcessLimit())

    assert hold.ended_early
