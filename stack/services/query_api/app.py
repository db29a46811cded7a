"""The routes: who may ask, what may be asked, and how a refusal looks."""

from __future__ import annotations

import hmac
import logging
from collections.abc import Awaitable, Callable
from http import HTTPStatus
from typing import Annotated

from fastapi import APIRouter, Depends, FastAPI, Query, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from fastapi.security import APIKeyHeader
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from starlette.exceptions import HTTPException

from query_api import answers
from query_api.metrics import Measured
from query_api.parameters import NoQuery, SnapshotsQuery, TradesQuery
from query_api.refusals import Code, RefusedError
from query_api.service import VERSION, Service
from query_api.view import Answer

_log = logging.getLogger(__name__)
_JSON = "application/json"
_FAULTS_TOLD = 10
_FAULT_CHARACTERS = 200
"""A refusal that names every fault of a huge query would be as huge."""
_key_header = APIKeyHeader(name="X-API-Key", auto_error=False)


def create_app(service: Service, api_key: str) -> FastAPI:
    """Make the application that answers with *service* whoever knows *api_key*."""
    app = FastAPI(title="K2 query API", version=VERSION)
    app.add_middleware(Measured)
    app.include_router(_trades_routes(service, api_key))
    _add_open_routes(app, service)
    _add_refusals(app)
    return app


def _id(request: Request) -> str:
    known: str | None = getattr(request.state, "correlation_id", None)
    if known is None:
        known = request.state.correlation_id = answers.correlation_id()
    return known


async def _id_of(request: Request) -> str:
    # Async, for FastAPI calls what is not from a thread: that would cost more than all the rest.
    return _id(request)


CorrelationId = Annotated[str, Depends(_id_of)]


def _told(answer: Answer) -> Response:
    return Response(answer.body, headers=answer.standing.headers(), media_type=_JSON)


def _guard(api_key: str) -> Callable[[str | None], Awaitable[None]]:
    expected = api_key.encode()

    async def check(given: Annotated[str | None, Depends(_key_header)]) -> None:
        if not given:
            reason = "the header X-API-Key is missing"
            raise RefusedError(Code.NO_KEY, reason)
        if not hmac.compare_digest(given.encode(), expected):
            raise RefusedError(Code.WRONG_KEY, "this X-API-Key is not valid")

    return check


def _trades_routes(service: Service, api_key: str) -> APIRouter:
    router = APIRouter(prefix="/v1", dependencies=[Depends(_guard(api_key))])

    @router.get("/trades", summary="Trades, newest first")
    async def trades(query: Annotated[TradesQuery, Query()], this: CorrelationId) -> Response:
        """
        Trades by (timestamp, symbol, source_sequence), newest first.

        From `start_time` (included) to `end_time` (excluded). A symbol or exchange the table never
        had is 404; `total` is null only while the table's history is still being counted.

        `meta` says which snapshot this is, `as_of` when that was last known to be the current one,
        and how many seconds ago that was; so does the header `Age`. If it is too long ago, for the
        catalog or the store is away, `degraded` is true, with a `reason`, and `X-Degraded` too.
        """
        return _told(await service.trades(query, this))

    @router.get("/symbols", summary="Every symbol the table has")
    async def symbols(_: Annotated[NoQuery, Query()], this: CorrelationId) -> Response:
        """Symbols with the number of their trades, and the times of the first and the last."""
        return _told(service.symbols(this))

    @router.get("/stats", summary="The table in numbers")
    async def stats(_: Annotated[NoQuery, Query()], this: CorrelationId) -> Response:
        """Trades, symbols, files, and the age of the newest trade."""
        return _told(service.stats(this))

    @router.get("/snapshots", summary="The table's history")
    async def snapshots(query: Annotated[SnapshotsQuery, Query()], this: CorrelationId) -> Response:
        """Snapshots, newest first."""
        return _told(await service.snapshots(query.limit, this))

    return router


def _add_open_routes(app: FastAPI, service: Service) -> None:
    @app.get("/health", summary="How this service and those it needs are doing")
    async def health() -> Response:
        """
        `healthy`; `degraded`: a dependency is away, or the newest data may not be known, and
        answers say how old they are; `unhealthy` (503): there is no data to answer with, and why.
        """
        status, body = service.health()
        return Response(body, status, media_type=_JSON)

    @app.get("/metrics", summary="For Prometheus")
    async def metrics() -> Response:
        """Requests by route and status, their time, the age of the data."""
        service.gauge()
        return Response(generate_latest(), media_type=CONTENT_TYPE_LATEST)


def _add_refusals(app: FastAPI) -> None:
    def refusal(request: Request, status: int, code: str, reason: str) -> Response:
        headers = {"Retry-After": "2"} if status == HTTPStatus.SERVICE_UNAVAILABLE else None
        return JSONResponse(answers.problem(code, reason, _id(request)), status, headers)

    @app.exception_handler(RefusedError)
    async def refused(request: Request, error: RefusedError) -> Response:
        return refusal(request, error.code.status, error.code, str(error))

    @app.exception_handler(RequestValidationError)
    async def invalid(request: Request, error: RequestValidationError) -> Response:
        faults = [f"{'.'.join(map(str, one['loc'][1:]))}: {one['msg']}" for one in error.errors()]
        told = [fault[:_FAULT_CHARACTERS] for fault in faults[:_FAULTS_TOLD]]
        if len(faults) > _FAULTS_TOLD:
            told.append(f"and {len(faults) - _FAULTS_TOLD} more")
        status = HTTPStatus.UNPROCESSABLE_ENTITY
        return refusal(request, status, "bad-parameter", "; ".join(told))

    @app.exception_handler(HTTPException)
    async def unknown(request: Request, error: HTTPException) -> Response:
        return refusal(request, error.status_code, "http", str(error.detail))

    @app.exception_handler(Exception)
    async def unforeseen(request: Request, error: Exception) -> Response:
        _log.error("%s %s failed", request.method, request.url.path, exc_info=error)
        status = HTTPStatus.INTERNAL_SERVER_ERROR
        return refusal(request, status, "unforeseen", type(error).__name__)
