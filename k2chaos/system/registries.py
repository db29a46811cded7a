"""Schema registries that hold the same: whichever answers is asked."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Self

from k2chaos.errors import StageUnavailable
from k2chaos.system.http import HttpClient

_UNKNOWN: Final = frozenset({404})


@dataclass(frozen=True, slots=True)
class Registries:
    """
    Asks one after the other, beginning with the one that answered last.

    A registry that says that there is no such schema has answered.
    """

    clients: list[HttpClient] = field(default_factory=list)

    @classmethod
    def at(cls, urls: Sequence[str], seconds: float) -> Self:
        """Connect to nothing yet."""
        return cls([HttpClient("schema registry", url, seconds) for url in urls])

    def get_json(self, path: str) -> tuple[str, Any]:
        """
        GET *path* at the first that answers.

        Returns:
            What was asked, for messages, and the answer; a 404 is one.

        Raises:
            StageUnavailable: None of them answers; says what each said.
            StageBlind: One refused our credentials or our request.
        """
        troubles = []
        for client in list(self.clients):
            try:
                answer = client.get_json(path, accept=_UNKNOWN)
            except StageUnavailable as error:
                troubles.append(error)
                continue
            self.clients.remove(client)
            self.clients.insert(0, client)
            return f"schema registry: GET {client.url}{path}", answer
        if len(troubles) == 1:
            raise troubles[0]
        message = f"none of {len(troubles)} registries answers: {'; '.join(map(str, troubles))}"
        raise StageUnavailable(message, troubles[-1].reason)

    def close(self) -> None:
        """Disconnect."""
        for client in self.clients:
            client.close()
