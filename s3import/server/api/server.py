"""The HTTP server under the application: uvicorn, with limits, and with problems even for what is no HTTP."""

from __future__ import annotations

import uuid

import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from s3import.server.api.problems import MEDIA_TYPE, problem

MAX_HEAD_BYTES = 32 * 1024  # of a request; the gate refuses smaller ones with a kinder word
KEEP_ALIVE_SECONDS = 30
MAX_CONNECTIONS_WAITING = 512
DRAIN_SECONDS = 10


class _Protocol(HttpToolsProtocol):
    """HTTP/1.1 by llhttp, which has no limits of its own; a poll costs a tenth less than by h11."""

    _in_head = False
    _head_bytes = 0

    def data_received(self, data: bytes) -> None:
        """Take what came; a head that grows and grows is none."""
        super().data_received(data)
        self._head_bytes += len(data)
        if self._in_head and self._head_bytes > MAX_HEAD_BYTES and not self.transport.is_closing():
            self.send_400_response("")

    def on_message_begin(self) -> None:
        """Count from here, up to what comes with the rest of the message before."""
        self._in_head, self._head_bytes = True, 0
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        """Stop counting."""
        self._in_head = False
        super().on_headers_complete()

    def send_400_response(self, msg: str) -> None:
        """Answer what is no HTTP, or has a head that never ends."""
        answer = problem(
            uuid.uuid4().hex, 400, "malformed_request", "this is not an HTTP/1.1 request that can be understood"
        )
        head = f"HTTP/1.1 400 Bad Request\r\ncontent-type: {MEDIA_TYPE}\r\nconnection: close\r\n\r\n"
        self.transport.write(head.encode() + bytes(answer.body))
        self.transport.close()


def make_server(app: ASGIApp, host: str, port: int) -> uvicorn.Server:
    """A server to `run()`: in a main thread it ends by itself on SIGINT and SIGTERM, once the answers under way are out
    (at most 10 s); elsewhere when `should_exit` is set."""
    return uvicorn.Server(
        uvicorn.Config(
            app,
            host=host,
            port=port,
            http=_Protocol,
            ws="none",
            lifespan="on",
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,
            backlog=MAX_CONNECTIONS_WAITING,
            timeout_keep_alive=KEEP_ALIVE_SECONDS,
            timeout_graceful_shutdown=DRAIN_SECONDS,
        )
    )
