"""The residue harness itself: what its oracle sees, and what it runs where there is no lab."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.contract.waiting import wait_until
from tests.fakes.examples import DATA_EXAMPLES
from tests.fakes.wire import wire_broker
from tools.residue import oracle
from tools.residue.__main__ import kinds_for
from tools.residue.boundaries import Boundary
from tools.residue.lab_oracle import quotas
from tools.residue.trials import run_trial
from tools.residue.victim import KINDS, Trial

_IDLE = "import time; time.sleep(60)"


def test_without_a_lab_the_kinds_that_need_one_are_skipped_and_named(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert {*KINDS} - {*DATA_EXAMPLES} == {*kinds_for(with_lab=False)}

    (line,) = capsys.readouterr().out.splitlines()
    assert all(kind in line for kind in DATA_EXAMPLES)
    assert {*KINDS} == {*kinds_for(with_lab=True)}
    assert capsys.readouterr().out == ""


def test_the_oracle_sees_the_quotas_of_all_clients() -> None:
    with wire_broker() as broker:
        assert quotas(broker.bootstrap) == []
        broker.quotas = {None: {"producer_byte_rate": 1000.0}, "one": {"request_percentage": 2.5}}

        assert quotas(broker.bootstrap) == [
            "client-id <default>: producer_byte_rate = 1000",
            "client-id one: request_percentage = 2.5",
        ]


def test_a_broker_that_does_not_tell_its_quotas_is_not_one_without() -> None:
    with wire_broker() as broker:
        broker.fails_with = 31
        with pytest.raises(AssertionError, match="does not tell"):
            quotas(broker.bootstrap)


def test_the_oracle_sees_a_process_that_outlives_its_trial(tmp_path: Path) -> None:
    words = [sys.executable, "-c", _IDLE]
    with (
        subprocess.Popen([*words, str(tmp_path / "ledger")]) as naming,
        subprocess.Popen(words, start_new_session=True) as leader,
    ):
        try:
            wait_until(lambda: len(oracle.processes(tmp_path, leader.pid)) == 2, "both are seen")
        finally:
            naming.kill()
            leader.kill()

    assert [] == oracle.processes(tmp_path, leader.pid)


def test_a_place_that_is_not_at_peace_before_a_fault_is_told() -> None:
    seen = {"the topic grows": False, "the table grows": True, "quotas": []}

    assert ["not so: the topic grows"] == oracle.troubles(seen)


def test_a_trial_that_comes_to_nothing_is_no_pass() -> None:
    boundary = Boundary("after", "inject")
    nowhere = Trial("pause", boundary, guardian_dies=False, seed=0, engine="unix:///nowhere",
                    project="nobody", state=Path())  # fmt: skip

    (line,) = run_trial(nowhere).residue
    assert line.startswith("the trial: ")
