"""Who may see the page: a token, given once, becomes a cookie; and what a browser may do with what it is shown.

A cookie is signed with its token as the key. So it needs no store, every server with the same tokens takes it, and a
token that is taken out of the settings logs its holders out at once.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Sequence
from http import HTTPStatus
from urllib.parse import quote, urlsplit

from itsdangerous import BadSignature, TimestampSigner
from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import Request
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from s3import.core.history import acting_as, token_name

HOME = "/ui/"
LOGIN = "/ui/login"
COOKIE = "s3import_session"
SESSION_SECONDS = 12 * 3600
STATIC_SECONDS = 24 * 3600  # names of what never changes carry its version

_OPEN = (LOGIN, "/ui/static/")
_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
        "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
}
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
        answer = _with_headers(send, is_static=request.url.path.startswith("/ui/static/"))
        holder = self._session.holder(request.cookies.get(COOKIE))
        with acting_as(holder or "nobody"):
            await (_refuse(request, holder) or self._app)(scope, receive, answer)


def _refuse(request: Request, holder: str | None) -> Response | None:
    """Why the request goes no further; `holder`: of its session, None without one."""
    if request.method == "POST" and not is_same_origin(request.headers):
        return PlainTextResponse("Another site sent this form; open the page itself.", HTTPStatus.FORBIDDEN)
    path = request.url.path
    if holder is not None or path.startswith(_OPEN):
        return None
    if "hx-request" in request.headers:  # a fragment of a page that is open: the whole of it goes to the form
        return Response(status_code=HTTPStatus.UNAUTHORIZED, headers={"HX-Redirect": LOGIN})
    asked = path + (f"?{request.url.query}" if request.url.query else "")
    return RedirectResponse(f"{LOGIN}?next={quote(asked, safe='/')}", HTTPStatus.SEE_OTHER)


def is_same_origin(headers: Headers) -> bool:
    """Whether a browser says that the page itself sent a form: by Sec-Fetch-Site, or else by Origin."""
    site = headers.get("sec-fetch-site")
    if site is not None:
        return site == "same-origin"
    return urlsplit(headers.get("origin", "")).netloc == headers.get("host") != ""


def is_behind_tls(request: Request) -> bool:
    """Whether the browser's connection is encrypted, here or at a proxy before us."""
    return "https" in (request.url.scheme, request.headers.get("x-forwarded-proto"))


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


def _with_headers(send: Send, *, is_static: bool) -> Send:
    async def answer(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            headers.update(_HEADERS)
            if is_static:
                headers["Cache-Control"] = f"private, max-age={STATIC_SECONDS}"
        await send(message)

    return answer
