"""The schema registries: several addresses of one truth, asked in turn until one answers."""

import asyncio
import logging
from collections.abc import Callable
from typing import Any

import aiohttp
import orjson

from binance_stream.backoff import Backoff

log = logging.getLogger(__name__)

_TIMEOUT = aiohttp.ClientTimeout(total=5, sock_connect=2)
_CONTENT = {"Content-Type": "application/vnd.schemaregistry.v1+json"}
_NOT_FOUND = 404


class RegistryError(Exception):
    """No registry gave a usable answer; the text says what each of them did."""


class Registry:
    """What the source needs of a Confluent-compatible registry."""

    def __init__(self, session: aiohttp.ClientSession, urls: tuple[str, ...]) -> None:
        """Ask *urls* in this order, but first the one that answered last."""
        self._session = session
        self._urls = list(urls)

    async def register(self, subject: str, schema: str, say: Callable[[str], None]) -> int:
        """Return the id of *schema* under *subject*, made BACKWARD compatible; never gives up.

        *say* is told why it takes longer, as long as it does.
        """
        backoff = Backoff(0.2, 5.0)
        while True:
            try:
                return await self._register(subject, schema)
            except RegistryError as error:
                say(f"schema registry: {error}")
                log.warning("schema registry: %s", error)
            await asyncio.sleep(backoff.next_delay())

    async def schema(self, schema_id: int) -> str | None:
        """Return the text of a schema, `None` if there is none of this id."""
        answer = await self._ask("GET", f"/schemas/ids/{schema_id}", None)
        return None if answer is None else str(answer["schema"])

    async def _register(self, subject: str, schema: str) -> int:
        answer = await self._ask("POST", f"/subjects/{subject}/versions", {"schema": schema})
        if answer is None or not isinstance(answer.get("id"), int):
            message = f"no id for {subject}: {answer!r:.200}"
            raise RegistryError(message)
        # After the first version: a registry knows no configuration of a subject without any.
        await self._ask("PUT", f"/config/{subject}", {"compatibility": "BACKWARD"})
        schema_id: int = answer["id"]
        return schema_id

    async def _ask(self, method: str, path: str, body: object) -> dict[str, Any] | None:
        failures = []
        for url in tuple(self._urls):
            try:
                answer = await self._ask_one(method, url + path, body)
            except (aiohttp.ClientError, TimeoutError, ValueError, RegistryError) as error:
                failures.append(f"{url}: {type(error).__name__} {error!s:.200}")
            else:
                self._urls.sort(key=lambda each: each != url)
                return answer
        raise RegistryError("; ".join(failures))

    async def _ask_one(self, method: str, url: str, body: object) -> dict[str, Any] | None:
        data = None if body is None else orjson.dumps(body)
        async with self._session.request(
            method, url, data=data, headers=_CONTENT, timeout=_TIMEOUT
        ) as response:
            text = await response.read()
            if response.status == _NOT_FOUND:
                return None
            if not response.ok:
                message = f"HTTP {response.status} {text[:200]!r}"
                raise RegistryError(message)
            answer = orjson.loads(text)
            if not isinstance(answer, dict):
                message = f"not an object: {text[:200]!r}"
                raise RegistryError(message)
            return answer
