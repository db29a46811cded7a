"""How a run is told to end."""

import os
import signal
from collections.abc import Iterator

import pytest

from k2chaos.errors import Interrupted
from k2chaos.system.interrupt import SIGNALS, Interrupt


@pytest.fixture
def interrupt() -> Iterator[Interrupt]:
    before = {number: signal.getsignal(number) for number in SIGNALS}
    switch = Interrupt()
    switch.install()
    yield switch
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.parametrize("number", SIGNALS)
def test_the_first_signal_ends_the_main_thread_and_every_wait(
    number: signal.Signals, interrupt: Interrupt
) -> None:
    with pytest.raises(KeyboardInterrupt):
        os.kill(os.getpid(), number)

    assert interrupt.requested.is_set()
    assert number.name == interrupt.reason


def test_a_second_signal_does_not_cut_the_healing_short(interrupt: Interrupt) -> None:
    with pytest.raises(KeyboardInterrupt):
        os.kill(os.getpid(), signal.SIGINT)
    os.kill(os.getpid(), signal.SIGINT)
    os.kill(os.getpid(), signal.SIGTERM)

    assert "SIGINT" == interrupt.reason


def test_a_shielded_step_is_done_before_the_signal_is_heard(interrupt: Interrupt) -> None:
    done: list[str] = []

    def step() -> None:
        with interrupt.shield(), interrupt.shield():
            os.kill(os.getpid(), signal.SIGTERM)
            done.append("step")

    with pytest.raises(KeyboardInterrupt):
        step()

    assert ["step"] == done


def test_an_exposed_block_hears_what_came_before_it_and_the_cleaning_up_is_done(
    interrupt: Interrupt,
) -> None:
    done: list[str] = []

    def hold() -> None:
        with interrupt.shield():
            os.kill(os.getpid(), signal.SIGTERM)
            done.append("inject")
            try:
                with interrupt.exposed():
                    done.append("body")
            finally:
                os.kill(os.getpid(), signal.SIGTERM)
                done.append("heal")

    with pytest.raises(KeyboardInterrupt):
        hold()

    assert ["inject", "heal"] == done


def test_after_a_request_nothing_further_may_be_injected(interrupt: Interrupt) -> None:
    interrupt.refuse_when_requested()
    interrupt.request("the operator")

    with pytest.raises(Interrupted, match="the operator"):
        interrupt.refuse_when_requested()
