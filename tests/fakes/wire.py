"""
A broker that speaks the five requests of `k2chaos.system.kafka.wire`, decoded by a hand of its own.

It keeps quotas, the largest batch it takes and a group's members, and judges a batch as Kafka
does: by its size first, then by its checksum.
"""

import socketserver
import struct
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from io import BytesIO
from typing import Any

_CASTAGNOLI = 0x82F63B78


class Fields(BytesIO):
    """The fields of a request."""

    def number(self, form: str) -> Any:
        (found,) = struct.unpack(f">{form}", self.read(struct.calcsize(f">{form}")))
        return found

    def text(self) -> str | None:
        length = self.number("h")
        return None if length < 0 else self.read(length).decode()

    def array(self, one: Callable[[], Any]) -> list[Any]:
        return [one() for _ in range(self.number("i"))]


@dataclass
class WireBroker:
    """
    One broker.

    Attributes:
        quotas: By client id, ``None`` being the default of all; by name, the value.
        fails_with: Kafka's error code for everything that is asked.
        cuts_off: How many bytes of an answer do not come any more.
        written: The batches that would have been written.
    """

    address: tuple[str, int] = ("", 0)
    quotas: dict[str | None, dict[str, float]] = field(default_factory=dict)
    max_bytes: int = 1000
    members: set[tuple[str, str | None]] = field(default_factory=set)
    fails_with: int = 0
    cuts_off: int = 0
    written: list[bytes] = field(default_factory=list)

    @property
    def bootstrap(self) -> str:
        return f"{self.address[0]}:{self.address[1]}"

    def answer(self, request: bytes) -> bytes:
        asked = Fields(request)
        kind, correlation = (asked.number("h"), asked.number("h")), asked.number("i")
        assert asked.text() in {"k2chaos", None}, "neither k2chaos nor who checks it"
        answers: Mapping[tuple[int, int], Callable[[Fields], bytes]] = {
            (0, 3): self._produce,
            (10, 1): self._find_coordinator,
            (13, 3): self._leave,
            (48, 0): self._describe,
            (49, 0): self._alter,
        }
        body = answers[kind](asked)
        assert asked.read() == b"", "the request is longer than its fields"
        return struct.pack(">i", correlation) + body

    def _describe(self, asked: Fields) -> bytes:
        wanted = asked.array(lambda: (asked.text(), asked.number("b"), asked.text()))
        is_strict = asked.number("?")
        names = [*self.quotas] if not wanted else [name for _, _, name in wanted]
        if wanted:
            ((kind, match, name),) = wanted
            assert (kind, match) == ("client-id", 0 if name else 1)
            assert is_strict, "not strict: other entities would match, too"
        told = [self._told(name) for name in names if self.quotas.get(name)]
        head = struct.pack(">ihh", 0, self.fails_with, -1)
        return head + struct.pack(">i", len(told)) + b"".join(told)

    def _told(self, name: str | None) -> bytes:
        found = self.quotas[name]
        values = b"".join(_text(key) + struct.pack(">d", each) for key, each in found.items())
        entity = struct.pack(">i", 1) + _text("client-id") + _text(name)
        return entity + struct.pack(">i", len(found)) + values

    def _alter(self, asked: Fields) -> bytes:
        (((entity,), ((key, value, remove),)),) = asked.array(
            lambda: (
                asked.array(lambda: (asked.text(), asked.text())),
                asked.array(lambda: (asked.text(), asked.number("d"), asked.number("?"))),
            )
        )
        assert not asked.number("?"), "only validated"
        assert entity[0] == "client-id"
        if not self.fails_with:
            kept = self.quotas.setdefault(entity[1], {})
            kept.pop(key, None) if remove else kept.update({key: value})
        told = struct.pack(">i", 1) + _text(entity[0]) + _text(entity[1])
        return struct.pack(">iihh", 0, 1, self.fails_with, -1) + told

    def _produce(self, asked: Fields) -> bytes:
        assert asked.text() is None
        assert asked.number("h") == 1
        asked.number("i")
        ((topic, ((partition, batch),)),) = asked.array(
            lambda: (
                asked.text(),
                asked.array(lambda: (asked.number("i"), asked.read(asked.number("i")))),
            )
        )
        code = self.fails_with or self._judged(batch)
        answer = struct.pack(">ihqq", partition, code, -1, -1)
        return struct.pack(">i", 1) + _text(topic) + struct.pack(">i", 1) + answer + bytes(4)

    def _judged(self, batch: bytes) -> int:
        length, _, magic, checksum = struct.unpack_from(">iibI", batch, 8)
        assert (length, magic) == (len(batch) - 12, 2)
        if len(batch) > self.max_bytes:
            return 10
        if checksum != _crc32c(batch[21:]):
            return 2
        self.written.append(batch)
        return 0

    def _find_coordinator(self, asked: Fields) -> bytes:
        asked.text()
        assert asked.number("b") == 0
        host, port = self.address
        head = struct.pack(">ihhi", 0, self.fails_with, -1, 1)
        return head + _text(host) + struct.pack(">i", port)

    def _leave(self, asked: Fields) -> bytes:
        asked.text()
        (leaving,) = asked.array(lambda: (asked.text(), asked.text()))
        code = 0 if leaving in self.members else 25
        self.members.discard(leaving)
        told = _text(leaving[0]) + _text(leaving[1]) + struct.pack(">h", code)
        return struct.pack(">ihi", 0, 0, 1) + told


def _text(value: str | None) -> bytes:
    if value is None:
        return struct.pack(">h", -1)
    return struct.pack(">h", len(value)) + value.encode()


def _crc32c(content: bytes) -> int:
    crc = 0xFFFFFFFF
    for byte in content:
        crc ^= byte
        for _ in range(8):
            crc = (crc >> 1) ^ (_CASTAGNOLI * (crc & 1))
    return crc ^ 0xFFFFFFFF


@contextmanager
def wire_broker() -> Iterator[WireBroker]:
    """A broker on 127.0.0.1 until the block ends."""
    broker = WireBroker()

    class Handler(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            (length,) = struct.unpack(">i", self.rfile.read(4))
            answer = broker.answer(self.rfile.read(length))
            sent = answer[: len(answer) - broker.cuts_off]
            self.wfile.write(struct.pack(">i", len(answer)) + sent)

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler) as server:
        broker.address = ("127.0.0.1", server.server_address[1])
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield broker
        finally:
            server.shutdown()
            thread.join()
