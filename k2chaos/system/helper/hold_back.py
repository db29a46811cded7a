"""
Decide on every packet of one queue of the packet filter: when it goes on, and whether twice.

Arguments: the queue's number, and what is done to packets as a JSON object:

- ``delay_ms``, ``jitter_ms``: a packet waits for the delay plus or minus a share of the jitter,
  evenly spread, and may so be overtaken by a later one;
- ``late``: the share of packets that this is done to, from 0 to 1; the others go on at once;
- ``twice``: the share of packets that are sent once more, from 0 to 1;
- ``bytes_per_second``: how fast all of them together go on (0: as they come); what would have to
  wait for longer than `BUFFER_SECONDS` is dropped, as a full queue does.

When this ends, rules with ``--queue-bypass`` let everything pass.
"""

import heapq
import itertools
import json
import random
import select
import socket
import sys
import time

from netfilterqueue import NetfilterQueue, Packet  # type: ignore[import-not-found]  # of the image

LONGEST_QUEUE = 65_535
BUFFER_BYTES = 16 * 2**20
BUFFER_SECONDS = 1.0

number, asked = int(sys.argv[1]), json.loads(sys.argv[2])
order = itertools.count()
waiting: list[tuple[float, int, Packet]] = []
free_at = 0.0
again = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW)
# Its own packets carry the queue's number as their mark, and the rules let those pass.
again.setsockopt(socket.SOL_SOCKET, socket.SO_MARK, number)


def decide(packet: Packet) -> None:
    """Let *packet* go on now or later, or drop it."""
    now = time.monotonic()
    due = _after_those_before(now, packet.get_payload_len())
    if due > now + BUFFER_SECONDS:
        packet.drop()
        return
    if random.random() < asked["late"]:
        due += (asked["delay_ms"] + random.uniform(-1, 1) * asked["jitter_ms"]) / 1000
    if random.random() < asked["twice"]:
        payload = packet.get_payload()
        again.sendto(payload, (socket.inet_ntoa(payload[16:20]), 0))
    if due <= now:
        packet.accept()
        return
    packet.retain()
    heapq.heappush(waiting, (due, next(order), packet))


def _after_those_before(now: float, size_bytes: int) -> float:
    """When the line is free for a packet of that size; it is then taken for as long as it takes."""
    global free_at  # noqa: PLW0603
    if not asked["bytes_per_second"]:
        return now
    due = max(free_at, now)
    if due <= now + BUFFER_SECONDS:
        free_at = due + size_bytes / asked["bytes_per_second"]
    return due


queue = NetfilterQueue()
queue.bind(number, decide, max_len=LONGEST_QUEUE, sock_len=BUFFER_BYTES)
while True:
    patience = max(0.0, waiting[0][0] - time.monotonic()) if waiting else None
    if select.select([queue.get_fd()], [], [], patience)[0]:
        queue.run(block=False)
    while waiting and waiting[0][0] <= time.monotonic():
        heapq.heappop(waiting)[2].accept()
