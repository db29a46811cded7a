"""The operator's side of the exchange: health, rate, faults, and the ledger of what was emitted.

The ledger is what the whole pipeline is judged against. It is answered between two ticks, so
it is never half of one.
"""

import logging
import math
import time
from collections.abc import Sequence
from pathlib import Path

import orjson
from aiohttp import web

from exchange.bursts import Bursts
from exchange.faults import Faults, TagUsedError
from exchange.history import BeyondRetentionError, History, Mark
from exchange.market import Market
from exchange.orders import BadOrderError, read_order
from exchange.retained import Retained
from exchange.settings import MAX_RATE, Settings
from exchange.subscribers import Subscribers
from exchange.tape import Tape

log = logging.getLogger(__name__)

# The market comes round four times a second at least.
_HANGING_SECONDS = 2.0
_RATE_FILE = "rate.json"
_FIELD = "trades_per_second"
# What a subscriber can take at once without being cut off.
MAX_ORDER = 10_000


def stored_rate(state: Path, default: float) -> float:
    """Return the rate last set through the control port, or *default* if none was."""
    try:
        return checked_rate((state / _RATE_FILE).read_bytes())
    except FileNotFoundError:
        return default
    except (OSError, ValueError) as error:
        log.error("%s is not used: %s", _RATE_FILE, error)
        return default


def checked_rate(body: bytes) -> float:
    """Read a rate from JSON, or raise `ValueError` saying what is wrong with it."""
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        message = f"not JSON: {error}"
        raise ValueError(message) from None
    value = document.get(_FIELD) if isinstance(document, dict) else None
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        message = f'expected {{"{_FIELD}": number}}'
        raise ValueError(message)
    if not 0 <= value <= MAX_RATE:
        message = f"{_FIELD} must be within 0..{MAX_RATE:g}, not {value:g}"
        raise ValueError(message)
    return float(value)


def checked_order(body: bytes, traded: Sequence[str]) -> tuple[int, tuple[str, ...]]:
    """Read how many trades of which symbols are wanted, or raise `ValueError` saying what is wrong.

    Without ``symbols`` all of those *traded* are meant.
    """
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        message = f"not JSON: {error}"
        raise ValueError(message) from None
    if not isinstance(document, dict) or document.keys() - {"count", "symbols"}:
        message = 'expected {"count": number, "symbols": [...]}'
        raise ValueError(message)
    count, symbols = document.get("count"), document.get("symbols", list(traded))
    if type(count) is not int or not 1 <= count <= MAX_ORDER:
        message = f"count must be a whole number within 1..{MAX_ORDER}"
        raise ValueError(message)
    if not isinstance(symbols, list) or not symbols or any(one not in traded for one in symbols):
        message = f"symbols must be some of {', '.join(traded)}"
        raise ValueError(message)
    return count, tuple(dict.fromkeys(symbols))


class Control:
    """The routes of the control port."""

    def __init__(
        self,
        settings: Settings,
        tape: Tape,
        market: Market,
        subscribers: Subscribers,
        bugs: frozenset[str] = frozenset(),
        faults: Faults | None = None,
    ) -> None:
        """Speak for *market* and *tape*; the rate is kept where the settings keep state."""
        self._faults = Faults() if faults is None else faults
        self._seed = settings.seed
        self._state = settings.state
        self._bugs = bugs
        self._tape = tape
        self._market = market
        self._bursts = Bursts(self._faults, market)
        self._subscribers = subscribers
        self._retained = Retained(settings.seed, tape)

    def application(self) -> web.Application:
        """Return the routes of the control port."""
        application = web.Application()
        application.router.add_get("/health", self._health)
        application.router.add_get("/rate", self._get_rate)
        application.router.add_put("/rate", self._put_rate)
        application.router.add_post("/trades", self._emit)
        application.router.add_get("/trades", self._retained.trades)
        application.router.add_get("/ledger", self._ledger)
        application.router.add_get("/faults", self._list_faults)
        application.router.add_get("/faults/{tag}", self._get_fault)
        application.router.add_put("/faults/{tag}", self._place_fault)
        application.router.add_delete("/faults/{tag}", self._take_fault_back)
        return application

    async def _health(self, _: web.Request) -> web.Response:
        market = self._market
        reason = self._trouble()
        state: dict[str, object] = {
            "status": "unhealthy" if reason else "healthy",
            "reason": reason,
            "rate": market.rate,
            "clients": len(self._subscribers),
            "clients_cut_off": self._subscribers.cut_off,
            "emitted_since_start": market.emitted,
            "stalls_since_start": market.stalls,
            "bugs": sorted(self._bugs),
        }
        return _json(state, 503 if reason else 200)

    def _trouble(self) -> str | None:
        market = self._market
        if market.tape_error is not None:
            return f"the tape cannot be written: {market.tape_error}"
        if market.idle_seconds > _HANGING_SECONDS:
            return f"the market has been hanging for {market.idle_seconds:.1f} s"
        return None

    async def _get_rate(self, _: web.Request) -> web.Response:
        return _json({_FIELD: self._market.rate})

    async def _put_rate(self, request: web.Request) -> web.Response:
        try:
            rate = checked_rate(await request.read())
        except ValueError as error:
            return _json({"reason": str(error)}, 400)
        try:
            self._store_rate(rate)
        except OSError as error:
            return _json({"reason": f"the rate cannot be kept: {error}"}, 503)
        log.info("rate: %g -> %g trades/s", self._market.rate, rate)
        self._market.rate = rate
        return _json({_FIELD: rate})

    async def _emit(self, request: web.Request) -> web.Response:
        """Emit an exact number of trades now: `{"count": 24, "symbols": ["BTCUSDT"]}`."""
        try:
            count, symbols = checked_order(await request.read(), self._market.symbols)
        except ValueError as error:
            return _json({"reason": str(error)}, 400)
        try:
            rows = self._market.emit(count, symbols)
        except OSError as error:
            return _json({"reason": f"the tape cannot be written: {error}"}, 503)
        log.info("emitted %d trades on demand", count)
        ids = {
            row.symbol: {"first_id": row.first_id, "last_id": row.first_id + row.trades - 1}
            for row in rows
        }
        return _json({"count": count, "symbols": ids})

    def _store_rate(self, rate: float) -> None:
        aside = self._state / f"{_RATE_FILE}.aside"
        aside.write_bytes(orjson.dumps({_FIELD: rate}))
        aside.replace(self._state / _RATE_FILE)

    async def _list_faults(self, _: web.Request) -> web.Response:
        self._bursts.count()
        return _json(self._faults.report())

    async def _get_fault(self, request: web.Request) -> web.Response:
        self._bursts.count()
        report = self._faults.report_one(tag := request.match_info["tag"])
        return _json(report or {"reason": f"no order has the tag {tag}"}, 200 if report else 404)

    async def _place_fault(self, request: web.Request) -> web.Response:
        tag = request.match_info["tag"]
        try:
            order = read_order(await request.read(), time.time_ns() // 1_000_000)
            self._bursts.check(tag, order)
            self._faults.place(tag, order)
        except BadOrderError as error:
            return _json({"reason": str(error)}, 400)
        except TagUsedError as error:
            return _json({"reason": str(error)}, 409)
        return _json(self._faults.report_one(tag))

    async def _take_fault_back(self, request: web.Request) -> web.Response:
        self._faults.take_back(tag := request.match_info["tag"])
        return _json(self._faults.report_one(tag))

    async def _ledger(self, request: web.Request) -> web.Response:
        text = request.query.get("at_ms")
        try:
            at_ms = None if text is None else int(text)
        except ValueError:
            return _json({"reason": f"at_ms={text!r} is not a whole number"}, 400)
        try:
            symbols = {
                symbol: _entry(history, history.newest if at_ms is None else history.as_of(at_ms))
                for symbol, history in sorted(self._tape.histories())
            }
        except BeyondRetentionError as error:
            return _json({"reason": f"the tape does not reach back that far: {error}"}, 410)
        now_ms = time.time_ns() // 1_000_000
        return _json({"schema": 1, "seed": self._seed, "now_ms": now_ms, "symbols": symbols})


def _entry(history: History, mark: Mark) -> dict[str, object]:
    return {
        "first_id": 1,
        "last_id": mark.last_id,
        "last_time_ms": mark.last_ms,
        "retained_from_id": history.retained_from_id,
        "retained_from_time_ms": history.retained_from_ms,
    }


def _json(value: object, status: int = 200) -> web.Response:
    return web.Response(status=status, body=orjson.dumps(value), content_type="application/json")
