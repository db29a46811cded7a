"""What can be set from outside: environment variables, read once at start."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

import lab_bugs

_REGISTRIES = (
    "http://schema-registry-1:8080/apis/ccompat/v7,http://schema-registry-2:8080/apis/ccompat/v7"
)


@dataclass(frozen=True, slots=True)
class UpkeepSettings:
    """How the table is looked after."""

    seconds: float = 30.0
    """Between two looks for snapshots to expire, or files to delete."""
    keep_seconds: float = 600.0
    """How long a snapshot can be read after it was replaced, at least."""
    grace_seconds: float = 900.0
    """How long a file stays after the last snapshot that refers to it went."""
    files: int = 60
    """How many files of one size make a compaction worth while."""
    rows: int = 100_000
    """How many rows a file should have in the end."""
    leave: int = 10
    """How many of the newest files are left alone."""

    @classmethod
    def from_environment(cls, env: Mapping[str, str]) -> Self:
        """
        Read the settings.

        Raises:
            ValueError: A variable does not parse; the message names it.
        """
        return cls(
            seconds=_positive(env, "UPKEEP_SECONDS", cls().seconds),
            keep_seconds=_positive(env, "SNAPSHOTS_KEEP_SECONDS", cls().keep_seconds),
            grace_seconds=_positive(env, "FILES_GRACE_SECONDS", cls().grace_seconds),
            files=_whole(env, "COMPACT_FILES", cls().files, least=2),
            rows=_whole(env, "COMPACT_ROWS", cls().rows, least=1),
            leave=_whole(env, "COMPACT_LEAVE", cls().leave, least=1),
        )


@dataclass(frozen=True, slots=True)
class Settings:
    """The settings of one sink; defaults are those of the lab's network."""

    kafka_bootstrap: str
    topic: str
    dlq_topic: str
    group_id: str
    group_instance_id: str
    registries: tuple[str, ...]
    catalog_uri: str
    s3_endpoint: str
    s3_access_key: str
    s3_secret_key: str
    table: str
    batch_seconds: float
    batch_records: int
    upkeep: UpkeepSettings
    port: int
    log_level: str
    bugs: frozenset[str] = frozenset()

    @classmethod
    def from_environment(cls, env: Mapping[str, str]) -> Self:
        """
        Read the settings.

        Raises:
            ValueError: A variable does not parse or is missing; the message names it.
        """
        topic = env.get("TOPIC", "market.crypto.trades.binance")
        return cls(
            kafka_bootstrap=env.get("KAFKA_BOOTSTRAP", "kafka:29092"),
            topic=topic,
            dlq_topic=env.get("DLQ_TOPIC", f"{topic}.dlq"),
            group_id=env.get("GROUP_ID", "k2-iceberg-writer-crypto-v2"),
            group_instance_id=env.get("GROUP_INSTANCE_ID", "consumer-crypto-1"),
            registries=_urls(env.get("SCHEMA_REGISTRY_URLS", _REGISTRIES)),
            catalog_uri=env.get("CATALOG_URI", "http://iceberg-rest:8181"),
            s3_endpoint=env.get("S3_ENDPOINT", "http://object-store:9000"),
            s3_access_key=_needed(env, "S3_ACCESS_KEY"),
            s3_secret_key=_needed(env, "S3_SECRET_KEY"),
            table=env.get("TABLE", "market_data.trades"),
            batch_seconds=_positive(env, "BATCH_SECONDS", 2.0),
            batch_records=int(_positive(env, "BATCH_RECORDS", 20_000)),
            upkeep=UpkeepSettings.from_environment(env),
            port=int(_positive(env, "PORT", 8080)),
            log_level=env.get("LOG_LEVEL", "INFO").upper(),
            bugs=lab_bugs.seeded("consumer_crypto", env),
        )


def _urls(text: str) -> tuple[str, ...]:
    urls = tuple(part.strip().rstrip("/") for part in text.split(",") if part.strip())
    if not urls:
        message = "SCHEMA_REGISTRY_URLS names no registry"
        raise ValueError(message)
    return urls


def _needed(env: Mapping[str, str], name: str) -> str:
    if value := env.get(name):
        return value
    message = f"{name} is not set"
    raise ValueError(message)


def _positive(env: Mapping[str, str], name: str, default: float) -> float:
    text = env.get(name, str(default))
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < float("inf"):
        message = f"{name} must be a number above 0, not {text!r}"
        raise ValueError(message)
    return value


def _whole(env: Mapping[str, str], name: str, default: int, least: int) -> int:
    value = _positive(env, name, default)
    if value != int(value) or value < least:
        message = f"{name} must be a whole number of at least {least}, not {env[name]!r}"
        raise ValueError(message)
    return int(value)
