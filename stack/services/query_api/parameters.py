"""What can be asked for, and what is refused."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from query_api.trades import Wanted


def _naive_utc(time: datetime) -> datetime:
    """Take a time without zone as UTC."""
    if time.tzinfo is None:
        return time
    try:
        return time.astimezone(UTC).replace(tzinfo=None)
    except OverflowError:
        message = "in UTC this lies beyond the years 1 to 9999"
        raise ValueError(message) from None


Time = Annotated[datetime, AfterValidator(_naive_utc)]
Name = Annotated[str, Field(min_length=1, max_length=64)]


class TradesQuery(BaseModel):
    """Parameters of ``/v1/trades``; one that is not among them is refused."""

    model_config = ConfigDict(extra="forbid")

    symbol: Name | None = Field(None, description="Exact symbol, for example BTCUSDT.")
    exchange: Name | None = Field(None, description="Exact exchange, for example BINANCE.")
    start_time: Time | None = Field(None, description="ISO, UTC if without zone; included.")
    end_time: Time | None = Field(None, description="ISO, UTC if without zone; excluded.")
    limit: int = Field(100, ge=1, le=10_000)
    offset: int = Field(0, ge=0, le=100_000)

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.start_time and self.end_time and self.start_time >= self.end_time:
            message = "start_time must lie before end_time"
            raise ValueError(message)
        return self

    def wanted(self) -> Wanted:
        """Say which rows are meant."""
        return Wanted(self.symbol, self.exchange, _micros(self.start_time), _micros(self.end_time))


class NoQuery(BaseModel):
    """For routes without parameters."""

    model_config = ConfigDict(extra="forbid")


class SnapshotsQuery(BaseModel):
    """Parameters of ``/v1/snapshots``."""

    model_config = ConfigDict(extra="forbid")

    limit: int = Field(100, ge=1, le=1_000)


def _micros(time: datetime | None) -> int | None:
    if time is None:
        return None
    since = time.replace(tzinfo=UTC) - datetime(1970, 1, 1, tzinfo=UTC)
    return (since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds
