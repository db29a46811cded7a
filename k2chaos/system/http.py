"""
Everything that speaks HTTP; the only importer of httpx.

Rules: every request has a deadline; a foreign exception is translated here and nowhere else, into
what it means for the judgement (the stage is `StageUnavailable`, or we were `StageBlind`); no
message holds a header, hence no key. Requests go straight to the address of the pipeline file,
never through a proxy of the environment: a measurement through somebody else's proxy measures it.
"""

import functools
import json
import ssl
import time
import weakref
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Self

import certifi
import httpx

from k2chaos.errors import K2ChaosError, StageBlind, StageUnavailable

CONNECT_SECONDS: Final = 2.0
_UNAVAILABLE_BELOW_500: Final = frozenset({408, 425})
_CREDENTIALS: Final = frozenset({401, 403})


@dataclass(frozen=True, slots=True, weakref_slot=True)
class HttpClient:
    """
    One server, over a connection that is kept open. Safe to use from several threads.

    Attributes:
        stage: What the server is to the pipeline; messages name it.
        url: Base URL, before every path.
        seconds: How long one request may take, from its start to the last byte.
        headers: Sent with every request, never shown.
        hint: What to do when the server refuses our credentials.
    """

    stage: str
    url: str
    seconds: float = 5.0
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    hint: str = "check the credentials in the pipeline file"
    _client: httpx.Client = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Open no connection yet: httpx connects at the first request."""
        client = httpx.Client(
            headers=dict(self.headers),
            timeout=httpx.Timeout(self.seconds, connect=min(CONNECT_SECONDS, self.seconds)),
            verify=_tls(),
            trust_env=False,
        )
        object.__setattr__(self, "_client", client)
        weakref.finalize(self, client.close)  # whoever drops it need not remember to close it

    def get_json(
        self,
        path: str,
        params: Mapping[str, str | int] | None = None,
        accept: frozenset[int] = frozenset(),
    ) -> Any:
        """
        GET *path* and decode its JSON.

        Args:
            path: Appended to the base URL; may carry a query of its own.
            params: Further query parameters.
            accept: Statuses beyond 2xx whose JSON body is an answer too.

        Raises:
            StageUnavailable: Refused, timed out, broke off, or answered with a server error.
            StageBlind: Our credentials or our request were refused, or it was not JSON.
        """
        return self._ask("GET", path, params=params, accept=accept)

    def put_json(self, path: str, body: Any) -> Any:
        """PUT *body* as JSON to *path* and decode the answer; raises like `get_json`."""
        return self._ask("PUT", path, body=body)

    def delete_json(self, path: str) -> Any:
        """DELETE *path* and decode the answer; raises like `get_json`."""
        return self._ask("DELETE", path)

    def close(self) -> None:
        """Close the connection."""
        self._client.close()

    def _ask(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, str | int] | None = None,
        body: Any = None,
        accept: frozenset[int] = frozenset(),
    ) -> Any:
        url = httpx.URL(self.url.rstrip("/") + path)
        url = url.copy_merge_params(dict(params)) if params else url
        tried = f"{self.stage}: {method} {url}"
        try:
            response, content = self._exchange(method, url, body)
        except httpx.TimeoutException as error:
            message = f"{tried}: no answer within {self.seconds:g} s"
            raise StageUnavailable(message, "timeout") from error
        except httpx.ConnectError as error:
            message = f"{tried}: cannot connect ({error}); is the service running?"
            raise StageUnavailable(message, "refused") from error
        except httpx.TransportError as error:
            message = f"{tried}: the connection broke ({error})"
            raise StageUnavailable(message, "broken") from error
        if not response.is_success and response.status_code not in accept:
            self._refuse(tried, response.status_code, content)
        return _decode(tried, content)

    def _exchange(self, method: str, url: httpx.URL, body: Any) -> tuple[httpx.Response, bytes]:
        """
        One request, read to its end within the deadline.

        httpx limits each read; a server that dribbles would never end, so the sum is limited too.
        """
        deadline = time.monotonic() + self.seconds
        chunks = []
        with self._client.stream(method, url, json=body) as response:
            for chunk in response.iter_bytes():
                chunks.append(chunk)
                if time.monotonic() > deadline:
                    message = "the answer was still coming"
                    raise httpx.ReadTimeout(message)
        return response, b"".join(chunks)

    def _refuse(self, tried: str, status: int, content: bytes) -> None:
        said = " ".join(content[:200].decode("utf-8", "replace").split())
        if status in _CREDENTIALS:
            message = f"{tried}: our credentials were refused (status {status}): {self.hint}"
            raise StageBlind(message, "credentials")
        message = f"{tried}: status {status}: {said}"
        if status >= httpx.codes.INTERNAL_SERVER_ERROR or status in _UNAVAILABLE_BELOW_500:
            raise StageUnavailable(message, f"status {status}")
        message += "; does the pipeline file name the right URL and paths?"
        raise StageBlind(message, f"status {status}")


def _decode(tried: str, content: bytes) -> Any:
    try:
        return json.loads(content)
    except ValueError as error:
        message = f"{tried}: the answer is not JSON; does the pipeline file name the right URL?"
        raise StageBlind(message, "undecodable") from error


@functools.cache
def _tls() -> ssl.SSLContext:
    """The platform's trust store; OpenSSL itself honours ``SSL_CERT_FILE`` (a corporate CA)."""
    return ssl.create_default_context()


class DownloadFailed(K2ChaosError):
    """
    A file could not be fetched to its end.

    Attributes:
        passing: Whether another attempt may well succeed.
    """

    def __init__(self, message: str, *, passing: bool) -> None:
        """Keep apart what another attempt may heal."""
        super().__init__(message)
        self.passing = passing


class Download:
    """
    One file of the wide world, streamed: unlike a stage, fetched as the environment says.

    Proxies are honoured, redirects followed, and the host's CA bundle is trusted beside the one
    that comes with certifi.
    """

    def __init__(self, url: str, trust: Path) -> None:
        """Fetch *url*; *trust* is a CA bundle that is trusted too."""
        context = ssl.create_default_context(cafile=certifi.where())
        context.load_verify_locations(cafile=trust)
        self._url = url
        self._client = httpx.Client(
            verify=context,
            follow_redirects=True,
            timeout=30.0,
            headers={"accept-encoding": "identity"},
        )
        self._response: httpx.Response | None = None

    def __enter__(self) -> Self:
        """Ask for the file and read the head of the answer."""
        try:
            self._response = self._ask()
        except httpx.HTTPError as error:
            self._client.close()
            message = f"{self._url}: {error}"
            raise DownloadFailed(message, passing=True) from error
        except DownloadFailed:
            self._client.close()
            raise
        return self

    def _ask(self) -> httpx.Response:
        response = self._client.send(self._client.build_request("GET", self._url), stream=True)
        if not response.is_success:
            response.close()
            passing = response.status_code >= httpx.codes.INTERNAL_SERVER_ERROR
            message = f"{self._url}: status {response.status_code}"
            raise DownloadFailed(message, passing=passing)
        return response

    def __exit__(self, *_: object) -> None:
        """Close the connection."""
        if self._response is not None:
            self._response.close()
        self._client.close()

    @property
    def total(self) -> int:
        """Its size in bytes; 0 where the server does not say."""
        return int(self._response.headers.get("content-length", 0)) if self._response else 0

    def chunks(self) -> Iterator[bytes]:
        """Its bytes, as they arrive."""
        assert self._response is not None, "used as a context manager"
        try:
            yield from self._response.iter_raw()
        except httpx.HTTPError as error:
            message = f"{self._url}: broke off ({error})"
            raise DownloadFailed(message, passing=True) from error
