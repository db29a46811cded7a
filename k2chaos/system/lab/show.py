"""How the services of a starting lab are shown: a table that moves, or a line for every change."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Final, Protocol

from rich.console import Console
from rich.live import Live
from rich.table import Table

from k2chaos.system.lab.progress import say
from k2chaos.system.lab.standing import ServiceStanding, Standing

_COLOURS: Final = {Standing.UP: "green", Standing.WAITING: "yellow", Standing.FAILED: "red"}


class Board(Protocol):
    """Where the services' standings are shown."""

    def show(self, standings: Sequence[ServiceStanding], seconds: float) -> None:
        """Show them as they are, *seconds* after the start."""


@contextmanager
def board(console: Console) -> Iterator[Board]:
    """Show standings on *console* while the block runs."""
    if not console.is_terminal:
        yield _Lines(console)
        return
    with Live(console=console, refresh_per_second=4) as live:
        yield _LiveTable(live)


class _LiveTable:
    def __init__(self, live: Live) -> None:
        self._live = live

    def show(self, standings: Sequence[ServiceStanding], seconds: float) -> None:
        table = Table(title=f"the lab comes up, {seconds:.0f} s", title_justify="left")
        for column in ("service", "state", "health", "waiting for"):
            table.add_column(column, no_wrap=True)
        for one in standings:
            colour = _COLOURS[one.standing]
            state = f"[{colour}]{one.state}[/{colour}]"
            table.add_row(one.service, state, one.health, one.why.replace("[", "\\["))
        self._live.update(table)


class _Lines:
    def __init__(self, console: Console) -> None:
        self._console = console
        self._seen: dict[str, str] = {}

    def show(self, standings: Sequence[ServiceStanding], seconds: float) -> None:
        for one in standings:
            text = one.standing.value if one.standing is Standing.UP else one.why
            if self._seen.get(one.service) != text:
                self._seen[one.service] = text
                say(self._console, f"{seconds:5.1f} s  {one.service}: {text}")
