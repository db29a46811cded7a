"""
A real HTTP server on 127.0.0.1 with replaceable answers.

The clients under test talk to it over real sockets; what it answers is decided by a function of
the request, and it can be told to hang, to break off, or to be gone.
"""

import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, urlsplit


@dataclass(frozen=True, slots=True)
class Request:
    """What a client sent."""

    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        """The body, decoded."""
        return json.loads(self.body)


Answer = tuple[int, Any]
"""Status and body: bytes as they are, anything else as JSON."""


@dataclass(slots=True)
class FakeServer:
    """
    One server and what it was asked.

    Attributes:
        answer: From a request to its answer; may be replaced at any time.
        hang_seconds: How long to wait before every answer.
        dribble_seconds: How long to wait between the bytes of an answer.
    """

    answer: Callable[[Request], Answer]
    hang_seconds: float = 0.0
    dribble_seconds: float = 0.0
    break_off: bool = False
    requests: list[Request] = field(default_factory=list)
    connections: int = 0
    url: str = ""


def _handler(server: FakeServer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def setup(self) -> None:
            super().setup()
            server.connections += 1

        def respond(self) -> None:
            parts = urlsplit(self.path)
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            headers = {name.lower(): value for name, value in self.headers.items()}
            query = dict(parse_qsl(parts.query))
            request = Request(self.command, parts.path, query, headers, body)
            server.requests.append(request)
            time.sleep(server.hang_seconds)
            if server.break_off:
                self.close_connection = True
                self.connection.shutdown(socket.SHUT_RDWR)
                return
            self.send(*server.answer(request))

        def send(self, status: int, answer: Any) -> None:
            content = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            if self.command == "HEAD":
                return
            step = 1 if server.dribble_seconds else max(1, len(content))
            for start in range(0, len(content), step):
                self.wfile.write(content[start : start + step])
                self.wfile.flush()
                time.sleep(server.dribble_seconds)

        do_GET = do_PUT = do_POST = do_HEAD = do_DELETE = respond  # noqa: N815 - http.server's names

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    return Handler


class _Quiet(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *_: object) -> None:
        """A client that went away is no news."""


@contextmanager
def serving(answer: Callable[[Request], Answer]) -> Iterator[FakeServer]:
    """Serve *answer* on a free port until the block ends."""
    fake = FakeServer(answer)
    httpd = _Quiet(("127.0.0.1", 0), _handler(fake))
    fake.url = f"http://127.0.0.1:{httpd.server_address[1]}"
    thread = threading.Thread(target=httpd.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield fake
    finally:
        httpd.shutdown()
        httpd.server_close()


@contextmanager
def refusing() -> Iterator[str]:
    """A URL at which nobody listens."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{held.getsockname()[1]}"


@contextmanager
def silent() -> Iterator[str]:
    """``host:port`` of a listener that accepts and never says a word: a frozen process."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        held.listen(16)
        yield f"127.0.0.1:{held.getsockname()[1]}"
