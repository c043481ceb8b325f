"""Who may see the page: a token, given once, becomes a cookie.

A cookie is signed with its token as the key. So it needs no store, every server with the same tokens takes it, and a
token that is taken out of the settings logs its holders out at once.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Sequence
from http import HTTPStatus
from urllib.parse import SplitResult, quote, urlsplit

from itsdangerous import BadSignature, TimestampSigner
from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from s3import.core.history import acting_as, token_name
from s3import.server.page.policy import PAGE, STATIC

HOME = f"{PAGE}/"
LOGIN = f"{PAGE}/login"
COOKIE = "s3import_session"
SESSION_SECONDS = 12 * 3600

_ACCOUNTS = f"{PAGE}/accounts/"
_VALUE = "operator"


class Session:
    """Signs and checks cookies. `tokens`: those that the server takes; without any, everybody who gets here may."""

    def __init__(self, tokens: Sequence[str]) -> None:
        self._tokens = tuple(tokens)
        self._signers = [_signer(token) for token in tokens]

    @property
    def is_asked_for(self) -> bool:
        """Whether there is anything to log in with."""
        return bool(self._tokens)

    def cookie_for(self, token: str) -> str | None:
        """The value of a cookie for a right token; None for a wrong one, after as long a time."""
        given = _digest(token.strip())
        right = [hmac.compare_digest(given, _digest(known)) for known in self._tokens]
        return self._signers[right.index(True)].sign(_VALUE).decode() if any(right) else None

    def holder(self, cookie: str | None) -> str | None:
        """Who the cookie's holder is, for the diary: the name of the token, one of today's, with which the cookie was
        made less than `SESSION_SECONDS` ago. None: nobody who may see the page."""
        if not self._tokens:
            return "this machine"
        found = (token for token, signer in zip(self._tokens, self._signers, strict=True) if _is_signed(signer, cookie))
        return next(map(token_name, found), None)


class Guard:
    """ASGI middleware: lets nobody without a session see more than the form, and no other site send one."""

    def __init__(self, app: ASGIApp, session: Session) -> None:
        self._app = app
        self._session = session

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request = Request(scope)
        holder = self._session.holder(request.cookies.get(COOKIE))
        with acting_as(holder or "nobody"):
            await (_refuse(request, holder) or self._app)(scope, receive, send)


def _refuse(request: Request, holder: str | None) -> Response | None:
    """Why the request goes no further; `holder`: of its session, None without one."""
    if request.method == "POST" and not is_same_origin(request.headers):
        return PlainTextResponse("Another site sent this form; open the page itself.", HTTPStatus.FORBIDDEN)
    path = request.scope["path"]  # not the one of `request.url`, which a client's Host header has a part in
    if holder is not None or path == LOGIN or path.startswith(STATIC):
        return None
    if "hx-request" in request.headers:  # a fragment of a page that is open: the whole of it goes to the form
        return Response(status_code=HTTPStatus.UNAUTHORIZED, headers={"HX-Redirect": _login_before(_shown(request))})
    return RedirectResponse(_login_before(view_of(request)), HTTPStatus.SEE_OTHER)


def _login_before(asked: str) -> str:
    """Where the form is that leads on to the page that was asked for."""
    return f"{LOGIN}?next={quote(asked, safe='/')}" if next_page(asked) == asked != HOME else LOGIN


def _shown(request: Request) -> str:
    """The address that the browser shows, as far as it is a path."""
    shown = _split(request.headers.get("hx-current-url", ""))
    return f"{shown.path}?{shown.query}" if shown.query else shown.path


def view_of(request: Request) -> str:
    """The address that was asked for; of a form, which nobody sends twice unasked, that of the account it is for."""
    asked = address(request)
    if request.method == "GET":
        return asked
    return asked.rpartition("/")[0] if asked.startswith(_ACCOUNTS) else HOME


def address(request: Request) -> str:
    """The path and the query that were asked for, as they came: percent-encoded."""
    path = request.scope.get("raw_path") or quote(request.scope["path"]).encode()
    query = request.scope["query_string"]
    return (path + b"?" + query if query else path).decode("ascii", "replace")


def is_same_origin(headers: Headers) -> bool:
    """Whether a browser says that the page itself sent a form: by Sec-Fetch-Site, or else by Origin."""
    site = headers.get("sec-fetch-site")
    if site is not None:
        return site == "same-origin"
    return _split(headers.get("origin", "")).netloc == headers.get("host") != ""


def _split(url: str) -> SplitResult:
    """The pieces of what a client calls an address; nothing, where it is none."""
    try:
        return urlsplit(url)
    except ValueError:
        return urlsplit("")


def is_behind_tls(request: Request) -> bool:
    """Whether the browser's connection is encrypted, here or at a proxy before us."""
    nearest_to_browser = request.headers.get("x-forwarded-proto", "").partition(",")[0].strip()
    return "https" in (request.scope["scheme"], nearest_to_browser)


def set_cookie(response: Response, value: str, *, secure: bool) -> None:
    """Have the browser keep the session; an empty `value` ends it."""
    seconds = SESSION_SECONDS if value else 0
    response.set_cookie(COOKIE, value, max_age=seconds, path="/ui", secure=secure, httponly=True, samesite="strict")


def next_page(asked: str) -> str:
    """Where to go after a login: the page that was asked for, where it is one of ours."""
    return asked if asked.startswith(HOME) and not asked.startswith(LOGIN) and asked.isprintable() else HOME


def _signer(token: str) -> TimestampSigner:
    return TimestampSigner(token, salt="s3import page", key_derivation="hmac", digest_method=hashlib.sha256)


def _is_signed(signer: TimestampSigner, cookie: str | None) -> bool:
    try:
        return cookie is not None and signer.unsign(cookie, max_age=SESSION_SECONDS) == _VALUE.encode()
    except BadSignature:
        return False


def _digest(text: str) -> bytes:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()
