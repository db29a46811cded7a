"""
Try to reach addresses by TCP, once a second; print a line of JSON a round.

Arguments: the number of rounds (0 is for ever), how many datagrams to send beside in each round,
then IPv4 addresses. A port that nobody listens on is tried: a refusal is an answer.
"""

import json
import socket
import sys
import time

PORT = 9
PATIENCE_SECONDS = 0.8
PERIOD_SECONDS = 1.0


def answers(address: str) -> bool:
    """Whether anything comes back from *address* in time."""
    try:
        socket.create_connection((address, PORT), PATIENCE_SECONDS).close()
    except ConnectionRefusedError:
        return True
    except OSError:
        return False
    return True


def send(datagrams: int, address: str) -> None:
    """Send so many to *address*, for the kernel there to count."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one:
        for _ in range(datagrams):
            one.sendto(b"k2chaos", (address, PORT))


rounds, datagrams, addresses = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3:]
done = 0
while rounds == 0 or done < rounds:
    began = time.monotonic()
    for address in addresses:
        send(datagrams, address)
    seen = {address: answers(address) for address in addresses}
    print(json.dumps({"at": time.time(), "answered": seen}), flush=True)
    done += 1
    if done != rounds:
        time.sleep(max(0.0, PERIOD_SECONDS - (time.monotonic() - began)))
