"""The page's own application, to be mounted at /ui: its views, its forms, and an answer in HTML to every error."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Mount
from starlette.staticfiles import StaticFiles

from s3import.core.errors import S3ImportError, printable
from s3import.server.page import forms, views
from s3import.server.page.jobs import Jobs
from s3import.server.page.rendering import failure, render
from s3import.server.page.session import Guard, Session, address

if TYPE_CHECKING:
    from s3import.operations.operations import Operations


STATIC = Path(__file__).with_name("static")


def create_page(
    operations: Operations,
    *,
    tokens: Sequence[str],
    render_metrics: Callable[[], bytes] | None,
    status_of: Callable[[S3ImportError], int],
) -> Starlette:
    """The page over `operations`. `status_of`: the HTTP status that says the same as an error.

    Whoever mounts it closes its `state.jobs` at the end.
    """
    session, jobs = Session(tokens), Jobs(operations.settings)

    async def on_error(request: Request, error: Exception) -> Response:
        assert isinstance(error, S3ImportError)  # noqa: S101 - the one kind that it is registered for
        status = status_of(error)
        unavailable = status >= HTTPStatus.INTERNAL_SERVER_ERROR
        text = "The database does not answer. This page tries again by itself." if unavailable else error.message
        return _failure(request, status, printable(text), error.code)

    async def on_http_exception(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)  # noqa: S101 - the one kind that it is registered for
        return _failure(request, error.status_code, HTTPStatus(error.status_code).phrase, None)

    async def on_crash(request: Request, error: Exception) -> Response:
        text = f"s3import failed unexpectedly; its log says more under {request.state.request_id}."
        return _failure(request, HTTPStatus.INTERNAL_SERVER_ERROR, text, "internal_error")

    page = Starlette(
        routes=[
            *views.ROUTES,
            *forms.ROUTES,
            Mount("/static", StaticFiles(directory=STATIC)),
        ],
        middleware=[Middleware(Guard, session=session)],
        exception_handlers={S3ImportError: on_error, HTTPException: on_http_exception, Exception: on_crash},
    )
    page.router.redirect_slashes = False  # a redirection would name the host that the client claims to have asked
    page.state.operations = operations
    page.state.session = session
    page.state.jobs = jobs
    page.state.looks = views.looks(operations, jobs, render_metrics)
    return page


def _failure(request: Request, status: int, text: str, code: str | None) -> Response:
    if "hx-request" in request.headers:
        return render(request, "fragment_failure.html", status=status, text=text, code=code, url=address(request))
    return failure(request, status, text, code)
