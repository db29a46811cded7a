"""Squeezed resources are witnessed by the kernel and given back exactly."""

from pathlib import Path

import pytest

from k2chaos.errors import FaultNotInjected, TargetNotReady, UsageError
from k2chaos.system.faults.held import held, watch
from k2chaos.system.faults.resources import SqueezeCpu
from k2chaos.system.holding import refuse_bad_share
from k2chaos.system.runtime import CpuLimit
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
    runtime.cpus[target] = before

    with held(SqueezeCpu(target, 0.05), 1.0, fake_holding(runtime, tmp_path)) as hold:
        squeezed = runtime.cpus[target]

    assert squeezed == before.squeezed_to(0.05)
    assert before == runtime.cpus[target]
    assert not hold.ended_early


def test_a_container_that_never_had_to_wait_was_not_squeezed(tmp_path: Path) -> None:
    runtime = FakeRuntime()
    target = runtime.add("kafka")
    runtime.idle.add(target)

    with (
        pytest.raises(FaultNotInjected, match="throttled_periods"),
        held(SqueezeCpu(target), 1.0, fake_holding(runtime, tmp_path)),
    ):
        pytest.fail("the body ran without a witness")

    assert CpuLimit() == runtime.cpus[target]


def test_a_squeeze_that_somebody_lifted_ended_early(tmp_path: Path) -> None:
    runtime = FakeRuntime()
    target = runtime.add("kafka")

    with held(SqueezeCpu(target), 1.0, fake_holding(runtime, tmp_path)) as hold:
        runtime.cpus[target] = CpuLimit()

    assert hold.ended_early


@pytest.mark.parametrize("cores", [0, 0.009, -1, True, "much", float("nan"), float("inf")])
def test_a_share_the_engine_cannot_give_is_refused(cores: float) -> None:
    with pytest.raises(UsageError, match=r"at least 0\.01"):
        refuse_bad_share(cores)


def test_a_squeeze_that_is_watched_is_looked_at_as_it_was_prepared(tmp_path: Path) -> None:
    runtime = FakeRuntime()
    target = runtime.add("kafka")
    runtime.cpus[target] = CpuLimit(nano_cpus=10**9)
    holding = fake_holding(runtime, tmp_path)

    with held(SqueezeCpu(target, 0.05), 5.0, holding) as hold:
        watch([hold], 2.0, holding)

    assert not hold.ended_early


def test_a_squeeze_that_would_loosen_is_not_begun(tmp_path: Path) -> None:
    runtime = FakeRuntime()
    target = runtime.add("kafka")
    runtime.cpus[target] = CpuLimit(nano_cpus=500_000_000)

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
    runtime.cpus[target] = CpuLimit(nano_cpus=10**9)

    with held(SqueezeCpu(target), 1.0, fake_holding(runtime, tmp_path)) as hold:
        del runtime.states[target]
        runtime.add("kafka")
        runtime.cpus[target] = now

    assert now == runtime.cpus[target]
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
    runtime.cpus[target] = CpuLimit(nano_cpus=10**9)

    with held(SqueezeCpu(target), 1.0, fake_holding(runtime, tmp_path)):
        runtime.cpus[target] = CpuLimit(nano_cpus=3 * 10**8)

    assert CpuLimit(nano_cpus=3 * 10**8) == runtime.cpus[target]
