"""The API in a process of its own: an answer does not wait for an import to let go of the interpreter.

A line to the parent carries two words: that something was queued, and the wish for the parent's metrics. When the
parent is gone the child goes, too.
"""

from __future__ import annotations

import logging
import multiprocessing
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Protocol

from starlette.types import ASGIApp

from s3import.core import logs
from s3import.core.errors import ConfigurationError
from s3import.core.settings import Settings
from s3import.operations.composition import opened_for_clients
from s3import.operations.operations import Operations
from s3import.server.api.server import DRAIN_SECONDS, make_server

log = logging.getLogger(__name__)

QUEUED, METRICS = "queued", "metrics"
BIND_SECONDS = 5.0  # a server that was killed a moment ago may not have let go of the port yet
CANNOT_LISTEN = 3


class MakeApp(Protocol):
    """Makes the application over what clients can ask for. Picklable: it is called in the child."""

    def __call__(
        self, operations: Operations, *, tokens: Sequence[str], render_metrics: Callable[[], bytes]
    ) -> ASGIApp: ...


@contextmanager
def api_process(
    make_app: MakeApp,
    settings: Settings,
    host: str,
    port: int,
    *,
    wake: Callable[[], None],
    render_metrics: Callable[[], bytes],
) -> Iterator[BaseProcess]:
    """Serve what `make_app` makes at `host` and `port` in a child for as long as the block runs.

    `wake` is called when something was queued over HTTP; `render_metrics` gives what /metrics shows.
    """
    context = multiprocessing.get_context("spawn")  # a fork would copy threads' locks and open connections
    ours, theirs = context.Pipe()
    child = context.Process(target=_serve, args=(make_app, settings, host, port, theirs), name="api")
    child.start()
    theirs.close()
    threading.Thread(target=_listen, args=(ours, wake, render_metrics), name="api line", daemon=True).start()
    try:
        yield child
    finally:
        child.terminate()
        child.join(DRAIN_SECONDS + 2)
        child.kill()
        ours.close()


def require_serving(child: BaseProcess, host: str, port: int) -> None:
    """Raises: ConfigurationError, when the child has ended by itself."""
    if child.exitcode == CANNOT_LISTEN:
        raise ConfigurationError(f"cannot listen on {host}:{port}: the address is not this machine's, or is in use")
    if child.exitcode is not None:
        raise ConfigurationError(f"the process of the API ended by itself (status {child.exitcode}); see its log")


def _listen(line: Connection, wake: Callable[[], None], render_metrics: Callable[[], bytes]) -> None:
    try:
        while True:
            if line.recv() == QUEUED:
                wake()
            else:
                line.send_bytes(render_metrics())
    except (EOFError, OSError):
        return


# --- in the child -----------------------------------------------------------------------------------------------------


class _Line:
    """The child's end: one word at a time, and one answer; nobody who sends a word waits for an answer to another."""

    def __init__(self, line: Connection) -> None:
        self._line = line
        self._sending, self._answered = threading.Lock(), threading.Lock()

    def wake(self) -> None:
        self._send(QUEUED)

    def render_metrics(self) -> bytes:
        with self._answered:
            self._send(METRICS)
            return self._line.recv_bytes()

    def _send(self, word: str) -> None:
        with self._sending:
            self._line.send(word)


def _serve(make_app: MakeApp, settings: Settings, host: str, port: int, connection: Connection) -> None:
    logs.configure()
    try:
        listening = _bind(host, port)
    except OSError:
        raise SystemExit(CANNOT_LISTEN) from None
    line = _Line(connection)
    with opened_for_clients(settings, wake=line.wake) as operations:
        api = make_app(operations, tokens=settings.api_tokens, render_metrics=line.render_metrics)
        server = make_server(api, host, port)

        def leave(*_: object) -> None:
            server.should_exit = True

        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, leave)
        threading.Thread(target=_leave_with_parent, args=(leave,), daemon=True).start()
        log.info("serving on http://%s:%d", host, port, extra={"event": "api_started"})
        server.run(sockets=[listening])


def _bind(host: str, port: int) -> socket.socket:
    end = time.monotonic() + BIND_SECONDS
    while True:
        try:
            return socket.create_server((host, port), family=_family(host), backlog=512)
        except OSError:
            if time.monotonic() > end:
                raise
            time.sleep(0.1)


def _family(host: str) -> socket.AddressFamily:
    return socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)[0][0]


def _leave_with_parent(leave: Callable[[], None]) -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        wait([parent.sentinel])
        leave()
