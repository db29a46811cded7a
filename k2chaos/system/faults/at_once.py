"""Doing the same to several things at the same time."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

Thing = TypeVar("Thing")


def at_once(do: Callable[[Thing], None], things: Sequence[Thing]) -> None:
    """
    *do* it to all of *things*, each in a thread of its own; return when all are done.

    A single one is done in this thread. One that fails does not keep the others from their end;
    then what the first of them raised is raised.
    """
    if len(things) == 1:
        do(things[0])
        return
    with ThreadPoolExecutor(max(1, len(things)), "at-once") as pool:
        doing = [pool.submit(do, thing) for thing in things]
    for one in doing:
        one.result()
