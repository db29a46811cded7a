"""
What librdkafka's clients cannot ask of a broker: Kafka's own protocol, four requests of it.

Only versions without flexible fields are spoken, which Kafka 2.6 to 4.x all know. Connections are
plain and live for one request: these are asked a few times a fault.
"""

import socket
import struct
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

from k2chaos.errors import TargetNotReady

_PRODUCE, _FIND_COORDINATOR, _LEAVE_GROUP = (0, 3), (10, 1), (13, 3)
_DESCRIBE_QUOTAS, _ALTER_QUOTAS = (48, 0), (49, 0)
_RATE: Final = "producer_byte_rate"
_EXACTLY, _THE_DEFAULT = 0, 1
_BATCH_HEAD: Final = 61
_TOO_LARGE, _CORRUPT, _UNKNOWN_MEMBER = 10, 2, 25

Address = tuple[str, int]


class Answer:
    """The fields of a response, read one after the other."""

    def __init__(self, content: bytes) -> None:
        """Begin at the first."""
        self._content = content
        self._at = 0

    def number(self, form: str) -> Any:
        """A number, in the form of `struct`."""
        found = struct.unpack_from(f">{form}", self._content, self._at)[0]
        self._at += struct.calcsize(f">{form}")
        return found

    def text(self) -> str | None:
        """A string, or null."""
        length = self.number("h")
        if length < 0:
            return None
        self._at += length
        return self._content[self._at - length : self._at].decode()

    def each(self) -> Iterator[int]:
        """Once for each entry of an array; null is empty."""
        yield from range(max(0, self.number("i")))


def text(value: str | None) -> bytes:
    """A string, or null, as it goes into a request."""
    if value is None:
        return struct.pack(">h", -1)
    return struct.pack(">h", len(value.encode())) + value.encode()


def array(entries: Sequence[bytes]) -> bytes:
    """An array, as it goes into a request."""
    return struct.pack(">i", len(entries)) + b"".join(entries)


@dataclass(frozen=True, slots=True)
class Wire:
    """
    Asks the brokers of one cluster.

    Every method raises `TargetNotReady` where the broker refuses, hangs or errs.

    Attributes:
        bootstrap: Comma-separated addresses; the first that answers is asked.
        seconds: How long an answer may take.
    """

    bootstrap: str
    seconds: float = 5.0

    def byte_rate(self, client_id: str) -> float | None:
        """
        The quota of what producers with that client id may write; ``None`` where there is none.

        Args:
            client_id: Empty is the default of all clients that have no quota of their own.
        """
        match = _EXACTLY if client_id else _THE_DEFAULT
        component = text("client-id") + struct.pack(">b", match) + text(client_id or None)
        answer = self._ask(_DESCRIBE_QUOTAS, array([component]) + b"\x01")
        answer.number("i")
        self._check(answer.number("h"), f"describing quotas: {answer.text()}")
        for _ in answer.each():
            for _ in answer.each():
                answer.text(), answer.text()
            values = {answer.text(): answer.number("d") for _ in answer.each()}
            if _RATE in values:
                return float(values[_RATE])
        return None

    def set_byte_rate(self, client_id: str, rate: float | None) -> None:
        """Set that quota; ``None`` removes it."""
        entity = array([text("client-id") + text(client_id or None)])
        change = text(_RATE) + struct.pack(">d?", rate or 0.0, rate is None)
        answer = self._ask(_ALTER_QUOTAS, array([entity + array([change])]) + b"\x00")
        answer.number("i")
        for _ in answer.each():
            code, said = answer.number("h"), answer.text()
            self._check(code, f"altering the quota of {client_id or 'all clients'}: {said}")
            for _ in answer.each():
                answer.text(), answer.text()

    def refuses(self, leader: Address, topic: str, partition: int, size: int) -> bool:
        """
        Whether a batch of *size* bytes is too large for the topic; nothing is ever written.

        The batch has a wrong checksum. A broker looks at the size first, then at the checksum:
        one that would take the size says that the batch is corrupt.
        """
        batch = array([text(topic) + array([struct.pack(">i", partition) + _corrupt(size)])])
        answer = self._ask(_PRODUCE, text(None) + struct.pack(">hi", 1, 5000) + batch, leader)
        for _ in answer.each():
            answer.text()
            for _ in answer.each():
                answer.number("i")
                code = answer.number("h")
                if code == _TOO_LARGE:
                    return True
                self._check(code, f"offering {size} bytes to {topic}", but=_CORRUPT)
        return False

    def remove_member(self, group: str, member_id: str, instance_id: str | None) -> None:
        """Have a member leave its group, as it would itself; one that left already is no error."""
        asked = self._ask(_FIND_COORDINATOR, text(group) + b"\x00")
        asked.number("i")
        self._check(asked.number("h"), f"asking who coordinates {group}: {asked.text()}")
        asked.number("i")
        coordinator = (asked.text() or "", asked.number("i"))
        member = array([text(member_id) + text(instance_id)])
        answer = self._ask(_LEAVE_GROUP, text(group) + member, coordinator)
        answer.number("i")
        self._check(answer.number("h"), f"leaving {group}", but=_UNKNOWN_MEMBER)

    def _ask(self, kind: tuple[int, int], body: bytes, address: Address | None = None) -> Answer:
        request = struct.pack(">hhi", *kind, 1) + text("k2chaos") + body
        with self._translating(), self._connected(address) as connection:
            connection.sendall(struct.pack(">i", len(request)) + request)
            with connection.makefile("rb") as stream:
                (length,) = struct.unpack(">i", stream.read(4))
                answer = stream.read(length)
            if len(answer) < length:
                message = "it died in the middle of its answer"
                raise ConnectionError(message)
            return Answer(answer[4:])

    def _connected(self, address: Address | None) -> socket.socket:
        trouble: OSError | None = None
        for host, port in [address] if address else _addresses(self.bootstrap):
            try:
                return socket.create_connection((host, port), timeout=self.seconds)
            except OSError as error:
                trouble = error
        raise trouble or OSError(f"no address in {self.bootstrap!r}")

    @contextmanager
    def _translating(self) -> Iterator[None]:
        try:
            yield
        except (OSError, struct.error) as error:
            message = f"broker at {self.bootstrap}: {error!r}"
            raise TargetNotReady(message) from error

    def _check(self, code: int, what: str, but: int = 0) -> None:
        if code not in {0, but}:
            message = f"broker at {self.bootstrap}: {what}: Kafka's error {code}"
            raise TargetNotReady(message)


def _addresses(bootstrap: str) -> list[Address]:
    parts = (one.strip().rpartition("://")[2].rpartition(":") for one in bootstrap.split(","))
    return [(host.strip("[]"), int(port)) for host, _, port in parts]


def _corrupt(size: int) -> bytes:
    """A record batch of *size* bytes with a checksum that cannot be right, with its length."""
    now = int(time.time() * 1000)
    filler = bytes(max(0, size - _BATCH_HEAD))
    # offset, length, epoch, magic, checksum, attributes, last offset, times, producer, count
    head = struct.pack(
        ">qiibIhiqqqhii", 0, size - 12, -1, 2, 0xBADC0DE, 0, 0, now, now, -1, -1, -1, 1
    )
    return struct.pack(">i", len(head) + len(filler)) + head + filler
