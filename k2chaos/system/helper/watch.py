"""
Try to reach addresses by TCP, once a second; print a line of JSON a round.

Arguments: the number of rounds (0 is for ever), the seconds to wait for an answer, how many
datagrams to send beside in each round, then IPv4 addresses. A port that nobody listens on is tried:
a refusal is an answer. The line has the milliseconds that each answer took, or null for none.
"""

import json
import socket
import sys
import time

PORT = 9
PERIOD_SECONDS = 1.0


def round_trip_ms(address: str, patience_seconds: float) -> float | None:
    """How long *address* took to answer; ``None`` where nothing came back in time."""
    began = time.monotonic()
    try:
        socket.create_connection((address, PORT), patience_seconds).close()
    except ConnectionRefusedError:
        pass
    except OSError:
        return None
    return round((time.monotonic() - began) * 1000, 2)


def send(datagrams: int, address: str) -> None:
    """Send so many to *address*, for the kernel there to count."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one:
        for _ in range(datagrams):
            one.sendto(b"k2chaos", (address, PORT))


rounds, patience_seconds, datagrams = int(sys.argv[1]), float(sys.argv[2]), int(sys.argv[3])
addresses = sys.argv[4:]
done = 0
while rounds == 0 or done < rounds:
    began = time.monotonic()
    for address in addresses:
        send(datagrams, address)
    took = {address: round_trip_ms(address, patience_seconds) for address in addresses}
    print(json.dumps({"at": time.time(), "answered_ms": took}), flush=True)
    done += 1
    if done != rounds:
        time.sleep(max(0.0, PERIOD_SECONDS - (time.monotonic() - began)))
