"""The application: the gate, the endpoints, and an answer to every error."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext
from functools import partial

import anyio.to_thread
import orjson
from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from fastapi.telemetry import TelemetryConfig
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from s3import import __version__
from s3import.core.errors import S3ImportError
from s3import.operations.operations import Operations
from s3import.server.api.callbacks import callbacks
from s3import.server.api.describe import describe
from s3import.server.api.fast_path import FastPath
from s3import.server.api.gate import Gate
from s3import.server.api.problems import on_error, on_http_exception, on_invalid_request, status_of
from s3import.server.api.routes import router
from s3import.server.page.page import create_page
from s3import.server.page.policy import PAGE, Policy
from s3import.server.single_flight import SingleFlight

THREADS = 8  # each may hold a connection to the database, whose pool has a few more than these and those of looks
LOOK_THREADS = 4
ABOUT = (
    "Moves accounts of Conversations to Re:amaze. Every error is `application/problem+json` with a stable `code`; "
    "every answer carries `X-Request-Id`, the request's own where it has one."
)

TELEMETRY: TelemetryConfig = {"logs": False, "operation_spans": False}
"""Where an operator configures OpenTelemetry: spans and numbers of requests, but no exceptions, whose texts may hold a
customer's."""

Lifespan = Callable[[FastAPI], AbstractAsyncContextManager[None]]


def create_app(
    operations: Operations,
    *,
    tokens: Sequence[str],
    render_metrics: Callable[[], bytes] | None = None,
    lifespan: Lifespan = lambda _: nullcontext(),
) -> FastAPI:
    """The API over `operations` for whoever has one of `tokens` (none: for this machine, see `check_binding`).

    `render_metrics` writes what /metrics shows, in a thread; `lifespan` surrounds the time of serving.
    """

    @asynccontextmanager
    async def serving(app: FastAPI) -> AsyncIterator[None]:
        anyio.to_thread.current_default_thread_limiter().total_tokens = THREADS
        asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(LOOK_THREADS, thread_name_prefix="look"))
        async with lifespan(app):
            yield
        page.state.jobs.close()

    app = FastAPI(
        title="s3import",
        version=__version__,
        description=ABOUT,
        lifespan=serving,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        telemetry=TELEMETRY,
        exception_handlers={
            S3ImportError: on_error,
            HTTPException: on_http_exception,
            RequestValidationError: on_invalid_request,
        },
    )
    _add_endpoints(app, operations, render_metrics)
    page = create_page(operations, tokens=tokens, render_metrics=render_metrics, status_of=status_of)
    app.mount(PAGE, page)
    for path in ("/", PAGE):
        app.add_route(path, _to_page, include_in_schema=False)
    app.add_middleware(FastPath, single_flight=app.state.single_flight)
    app.add_middleware(Gate, tokens=tokens)
    app.add_middleware(Policy)
    return app


def _add_endpoints(app: FastAPI, operations: Operations, render_metrics: Callable[[], bytes] | None) -> None:
    """The endpoints with what they work on, and their description."""
    app.state.operations = operations
    app.state.routes = [*app.routes, *router.routes]
    app.state.single_flight = SingleFlight(lambda account_id: orjson.dumps(operations.status_document(account_id)))
    app.state.render_metrics = render_metrics
    app.include_router(router)
    app.webhooks.include_router(callbacks)
    app.openapi = partial(describe, app)  # type: ignore[method-assign]


async def _to_page(request: Request) -> Response:
    return RedirectResponse(f"{PAGE}/", 303)
