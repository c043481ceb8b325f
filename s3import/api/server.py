"""The HTTP server under the application: uvicorn, with limits, and with problems even for what is no HTTP."""

from __future__ import annotations

import uuid

import h11
import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.h11_impl import H11Protocol

from s3import.api.problems import MEDIA_TYPE, problem

MAX_HEAD_BYTES = 32 * 1024  # of a request; the gate refuses smaller ones with a kinder word
KEEP_ALIVE_SECONDS = 30
MAX_CONNECTIONS_WAITING = 512
DRAIN_SECONDS = 10


class _Protocol(H11Protocol):
    def send_400_response(self, msg: str) -> None:
        """Answer what is no HTTP, or has a head that never ends."""
        answer = problem(
            uuid.uuid4().hex, 400, "malformed_request", "this is not an HTTP/1.1 request that can be understood"
        )
        headers = [(b"content-type", MEDIA_TYPE.encode()), (b"connection", b"close")]
        for event in (
            h11.Response(status_code=400, headers=headers),
            h11.Data(data=bytes(answer.body)),
            h11.EndOfMessage(),
        ):
            self.transport.write(self.conn.send(event) or b"")
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
            h11_max_incomplete_event_size=MAX_HEAD_BYTES,
        )
    )
