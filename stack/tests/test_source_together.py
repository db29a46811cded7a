"""Side by side: all results, or the first failure and the end of the others."""

import asyncio

import pytest

from binance_stream.together import together


async def test_the_first_failure_ends_the_others_and_is_what_is_raised() -> None:
    ended = asyncio.Event()

    async def endless() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    async def failing() -> None:
        message = "first"
        raise OSError(message)

    with pytest.raises(OSError, match="first"):
        await asyncio.wait_for(together(endless(), failing(), endless()), 5)
    assert ended.is_set()


async def test_what_fails_while_it_is_ended_is_not_what_is_raised() -> None:
    async def failing_at_the_end() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            await failing("second", 0)

    async def failing(message: str, turns: int) -> None:
        for _ in range(turns):
            await asyncio.sleep(0)
        raise OSError(message)

    for others in ([failing_at_the_end()], [failing("later", 2), failing_at_the_end()]):
        with pytest.raises(OSError, match="first"):
            await asyncio.wait_for(together(*others, failing("first", 1)), 5)


async def test_results_come_in_the_order_of_the_questions() -> None:
    async def answer(value: int) -> int:
        await asyncio.sleep(0.01 * (3 - value))
        return value

    assert await together(*(answer(each) for each in range(3))) == [0, 1, 2]
    assert await together() == []
