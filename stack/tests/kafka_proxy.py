"""A proxy in front of librdkafka's own broker: it can hold everything back, or lose an answer."""

import asyncio
import struct
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import NamedTuple, Self

from confluent_kafka import Consumer, Producer, TopicPartition

PARTITIONS = 4
_PRODUCE = 0
_LENGTH = struct.Struct(">i")
# Of a record batch: its magic byte lies 16 bytes behind its base offset, the number of its
# producer (8 bytes), the producer's epoch (2) and the batch's own number (4) 43 bytes behind.
_MAGIC, _NUMBERS = 16, struct.Struct(">qhi")
_NUMBERS_AT = 43


class Numbered(NamedTuple):
    """What a broker knows a batch by: -1 throughout where the producer is not idempotent."""

    producer: int
    epoch: int
    sequence: int


class Proxy:
    """Stands between clients and a broker of four partitions a topic."""

    def __init__(self, topic: str) -> None:
        """Have a broker with *topic*, which goes with this object."""
        self._producer = Producer({"bootstrap.servers": "none", "test.mock.num.brokers": 1})
        (self._broker,) = self._producer.list_topics(topic, timeout=5).brokers.values()
        self._server: asyncio.Server | None = None
        self._flows = asyncio.Event()
        self._flows.set()
        self._tasks: set[asyncio.Task[None]] = set()
        self.answers_to_lose = 0
        self.produced: list[Numbered] = []

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    @property
    def address(self) -> str:
        """Where clients are to go."""
        return f"127.0.0.1:{self._port}"

    @property
    def direct(self) -> str:
        """The broker's own address."""
        return f"{self._broker.host}:{self._broker.port}"

    @property
    def _port(self) -> int:
        assert self._server is not None
        port: int = self._server.sockets[0].getsockname()[1]
        return port

    def hold(self) -> None:
        """Let nothing pass, ever; who sent something meanwhile is hung up on at the release."""
        self._flows.clear()

    def release(self) -> None:
        """Let everything pass."""
        self._flows.set()

    def values(self, topic: str) -> list[bytes]:
        """All that is in *topic*, partition after partition."""
        reading = Consumer({"bootstrap.servers": self.direct, "group.id": "reader"})
        found: list[bytes] = []
        for number in range(PARTITIONS):
            at = TopicPartition(topic, number, 0)
            _, end = reading.get_watermark_offsets(at, timeout=5)
            reading.assign([at])
            got = [one.value() or b"" for one in reading.consume(end, 5) if not one.error()]
            assert len(got) == end
            found += got
        reading.close()
        return found

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        upstream = await asyncio.open_connection(self._broker.host, self._broker.port)
        produces: set[int] = set()
        ways = [
            asyncio.create_task(self._forward(reader, upstream[1], produces)),
            asyncio.create_task(self._answer(upstream[0], writer, produces)),
        ]
        # Cancelled where the proxy ends, which nobody waits to hear of.
        with suppress(asyncio.CancelledError):
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        for way in ways:
            way.cancel()
        await asyncio.gather(*ways, return_exceptions=True)
        upstream[1].close()
        writer.close()
        self._tasks.discard(task)

    async def _forward(
        self, reader: asyncio.StreamReader, to: asyncio.StreamWriter, produces: set[int]
    ) -> None:
        async for frame in _frames(reader):
            kind, _, correlation = struct.unpack_from(">hhi", frame)
            if kind == _PRODUCE:
                produces.add(correlation)
                self.produced.append(_numbered(frame))
            if not self._flows.is_set():
                await self._flows.wait()
                return
            to.write(_LENGTH.pack(len(frame)) + frame)

    async def _answer(
        self, reader: asyncio.StreamReader, to: asyncio.StreamWriter, produces: set[int]
    ) -> None:
        async for frame in _frames(reader):
            if self.answers_to_lose and _LENGTH.unpack_from(frame)[0] in produces:
                self.answers_to_lose -= 1
                return
            to.write(_LENGTH.pack(len(frame)) + self._readdressed(frame))

    def _readdressed(self, frame: bytes) -> bytes:
        """Put this proxy where a broker tells its clients its address."""
        host = self._broker.host.encode()
        port = _LENGTH.pack(self._broker.port)
        return frame.replace(host + port, host + _LENGTH.pack(self._port))


async def _frames(reader: asyncio.StreamReader) -> AsyncIterator[bytes]:
    while True:
        try:
            (length,) = _LENGTH.unpack(await reader.readexactly(_LENGTH.size))
            yield await reader.readexactly(length)
        except (asyncio.IncompleteReadError, ConnectionError):
            return


def _numbered(frame: bytes) -> Numbered:
    """Read the numbers of the first batch of a request; its magic byte is found by its length."""
    for start in range(len(frame) - _NUMBERS_AT - _NUMBERS.size):
        length = _LENGTH.unpack_from(frame, start + 8)[0]
        if frame[start + _MAGIC] == 2 and start + 12 + length in (len(frame), len(frame) - 3):
            return Numbered(*_NUMBERS.unpack_from(frame, start + _NUMBERS_AT))
    message = f"no record batch in {frame.hex()}"
    raise ValueError(message)
