"""
Hold back every packet of one queue of the packet filter for a while, then let it go on.

Arguments: the queue's number, the delay in milliseconds, and its jitter: each packet waits for the
delay plus or minus a share of the jitter, evenly spread, and may so be overtaken by a later one.
When this ends, rules with ``--queue-bypass`` let everything pass.
"""

import heapq
import itertools
import random
import select
import sys
import time

from netfilterqueue import NetfilterQueue, Packet  # type: ignore[import-not-found]  # of the image

LONGEST_QUEUE = 65_535
BUFFER_BYTES = 16 * 2**20

number, delay_ms, jitter_ms = int(sys.argv[1]), float(sys.argv[2]), float(sys.argv[3])
order = itertools.count()
waiting: list[tuple[float, int, Packet]] = []


def hold(packet: Packet) -> None:
    """Put *packet* among the waiting."""
    packet.retain()
    due = time.monotonic() + (delay_ms + random.uniform(-jitter_ms, jitter_ms)) / 1000
    heapq.heappush(waiting, (due, next(order), packet))


queue = NetfilterQueue()
queue.bind(number, hold, max_len=LONGEST_QUEUE, sock_len=BUFFER_BYTES)
while True:
    patience = max(0.0, waiting[0][0] - time.monotonic()) if waiting else None
    if select.select([queue.get_fd()], [], [], patience)[0]:
        queue.run(block=False)
    while waiting and waiting[0][0] <= time.monotonic():
        heapq.heappop(waiting)[2].accept()
