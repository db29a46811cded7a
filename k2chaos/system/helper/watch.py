"""
Try to reach addresses by TCP, once a second; print a line of JSON a round.

Arguments: the number of rounds (0 is for ever), then IPv4 addresses. A port that nobody listens on
is tried: a refusal is an answer, silence is none.
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


rounds, addresses = int(sys.argv[1]), sys.argv[2:]
done = 0
while rounds == 0 or done < rounds:
    began = time.monotonic()
    seen = {address: answers(address) for address in addresses}
    print(json.dumps({"at": time.time(), "answered": seen}), flush=True)
    done += 1
    if done != rounds:
        time.sleep(max(0.0, PERIOD_SECONDS - (time.monotonic() - began)))
