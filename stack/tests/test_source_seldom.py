"""The same thing is said once in a while, and how often it was not."""

import logging

import pytest

from binance_stream.seldom import Seldom


def test_a_kind_is_said_at_once_then_once_per_period_with_what_was_withheld(
    caplog: pytest.LogCaptureFixture,
) -> None:
    now = [0.1]
    seldom = Seldom(logging.getLogger("x"), 10.0, lambda: now[0])
    with caplog.at_level(logging.INFO):
        for second in range(25):
            now[0] = 0.1 + second
            seldom.say(logging.INFO, "a", f"a{second}")
        seldom.say(logging.INFO, "b", "b")
    assert caplog.messages == [
        "a0",
        "a10 (9 more of the kind before)",
        "a20 (9 more of the kind before)",
        "b",
    ]
