"""What several commands take."""

import functools
from collections.abc import Callable
from typing import Any

import click


def takes_pipeline(command: Callable[..., int]) -> Callable[..., int]:
    """Give *command*, first, the pipeline file that is named after it, or else before it."""

    @functools.wraps(command)
    def called(before: str | None, *arguments: Any, **more: Any) -> int:
        return command(more.pop("pipeline") or before, *arguments, **more)

    option = click.option(
        "--pipeline", metavar="FILE", help="The pipeline file; may stand before the command, too."
    )
    return option(click.pass_obj(called))
