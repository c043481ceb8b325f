"""The application over real HTTP, on a free port of loopback."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager

from s3import.operations.operations import Operations
from s3import.server.api.application import create_app
from s3import.server.api.server import make_server
from tests.server.api.services import TOKEN


@contextmanager
def served(service: Operations, *, tokens: Sequence[str] = (TOKEN,), port: int = 0) -> Iterator[int]:
    """The port at which the service answers for as long as the block runs."""
    with closing(socket.create_server(("127.0.0.1", port))) as listening:
        server = make_server(create_app(service, tokens=tokens), "127.0.0.1", 0)
        thread = threading.Thread(target=server.run, args=([listening],))
        thread.start()
        try:
            yield int(listening.getsockname()[1])
        finally:
            server.should_exit = True
            thread.join(120)


def talk(port: int, *pieces: bytes) -> bytes:
    """Send raw bytes, each piece by itself, and read whatever comes until the server closes or falls silent."""
    answer = b""
    with socket.create_connection(("127.0.0.1", port), timeout=120) as connection:
        for piece in pieces:
            connection.sendall(piece)
        connection.settimeout(2)
        try:
            while received := connection.recv(65536):
                answer += received
        except TimeoutError:
            return answer
    return answer


def head(method: str, path: str, *headers: str) -> bytes:
    """The head of a request with a right token, ready to be sent."""
    lines = [f"{method} {path} HTTP/1.1", "Host: localhost", f"Authorization: Bearer {TOKEN}", *headers, "", ""]
    return "\r\n".join(lines).encode()
