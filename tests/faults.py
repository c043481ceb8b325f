"""A proxy that breaks HTTP answers on purpose, to order: each request it chooses takes the next fault of a list."""

from __future__ import annotations

import http.client
import random
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Protocol, Self
from urllib.parse import urlsplit


@dataclass(frozen=True, slots=True)
class Answer:
    """What the server behind the proxy said."""

    status: int
    headers: dict[str, str]
    body: bytes


class Fault(Protocol):
    """What becomes of an answer on its way."""

    def send(self, request: Request, answer: Answer) -> None: ...


@dataclass(frozen=True, slots=True)
class Passed:
    """The answer arrives as it is."""

    def send(self, request: Request, answer: Answer) -> None:
        request.answer(answer.status, answer.headers, answer.body)


@dataclass(frozen=True, slots=True)
class Reset:
    """The connection is reset after so many bytes of the body."""

    after_bytes: int

    def send(self, request: Request, answer: Answer) -> None:
        request.answer(answer.status, answer.headers, answer.body[: self.after_bytes])
        time.sleep(0.02)  # a reset throws away what the other side has not read yet
        request.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        request.connection.close()


@dataclass(frozen=True, slots=True)
class EarlyEnd:
    """The connection is closed in good order after so many bytes, fewer than Content-Length promised."""

    after_bytes: int

    def send(self, request: Request, answer: Answer) -> None:
        request.answer(answer.status, answer.headers, answer.body[: self.after_bytes])


@dataclass(frozen=True, slots=True)
class Stall:
    """After so many bytes nothing more comes for so many seconds."""

    after_bytes: int
    seconds: float

    def send(self, request: Request, answer: Answer) -> None:
        request.answer(answer.status, answer.headers, answer.body[: self.after_bytes])
        time.sleep(self.seconds)


@dataclass(frozen=True, slots=True)
class Refusal:
    """Instead of the answer comes an error of S3, with its code in the body."""

    status: int
    code: str
    headers: dict[str, str] = field(default_factory=dict)

    def send(self, request: Request, answer: Answer) -> None:
        body = f"<Error><Code>{self.code}</Code><Message>on purpose</Message></Error>".encode()
        request.answer(self.status, {"Content-Length": str(len(body)), **self.headers}, body)


@dataclass(frozen=True, slots=True)
class Meanwhile:
    """Something else happens (an object is replaced, say), then the fault `then`."""

    action: Callable[[], object]
    then: Fault

    def send(self, request: Request, answer: Answer) -> None:
        self.action()
        self.then.send(request, answer)


def is_object(method: str, path: str) -> bool:
    """Whether a request fetches an object, and no listing."""
    return method == "GET" and "list-type" not in path


class FaultyProxy(ThreadingHTTPServer):
    """A proxy on loopback before the server at `upstream`; a context manager.

    The requests for which `chosen(method, path)` holds take the faults in turn, then `afterwards`; `requests` lists
    every request as ``(method, path, headers)``. The headers `deaf_to` do not reach the server.
    """

    daemon_threads = True

    def __init__(
        self,
        upstream: str,
        faults: Iterable[Fault] = (),
        *,
        afterwards: Fault | None = None,
        chosen: Callable[[str, str], bool] = is_object,
        deaf_to: tuple[str, ...] = (),
    ) -> None:
        super().__init__(("127.0.0.1", 0), Request)
        self.upstream = urlsplit(upstream).netloc
        self.requests: list[tuple[str, str, dict[str, str]]] = []
        self._faults, self._afterwards, self._chosen = iter(faults), afterwards or Passed(), chosen
        self.deaf_to = deaf_to
        self._lock = threading.Lock()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def fault_for(self, method: str, path: str) -> Fault:
        with self._lock:
            return next(self._faults, self._afterwards) if self._chosen(method, path) else Passed()

    def __enter__(self) -> Self:
        threading.Thread(target=self.serve_forever, args=(0.01,), daemon=True).start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.shutdown()
        self.server_close()

    def handle_error(self, request: object, client_address: object) -> None:
        """Broken connections are the point; they are no news."""


class Request(BaseHTTPRequestHandler):
    """One request on its way through the proxy; connections are closed after each, so that faults stay apart."""

    server: FaultyProxy

    def handle_one_request(self) -> None:
        self.close_connection = True
        super().handle_one_request()

    def do_GET(self) -> None:
        self.server.requests.append((self.command, self.path, dict(self.headers)))
        self.server.fault_for(self.command, self.path).send(self, self._forward())

    do_HEAD = do_PUT = do_POST = do_DELETE = do_GET  # noqa: N815

    def answer(self, status: int, headers: dict[str, str], body: bytes) -> None:
        self.send_response(status)
        for name, value in {**headers, "Connection": "close"}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)
        self.wfile.flush()

    def log_message(self, *_: object) -> None:
        """Keep the tests' output clean."""

    def _forward(self) -> Answer:
        connection = http.client.HTTPConnection(self.server.upstream, timeout=120)
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        heard = {name: value for name, value in self.headers.items() if name not in self.server.deaf_to}
        connection.request(self.command, self.path, body, heard)
        answer = connection.getresponse()
        content = answer.read()
        connection.close()
        hidden = {"connection", "date", "server", "transfer-encoding"}
        headers = {name: value for name, value in answer.getheaders() if name.lower() not in hidden}
        return Answer(answer.status, headers, content)


def random_faults(seed: int, count: int, most_bytes: int) -> list[Fault]:
    """Faults that go away when one tries again, drawn by `seed`; bodies break after at most `most_bytes`."""
    draw = random.Random(seed)
    kinds: list[Callable[[], Fault]] = [
        lambda: Reset(draw.randrange(most_bytes)),
        lambda: EarlyEnd(draw.randrange(most_bytes)),
        lambda: Refusal(500, "InternalError"),
        lambda: Refusal(503, "SlowDown", {"Retry-After": "0.05"}),
        Passed,
    ]
    return [draw.choice(kinds)() for _ in range(count)]
