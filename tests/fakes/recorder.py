"""A runtime that remembers on which containers anything was called, whatever the call."""

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from k2chaos.system.runtime import Container, HelperCall
from tests.fakes.runtime import FakeRuntime


@dataclass
class Recorder:
    """
    Stands before a fake; what it has no word for itself is passed on.

    Attributes:
        touched: Every container that was an argument of a call, whose network a helper entered, or
            whose process a helper was told of, with the call's name.
        listed: Every project that was asked for.
    """

    inner: FakeRuntime
    touched: set[tuple[str, Container]] = field(default_factory=set)
    listed: set[str] = field(default_factory=set)

    def containers(self, project: str) -> tuple[Container, ...]:
        """See `Runtime`."""
        self.listed.add(project)
        return self.inner.containers(project)

    def __getattr__(self, name: str) -> Any:
        """Whatever else a runtime can do, noted first."""
        found = getattr(self.inner, name)
        return self._noting(name, found) if callable(found) else found

    def _noting(self, name: str, method: Callable[..., Any]) -> Callable[..., Any]:
        def noted(*arguments: Any, **named: Any) -> Any:
            for one in (*arguments, *named.values()):
                if isinstance(one, Container):
                    self.touched.add((name, one))
                if isinstance(one, HelperCall):
                    self._note_processes(name, one)
                    if one.network_of is not None:
                        self.touched.add((name, one.network_of))
            return method(*arguments, **named)

        return noted

    def _note_processes(self, name: str, call: HelperCall) -> None:
        if not call.sees_host:
            return  # no other process is there for it; its numbers are tags, ports, addresses
        numbers = {int(one) for one in re.findall(r"\d+", " ".join(call.command))}
        for container, state in self.inner.states.items():
            if state.pid in numbers:
                self.touched.add((name, container))
