"""What is done: each form is one POST, each answer says what happened. Where something is lost a view asks first."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from http import HTTPStatus
from typing import TYPE_CHECKING, TypeVar
from urllib.parse import parse_qs, quote

import anyio.to_thread
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from s3import.core.records import Pass
from s3import.server.page.jobs import JobKind, Jobs
from s3import.server.page.rendering import failure, render
from s3import.server.page.session import (
    HOME,
    LOGIN,
    Session,
    is_behind_tls,
    next_page,
    set_cookie,
)

if TYPE_CHECKING:
    from s3import.operations.operations import Operations


T = TypeVar("T")

WRONG_TOKEN_SECONDS = 0.5  # before the answer: guessing takes its time
MAX_FIELDS = 20

SAID = {
    "started": "The migration was asked for. It starts as soon as somebody is free.",
    "at-work": "That pass was queued or running already. It goes on.",
    "already-imported": "Nothing to do: that pass was imported before.",
    "already-active": "Nothing to do: the account is active, all was imported before.",
    "cancelled": "Cancelled. The run ends at its next batch; its checkpoint is kept.",
    "nothing-to-cancel": "There was nothing to cancel: no pass is queued or running.",
    "verify": "The verification has begun. Its result will stand here.",
    "retry-files": "The failed files are tried again. The result will stand here.",
}
"""What an answer says happened, by the word that the address carries."""


async def login_form(request: Request) -> Response:
    """The form that takes a token; without any token set there is nothing to log in to."""
    session: Session = request.app.state.session
    if not session.is_asked_for:
        return RedirectResponse(HOME, HTTPStatus.SEE_OTHER)
    return render(request, "login.html", next=request.query_params.get("next", ""), is_wrong=False)


async def login(request: Request) -> Response:
    """Take a token once, and have the browser keep a session instead."""
    session: Session = request.app.state.session
    given = await _fields(request)
    cookie = session.cookie_for(given.get("token", ""))
    if cookie is None:
        await asyncio.sleep(WRONG_TOKEN_SECONDS)
        status = HTTPStatus.UNAUTHORIZED
        return render(request, "login.html", status=status, next=given.get("next", ""), is_wrong=True)
    answer = RedirectResponse(next_page(given.get("next", "")), HTTPStatus.SEE_OTHER)
    set_cookie(answer, cookie, secure=is_behind_tls(request))
    return answer


async def logout(request: Request) -> Response:
    """Have the browser forget the session."""
    answer = RedirectResponse(LOGIN, HTTPStatus.SEE_OTHER)
    set_cookie(answer, "", secure=is_behind_tls(request))
    return answer


async def start(request: Request) -> Response:
    """Start or resume a pass (none named: whatever is left)."""
    account_id, requested = _account_id(request), (await _fields(request)).get("pass", "")
    if requested and requested not in list(Pass):
        raise HTTPException(HTTPStatus.UNPROCESSABLE_ENTITY)
    admission = await _do(
        request, lambda its: its.request_migration(account_id, Pass(requested) if requested else None)
    )
    if admission.run is None:
        return _back(account_id, str(admission.ignored))
    return _back(account_id, "started" if admission.started else "at-work")


async def ask_to_cancel(request: Request) -> Response:
    """The question before a cancellation."""
    account_id = _account_id(request)
    await _do(request, lambda its: its.status_document(account_id))
    return render(request, "cancel.html", account_id=account_id)


async def cancel(request: Request) -> Response:
    """End what is queued or at work of an account."""
    account_id = _account_id(request)
    ended = await _do(request, lambda its: its.cancel_account(account_id))
    has_changed = any(run.state is not now for run, now in ended)
    return _back(account_id, "cancelled" if has_changed else "nothing-to-cancel")


async def _start_job(request: Request, kind: JobKind) -> Response:
    account_id = _account_id(request)
    await _do(request, lambda its: its.status_document(account_id))
    jobs: Jobs = request.app.state.jobs
    refusal = await anyio.to_thread.run_sync(jobs.start, kind, account_id)
    if refusal:
        return failure(request, HTTPStatus.CONFLICT, refusal, None)
    return _back(account_id, kind)


def _account_id(request: Request) -> str:
    account_id: str = request.path_params["account_id"]
    return account_id


async def _do(request: Request, work: Callable[[Operations], T]) -> T:
    operations: Operations = request.app.state.operations
    return await anyio.to_thread.run_sync(work, operations)


def _back(account_id: str, said: str) -> Response:
    return RedirectResponse(f"{HOME}accounts/{quote(account_id, safe='')}?said={said}", HTTPStatus.SEE_OTHER)


async def _fields(request: Request) -> dict[str, str]:
    """The fields of a form, the last of each name."""
    text = (await request.body()).decode("utf-8", "replace")
    try:
        return {name: values[-1] for name, values in parse_qs(text, max_num_fields=MAX_FIELDS).items()}
    except ValueError:  # too many: no form of ours
        raise HTTPException(HTTPStatus.UNPROCESSABLE_ENTITY) from None


ROUTES = [
    Route("/login", login_form, methods=["GET"]),
    Route("/login", login, methods=["POST"]),
    Route("/logout", logout, methods=["POST"]),
    Route("/accounts/{account_id}/start", start, methods=["POST"]),
    Route("/accounts/{account_id}/cancel", ask_to_cancel, methods=["GET"]),
    Route("/accounts/{account_id}/cancel", cancel, methods=["POST"]),
    Route("/accounts/{account_id}/verify", partial(_start_job, kind=JobKind.VERIFY), methods=["POST"]),
    Route("/accounts/{account_id}/retry-files", partial(_start_job, kind=JobKind.RETRY_FILES), methods=["POST"]),
]
