"""What can be set from outside: environment variables, read once at start."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

_REGISTRIES = (
    "http://schema-registry-1:8080/apis/ccompat/v7,http://schema-registry-2:8080/apis/ccompat/v7"
)
_LAST_PORT = 65_535


@dataclass(frozen=True, slots=True)
class Settings:
    """The settings of the API; defaults are those of the lab's network."""

    catalog_uri: str
    s3_endpoint: str
    s3_access_key: str
    s3_secret_key: str
    table: str
    kafka_bootstrap: str
    registries: tuple[str, ...]
    api_key: str
    port: int
    log_level: str

    @classmethod
    def from_environment(cls, env: Mapping[str, str]) -> Self:
        """
        Read the settings.

        Raises:
            ValueError: A variable does not parse or is missing; the message names it.
        """
        registries = env.get("SCHEMA_REGISTRY_URLS", _REGISTRIES).split(",")
        return cls(
            catalog_uri=env.get("CATALOG_URI", "http://iceberg-rest:8181"),
            s3_endpoint=env.get("S3_ENDPOINT", "http://object-store:9000"),
            s3_access_key=_needed(env, "S3_ACCESS_KEY"),
            s3_secret_key=_needed(env, "S3_SECRET_KEY"),
            table=env.get("TABLE", "market_data.trades"),
            kafka_bootstrap=env.get("KAFKA_BOOTSTRAP", "kafka:29092"),
            registries=tuple(url.strip().rstrip("/") for url in registries if url.strip()),
            api_key=_needed(env, "API_KEY"),
            port=_port(env.get("PORT", "8000")),
            log_level=env.get("LOG_LEVEL", "INFO").upper(),
        )


def _needed(env: Mapping[str, str], name: str) -> str:
    if value := env.get(name):
        return value
    message = f"{name} is not set"
    raise ValueError(message)


def _port(text: str) -> int:
    if text.isdecimal() and 0 < int(text) <= _LAST_PORT:
        return int(text)
    message = f"PORT must be a port number, not {text!r}"
    raise ValueError(message)
