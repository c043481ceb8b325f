"""What every request passes before anything of it is looked at: its id, its size, and whether it may."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import logging
import re
import time
import uuid
from collections.abc import Sequence
from http import HTTPStatus

from starlette.datastructures import Headers
from starlette.requests import ClientDisconnect
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from s3import.core.history import acting_as, token_name
from s3import.core.http import is_loopback
from s3import.core.logs import log_context
from s3import.server.api.problems import problem, unexpected

MAX_BODY_BYTES = 64 * 1024
MAX_DRAINED_BYTES = 1024 * 1024  # of a body that is too large: read to its end, so that its sender reads the answer
BODY_SECONDS = 10.0
MAX_HEADERS = 100
MAX_HEADER_BYTES = 16 * 1024
OPEN_PATHS = frozenset({"/health", "/openapi.json", "/", "/ui"})
OPEN_FOLDERS = ("/schemas/", "/ui/")  # public documents, and the page, which has a login of its own

log = logging.getLogger(__name__)
_REQUEST_ID = re.compile(r"[A-Za-z0-9._:/+=-]{1,128}")
_HIDDEN_SLASH = re.compile(rb"%(2f|5c)", re.IGNORECASE)


class Gate:
    """ASGI middleware. `tokens` are the right ones; where there are none, only requests to this machine by one of its
    loopback names pass, so that no web page can reach the server through a name of its own."""

    def __init__(self, app: ASGIApp, tokens: Sequence[str]) -> None:
        self._app = app
        self._digests = [_digest(token.encode()) for token in tokens]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request_id = _id_of(Headers(scope=scope))
        scope.setdefault("state", {})["request_id"] = request_id
        answer = _Answer(send, request_id, bodiless=scope["method"] == "HEAD")
        asked = {**scope, "method": "GET"} if scope["method"] == "HEAD" else scope
        began = time.perf_counter()
        with log_context(request_id=request_id):
            await self._pass(asked, receive, answer)
            milliseconds = 1000 * (time.perf_counter() - began)
            path = bytes(scope.get("raw_path") or b"").decode("ascii", "replace")  # still percent-encoded
            told = logging.DEBUG if asked["method"] == "GET" and answer.status == HTTPStatus.OK else logging.INFO
            log.log(
                told,
                "%s %s %s in %.1f ms",
                scope["method"],
                path,
                answer.status,
                milliseconds,
                extra={"event": "request_answered"},
            )

    async def _pass(self, scope: Scope, receive: Receive, answer: _Answer) -> None:
        request_id = answer.request_id
        try:
            refusal = self._refuse(scope, request_id)
            body = b"" if refusal else await _read_body(scope, receive)
            if body is None:
                refusal = _too_large(request_id)
            with acting_as(self._actor(scope)):
                await (refusal(scope, receive, answer) if refusal else self._app(scope, _replay(body, receive), answer))
        except TimeoutError:
            await _too_slow(request_id)(scope, receive, answer)
        except ClientDisconnect:
            return
        except Exception as error:  # noqa: BLE001 - whatever it is, whoever asked gets an answer
            told = unexpected(request_id, error)
            if not answer.status:
                await told(scope, receive, answer)

    def _refuse(self, scope: Scope, request_id: str) -> Response | None:
        """Why the request may not pass, decided by its head alone."""
        headers = Headers(scope=scope)
        size = sum(len(name) + len(value) for name, value in headers.raw)
        if len(headers.raw) > MAX_HEADERS or size > MAX_HEADER_BYTES:
            detail = f"send at most {MAX_HEADERS} headers of {MAX_HEADER_BYTES} bytes in all"
            return problem(request_id, 431, "headers_too_large", detail, headers={"Connection": "close"})
        if not self._digests and not _names_loopback(headers.get("host")):
            return problem(
                request_id, 421, "misdirected_request", "without tokens, only 127.0.0.1 or localhost is served"
            )
        if self._needs_token(scope["path"]) and not self._knows(headers.get("authorization")):
            detail = "send `Authorization: Bearer <token>` with one of this server's tokens"
            return problem(request_id, 401, "unauthorized", detail, headers={"WWW-Authenticate": "Bearer"})
        if _HIDDEN_SLASH.search(scope.get("raw_path") or b""):
            return problem(request_id, 422, "invalid_account_id", r"no id in a path holds / or \, encoded or not")
        return None

    def _needs_token(self, path: str) -> bool:
        return bool(self._digests) and path not in OPEN_PATHS and not path.startswith(OPEN_FOLDERS)

    def _actor(self, scope: Scope) -> str:
        """Who asks, for the diary: by the name of the token, which is a right one by now."""
        return token_name(_token(Headers(scope=scope).get("authorization"))) if self._digests else "this machine"

    def _knows(self, authorization: str | None) -> bool:
        """Whether the header carries a right token; takes as long whichever it is, or if it is none."""
        scheme = (authorization or "").partition(" ")[0]
        digest = _digest(_token(authorization).encode("latin-1"))
        matches = [hmac.compare_digest(digest, known) for known in self._digests]
        return any(matches) and scheme.lower() == "bearer"


def _token(authorization: str | None) -> str:
    """What the header carries behind its scheme."""
    return (authorization or "").partition(" ")[2].strip()


class _Answer:
    """Sends what the application answers, with the request's id, and remembers the status (0: none yet).

    `bodiless`: only the head of what answers GET, as HEAD asks for it.
    """

    def __init__(self, send: Send, request_id: str, *, bodiless: bool) -> None:
        self.request_id = request_id
        self._bodiless = bodiless
        self.status = 0
        self._send = send

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            headers = list(message.get("headers", ()))
            headers.append((b"x-request-id", self.request_id.encode()))
            if all(name.lower() != b"cache-control" for name, _ in headers):
                headers.append((b"cache-control", b"no-store"))
            message = {**message, "headers": headers}
        elif self._bodiless:
            message = {**message, "body": b""}
        await self._send(message)


def _digest(token: bytes) -> bytes:
    return hashlib.sha256(token).digest()


def _id_of(headers: Headers) -> str:
    """The id that the client gave its request, where it is one; else a new one."""
    given = headers.get("x-request-id", "")
    return given if _REQUEST_ID.fullmatch(given) else uuid.uuid4().hex


def _names_loopback(host: str | None) -> bool:
    """Whether the Host header names this machine to itself. A client that sends none is no browser."""
    return host is None or is_loopback(re.sub(r":\d*$", "", host).strip("[]"))


async def _read_body(scope: Scope, receive: Receive) -> bytes | None:
    """The whole body, None if it is too large. Raises: TimeoutError, ClientDisconnect."""
    declared = Headers(scope=scope).get("content-length", "")
    if declared.isdecimal() and int(declared[:20]) > MAX_DRAINED_BYTES:
        return None
    chunks: list[bytes] = []
    size, more = 0, True
    async with asyncio.timeout(BODY_SECONDS):
        while more and size <= MAX_DRAINED_BYTES:
            message = await receive()
            if message["type"] == "http.disconnect":
                raise ClientDisconnect
            chunk, more = message.get("body", b""), message.get("more_body", False)
            size += len(chunk)
            if size <= MAX_BODY_BYTES:
                chunks.append(chunk)
    return b"".join(chunks) if size <= MAX_BODY_BYTES else None


def _replay(body: bytes | None, receive: Receive) -> Receive:
    """Hand out the body that was read already, then whatever comes."""
    messages: list[Message] = [{"type": "http.request", "body": body or b"", "more_body": False}]

    async def replay() -> Message:
        return messages.pop() if messages else await receive()

    return replay


def _too_large(request_id: str) -> Response:
    detail = f"a body has at most {MAX_BODY_BYTES} bytes"
    return problem(request_id, 413, "body_too_large", detail, headers={"Connection": "close"})


def _too_slow(request_id: str) -> Response:
    detail = f"the body did not arrive within {BODY_SECONDS:.0f} s"
    return problem(request_id, 408, "body_too_slow", detail, headers={"Connection": "close"})
