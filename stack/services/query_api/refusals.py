"""Why there is no answer, and with which HTTP status that is said."""

from __future__ import annotations

from enum import StrEnum
from http import HTTPStatus
from typing import Self


class Code(StrEnum):
    """The kinds of refusal, each with its HTTP status."""

    NO_KEY = "no-key", HTTPStatus.UNAUTHORIZED
    WRONG_KEY = "wrong-key", HTTPStatus.FORBIDDEN
    UNKNOWN_SYMBOL = "unknown-symbol", HTTPStatus.NOT_FOUND
    NO_DATA = "no-data", HTTPStatus.SERVICE_UNAVAILABLE
    STALE = "stale", HTTPStatus.SERVICE_UNAVAILABLE
    NOT_READY = "not-ready", HTTPStatus.SERVICE_UNAVAILABLE
    BUSY = "busy", HTTPStatus.SERVICE_UNAVAILABLE
    TOO_SLOW = "too-slow", HTTPStatus.SERVICE_UNAVAILABLE
    STORE = "store", HTTPStatus.SERVICE_UNAVAILABLE
    CATALOG = "catalog", HTTPStatus.SERVICE_UNAVAILABLE

    status: HTTPStatus

    def __new__(cls, value: str, status: HTTPStatus) -> Self:
        """Make a member that is its text, and knows its status."""
        member = str.__new__(cls, value)
        member._value_ = value
        member.status = status
        return member


class RefusedError(Exception):
    """There is no answer; ``code`` says of which kind the reason is."""

    def __init__(self, code: Code, reason: str) -> None:
        """Refuse for *reason*."""
        super().__init__(reason)
        self.code = code
