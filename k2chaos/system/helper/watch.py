"""
Try how addresses answer, once a second; print a line of JSON a round.

Arguments: the number of rounds (0 is for ever), the way to try (one of `WAYS`), its own arguments
as a JSON object, then IPv4 addresses. What each way returns has ``answered_ms``: after how many
milliseconds the answer came, null for none.
"""

import contextlib
import json
import random
import socket
import struct
import sys
import time
from collections.abc import Callable
from typing import Any

PORT = 9
"""Nobody listens there: a refusal is an answer."""
ECHO_REQUEST, ECHO_REPLY = 8, 0
HEADERS_BYTES = 28
"""Of IP and ICMP."""
DNS_PORT = 53
PTR = 12
RECEIVE_BUFFER_BYTES = 2**22
PERIOD_SECONDS = 1.0

_kept: dict[str, socket.socket] = {}
_resets: dict[str, list[float]] = {}


def knock(address: str, patience_seconds: float, datagrams: int = 0) -> dict[str, Any]:
    """Open a connection that is refused; *datagrams* are sent beside, for a kernel to count."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one:
        for _ in range(datagrams):
            with contextlib.suppress(OSError):  # a rule in this namespace may drop it
                one.sendto(b"k2chaos", (address, PORT))
    began = time.monotonic()
    try:
        socket.create_connection((address, PORT), patience_seconds).close()
    except ConnectionRefusedError:
        pass
    except OSError:
        return {"answered_ms": None}
    return {"answered_ms": _since_ms(began)}


def echo(address: str, patience_seconds: float, port: int) -> dict[str, Any]:
    """Open a connection to an echo service, and say something."""
    began = time.monotonic()
    accepted = None
    try:
        with socket.create_connection((address, port), patience_seconds) as one:
            accepted = _since_ms(began)
            _say(one)
    except (OSError, EOFError):
        return {"accepted_ms": accepted, "answered_ms": None}
    return {"accepted_ms": accepted, "answered_ms": _since_ms(began)}


def keep(address: str, patience_seconds: float, port: int) -> dict[str, Any]:
    """Say something over a connection that is kept from one time to the next."""
    began = time.monotonic()
    resets = _resets.setdefault(address, [])
    answered = None
    try:
        if address not in _kept:
            _kept[address] = socket.create_connection((address, port), patience_seconds)
        _say(_kept[address])
        answered = _since_ms(began)
    except (ConnectionResetError, BrokenPipeError):
        resets.append(time.monotonic())
        _kept.pop(address).close()
    except (OSError, EOFError):
        if address in _kept:
            _kept.pop(address).close()
    ago = round(time.monotonic() - resets[-1], 2) if resets else None
    return {"answered_ms": answered, "resets": len(resets), "reset_seconds_ago": ago}


def ping(
    address: str, patience_seconds: float, count: int, size_bytes: int, gap_ms: float = 0.0
) -> dict[str, Any]:
    """
    Send *count* ICMP echo requests of *size_bytes* (headers included), one each *gap_ms*.

    Of the replies: how many, how many that had come before, how many that a later one has
    overtaken, and how fast they came (``null`` for fewer than two).
    """
    identity = random.getrandbits(16)  # several watchers may be in one namespace
    came: list[tuple[int, float]] = []
    with socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP) as one:
        one.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER_BYTES)
        one.connect((address, 0))
        one.settimeout(0.0)
        sent_at = []
        for number in range(count):
            sent_at.append(time.monotonic())
            with contextlib.suppress(OSError):  # a rule in this namespace may drop it
                one.send(_request(identity, number, size_bytes))
            _receive(one, identity, came, sent_at[-1] + gap_ms / 1000)
        _receive(one, identity, came, time.monotonic() + patience_seconds, count)
    return _told(came, sent_at, size_bytes)


def resolve(address: str, patience_seconds: float, of: str) -> dict[str, Any]:
    """Ask the resolver at *address* for the name of the IPv4 address *of*; any reply answers."""
    labels = [*reversed(of.split(".")), "in-addr", "arpa"]
    name = b"".join(bytes([len(label)]) + label.encode() for label in labels) + b"\0"
    query = struct.pack("!HHHHHH", random.getrandbits(16), 0x0100, 1, 0, 0, 0) + name
    began = time.monotonic()
    try:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one:
            one.settimeout(patience_seconds)
            one.connect((address, DNS_PORT))
            one.send(query + struct.pack("!HH", PTR, 1))
            one.recv(512)
    except OSError:
        return {"answered_ms": None}
    return {"answered_ms": _since_ms(began)}


WAYS: dict[str, Callable[..., dict[str, Any]]] = {
    one.__name__: one for one in (knock, echo, keep, ping, resolve)
}


def _since_ms(began: float) -> float:
    return round((time.monotonic() - began) * 1000, 2)


def _say(one: socket.socket) -> None:
    """`OSError` where the echo does not come back, `EOFError` where the other end has closed."""
    one.sendall(b"k2chaos")
    if not one.recv(1024):
        raise EOFError


def _request(identity: int, number: int, size_bytes: int) -> bytes:
    body = b"k" * (size_bytes - HEADERS_BYTES)
    unsummed = struct.pack("!BBHHH", ECHO_REQUEST, 0, 0, identity, number) + body
    total = sum(struct.unpack(f"!{len(unsummed) // 2}H", unsummed[: len(unsummed) // 2 * 2]))
    total += (unsummed[-1] << 8) if len(unsummed) % 2 else 0
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return struct.pack("!BBHHH", ECHO_REQUEST, 0, ~total & 0xFFFF, identity, number) + body


def _receive(
    one: socket.socket, identity: int, came: list[tuple[int, float]], until: float, enough: int = 0
) -> None:
    """Add the replies that come until then; with *enough* only until all of that many did."""
    while True:
        left = until - time.monotonic()
        if enough and len({number for number, _ in came}) >= enough:
            left = min(left, 0.02)  # for what comes twice
        one.settimeout(max(0.0, left))
        try:
            packet = one.recv(65_535)
        except (BlockingIOError, TimeoutError):
            return
        except OSError:
            continue  # what ICMP says of a packet of before
        kind, _, _, of, number = struct.unpack("!BBHHH", packet[20:28])
        if (kind, of) == (ECHO_REPLY, identity):
            came.append((number, time.monotonic()))


def _told(came: list[tuple[int, float]], sent_at: list[float], size_bytes: int) -> dict[str, Any]:
    newest, seen, twice, overtaken = -1, set[int](), 0, 0
    for number, _ in came:
        twice += number in seen
        overtaken += number not in seen and number < newest
        seen.add(number)
        newest = max(newest, number)
    lasted = came[-1][1] - came[0][1] if came else 0.0
    rate = (len(came) - 1) * size_bytes / lasted if lasted else None
    first_ms = min((1000 * (at - sent_at[number]) for number, at in came), default=None)
    return {
        "answered_ms": first_ms and round(first_ms, 2),
        "pings": len(sent_at),
        "answered": len(seen),
        "twice": twice,
        "overtaken": overtaken,
        "bytes_per_second": rate and round(rate),
    }


rounds, way, how = int(sys.argv[1]), WAYS[sys.argv[2]], json.loads(sys.argv[3])
done = 0
while rounds == 0 or done < rounds:
    began = time.monotonic()
    saw = {address: way(address, **how) for address in sys.argv[4:]}
    print(json.dumps({"at": time.time(), "saw": saw}), flush=True)
    done += 1
    if done != rounds:
        time.sleep(max(0.0, PERIOD_SECONDS - (time.monotonic() - began)))
