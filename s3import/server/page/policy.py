"""What a browser may do with any answer below the page's address, whoever gives it: a view, the gate, or an error."""

from __future__ import annotations

from http import HTTPStatus

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

PAGE = "/ui"
STATIC = f"{PAGE}/static/"
STATIC_SECONDS = 24 * 3600  # names of what never changes carry its version

_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
        "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
}


class Policy:
    """ASGI middleware, the outermost one: no answer of the page leaves without its headers."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        is_page = scope["type"] == "http" and (scope["path"] in ("/", PAGE) or scope["path"].startswith(f"{PAGE}/"))
        await self._app(scope, receive, _with_headers(scope["path"], send) if is_page else send)


def _with_headers(path: str, send: Send) -> Send:
    async def answer(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            headers.update(_HEADERS)
            is_file = path.startswith(STATIC) and message["status"] in (HTTPStatus.OK, HTTPStatus.NOT_MODIFIED)
            headers["Cache-Control"] = f"private, max-age={STATIC_SECONDS}" if is_file else "no-store"
        await send(message)

    return answer
