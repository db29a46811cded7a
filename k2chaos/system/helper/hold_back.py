"""
Decide on every packet of one queue of the packet filter: when it goes on, and whether twice.

Arguments: the queue's number, the mark of its stage, and what is done to packets as a JSON object:

- ``delay_ms``, ``jitter_ms``: a packet waits for the delay plus or minus a share of the jitter,
  evenly spread, and may so be overtaken by a later one;
- ``late``: the share of packets that this is done to, from 0 to 1; the others go on at once;
- ``twice``: the share of packets that are sent once more, from 0 to 1;
- ``bytes_per_second``: how fast all of them together go on (0: as they come); what would have to
  wait for longer than `BUFFER_SECONDS` is dropped, as a full queue does. Not so what answers pings,
  because by those the fault is seen.

What waits is a copy, and the packet itself is dropped at once: as long as it is held it counts as
not yet sent, and its TCP connection would send no more than two of them at a time. Copies carry the
mark of their stage, by which the rules of this and of earlier stages let them pass. What is larger
than a copy may be is held itself.

When this ends, rules with ``--queue-bypass`` let everything pass.
"""

import contextlib
import heapq
import itertools
import json
import random
import select
import socket
import struct
import sys
import time

from netfilterqueue import NetfilterQueue, Packet  # type: ignore[import-not-found]  # of the image

LONGEST_QUEUE = 65_535
BUFFER_BYTES = 16 * 2**20
BUFFER_SECONDS = 1.0
LARGEST_COPY = 1500
SO_SNDBUFFORCE = 32
ICMP = 1

number, mark, asked = int(sys.argv[1]), int(sys.argv[2]), json.loads(sys.argv[3])
order = itertools.count()
waiting: list[tuple[float, int, Packet | bytes]] = []
free_at = 0.0
again = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW)
again.setsockopt(socket.SOL_SOCKET, socket.SO_MARK, mark)
again.setsockopt(socket.SOL_SOCKET, SO_SNDBUFFORCE, BUFFER_BYTES)
again.settimeout(0.0)


def decide(packet: Packet) -> None:
    """Let *packet* go on now or later, or drop it."""
    payload = packet.get_payload()
    (size_bytes,) = struct.unpack("!H", payload[2:4])
    now = time.monotonic()
    due = _after_those_before(now, size_bytes, is_ping=payload[9] == ICMP)
    if due is None:
        packet.drop()
        return
    if random.random() < asked["late"]:
        due += (asked["delay_ms"] + random.uniform(-1, 1) * asked["jitter_ms"]) / 1000
    copies = 1 + (random.random() < asked["twice"])
    if due <= now and copies == 1 and not waiting:
        packet.accept()
    elif size_bytes > LARGEST_COPY:
        packet.retain()
        heapq.heappush(waiting, (due, next(order), packet))
    else:
        packet.drop()
        for _ in range(copies):
            heapq.heappush(waiting, (due, next(order), payload))


def _after_those_before(now: float, size_bytes: int, *, is_ping: bool) -> float | None:
    """When the line is free for a packet of that size, which takes it; ``None``: it is full."""
    global free_at  # noqa: PLW0603
    if not asked["bytes_per_second"]:
        return now
    due = max(free_at, now)
    if due > now + BUFFER_SECONDS and not is_ping:
        return None
    free_at = due + size_bytes / asked["bytes_per_second"]
    return due


def go_on(packet: Packet | bytes) -> None:
    """Send it on; what a rule behind this one drops, or a full buffer, is lost."""
    if isinstance(packet, bytes):
        with contextlib.suppress(OSError):
            again.sendto(packet, (socket.inet_ntoa(packet[16:20]), 0))
    else:
        packet.accept()


queue = NetfilterQueue()
queue.bind(number, decide, max_len=LONGEST_QUEUE, sock_len=BUFFER_BYTES)
while True:
    patience = max(0.0, waiting[0][0] - time.monotonic()) if waiting else None
    if select.select([queue.get_fd()], [], [], patience)[0]:
        queue.run(block=False)
    while waiting and waiting[0][0] <= time.monotonic():
        go_on(heapq.heappop(waiting)[2])
