"""Every error as RFC 9457 asks for: `application/problem+json` with a stable `code` and the request's id."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any

import orjson
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Match

from s3import.core.errors import (
    AccountNotFound,
    AccountPurged,
    DatabaseMisconfigured,
    DatabaseRefused,
    InvalidRequest,
    PassNotFinished,
    RecentPassFirst,
    ResetUnfinished,
    RunIsAlive,
    RunNotFound,
    S3ImportError,
    SchemaMismatch,
    SchemaTooNew,
    SourceNotAllowed,
    TemporaryFailure,
    printable,
)
from s3import.core.explanations import explanations

MEDIA_TYPE = "application/problem+json"
MAX_FAULTS = 20  # named in one answer

log = logging.getLogger(__name__)

_STATUSES: tuple[tuple[type[S3ImportError], int], ...] = (
    (SourceNotAllowed, 403),
    (RunNotFound, 404),
    (AccountNotFound, 404),
    (RecentPassFirst, 409),
    (PassNotFinished, 409),
    (AccountPurged, 409),
    (ResetUnfinished, 409),
    (RunIsAlive, 409),
    (InvalidRequest, 422),
    (TemporaryFailure, 503),
    (DatabaseRefused, 503),
    (DatabaseMisconfigured, 503),
    (SchemaMismatch, 503),
    (SchemaTooNew, 503),
)
_CODES = {404: "not_found", 405: "method_not_allowed", 500: "internal_error"}
_OUR_FAULT = {
    500: "s3import failed unexpectedly; its log says more under this request_id",
    503: "the database cannot be used at the moment; ask again, s3import's log says why",
}


def problem(
    request_id: str,
    status: int,
    code: str,
    detail: str,
    *,
    headers: Mapping[str, str] | None = None,
    **more: Any,
) -> Response:
    """The answer that says what is wrong. `detail` is for people, `code` and `type` for programs."""
    explanation = explanations()[code]
    document = {
        "type": explanation.url,
        "title": explanation.meaning,
        "status": status,
        "code": code,
        "detail": detail,
        "request_id": request_id,
        **more,
    }
    return Response(orjson.dumps(document), status, headers, MEDIA_TYPE)


def request_id(request: Request) -> str:
    """The id that the gate gave the request."""
    return str(request.state.request_id)


def status_of(error: S3ImportError) -> int:
    """The HTTP status that says the same as the error."""
    return next((status for kind, status in _STATUSES if isinstance(error, kind)), 500)


async def on_error(request: Request, error: S3ImportError) -> Response:
    """Answer one of s3import's own errors. What the server has to answer for is told to its log, not to the client."""
    status = status_of(error)
    if status < HTTPStatus.INTERNAL_SERVER_ERROR:
        return problem(request_id(request), status, error.code, printable(error.message))
    log.error("%s: %s", error.code, error.message, extra={"event": "request_failed"})
    headers = {"Retry-After": "1"} if status == HTTPStatus.SERVICE_UNAVAILABLE else None
    return problem(request_id(request), status, error.code, _OUR_FAULT[status], headers=headers)


async def on_http_exception(request: Request, error: HTTPException) -> Response:
    """Answer what the router refuses: unknown paths and methods, and a body that it cannot even take for JSON."""
    if error.status_code == HTTPStatus.BAD_REQUEST:
        fault = {"field": "body", "message": "it is no JSON in UTF-8, or nested too deeply"}
        return problem(request_id(request), 422, "invalid_request", f"body: {fault['message']}", errors=[fault])
    code = _CODES.get(error.status_code, "invalid_request")
    detail = f"{HTTPStatus(error.status_code).phrase}: /openapi.json lists what there is"
    headers = dict(error.headers or {})
    if error.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
        headers["Allow"] = ", ".join(sorted(_methods(request)))
    return problem(request_id(request), error.status_code, code, detail, headers=headers)


def _methods(request: Request) -> set[str]:
    """What may be asked of the request's path: of all its routes, the router itself tells only the first one's."""
    routes = (route for route in request.app.state.routes if route.matches(request.scope)[0] is not Match.NONE)
    methods: set[str] = {method for route in routes for method in route.methods or ()}
    return methods | {"HEAD"} if "GET" in methods else methods


async def on_invalid_request(request: Request, error: RequestValidationError) -> Response:
    """Answer a body or a parameter of the wrong form, naming the fields and never their values."""
    faults = [_fault(fault) for fault in error.errors()[:MAX_FAULTS]]
    detail = "; ".join(f"{fault['field']}: {fault['message']}" for fault in faults)
    if any(fault["field"] == "body" for fault in faults) and not _is_json(request):
        detail += "; send the body as JSON, with `Content-Type: application/json`"
    return problem(request_id(request), 422, "invalid_request", detail, errors=faults)


def _is_json(request: Request) -> bool:
    """Whether the request says so of its body."""
    return request.headers.get("content-type", "").partition(";")[0].strip().lower() == "application/json"


def _fault(fault: Mapping[str, Any]) -> dict[str, str]:
    place: Sequence[Any] = fault["loc"]
    if fault["type"] == "json_invalid":  # its place is the number of a character, which looks like a field
        return {"field": "body", "message": f"it is no JSON from character {place[-1]} on"}
    return {"field": printable(".".join(map(str, place)))[:200], "message": str(fault["msg"])}


def unexpected(request_id: str, error: Exception) -> Response:
    """Answer a fault of s3import itself. The log gets where it happened; the error's own text may hold a customer's."""
    places = []
    trace = error.__traceback__
    while trace is not None:
        places.append(f"{trace.tb_frame.f_code.co_filename}:{trace.tb_lineno}")
        trace = trace.tb_next
    log.error(
        "unexpected %s at %s",
        type(error).__name__,
        " < ".join(reversed(places[-8:])),
        extra={"event": "request_crashed"},
    )
    return problem(request_id, 500, "internal_error", _OUR_FAULT[500])
