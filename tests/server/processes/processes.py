"""`s3import serve` and `s3import worker` in processes of their own, which can be killed and asked to go."""

from __future__ import annotations

import datetime as dt
import os
import signal
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from s3import.core.settings import Settings
from tests import forks
from tests.importing.strikes import Moment, Strike, Transactions, nothing

SLOW_SECONDS = 0.3  # longer for each transaction


class Processes:
    """Starts processes, and ends whatever is left of them."""

    def __init__(self) -> None:
        self.started: list[BaseProcess] = []

    def serve(self, settings: Settings, port: int, **striking: Any) -> BaseProcess:
        """`s3import serve` on loopback."""
        return self._start(_serve, settings, port, **striking)

    def work(self, settings: Settings, **striking: Any) -> BaseProcess:
        """`s3import worker`."""
        return self._start(_work, settings, **striking)

    def _start(self, target: Callable[..., None], *arguments: Any, **striking: Any) -> BaseProcess:
        child = forks.context.Process(target=_run, args=(target, arguments), kwargs=striking)
        child.start()
        self.started.append(child)
        return child

    def end(self) -> None:
        for child in self.started:
            if child.is_alive():
                kill(child)
            child.join()


@contextmanager
def processes() -> Iterator[Processes]:
    """None of them outlives the block."""
    started = Processes()
    try:
        yield started
    finally:
        started.end()


def _run(
    target: Callable[..., None],
    arguments: tuple[Any, ...],
    k: int = 0,
    moment: Moment = Moment.WITHIN,
    strike: Strike = nothing,
    slow: Path | None = None,
    ahead: dt.timedelta = dt.timedelta(),
    patience: float = 0.0,
) -> None:
    """Let `strike` befall the process at its transaction `k`; it takes its time as long as the file `slow` exists, its
    clock is so far `ahead`, and its `patience` with a broker lasts so many seconds."""
    if ahead:
        _set_clock(ahead)
    if patience:
        _lose_patience(patience)
    if slow:
        sa.event.listen(sa.Engine, "commit", lambda connection: time.sleep(SLOW_SECONDS if slow.exists() else 0))
    with Transactions(k, moment, strike).watched():
        target(*arguments)


def _set_clock(ahead: dt.timedelta) -> None:
    """What this process asks the time by, as far as Python's code can be made to believe it."""
    from celery.worker import request

    class Shifted(dt.datetime):
        @classmethod
        def now(cls, tz: dt.tzinfo | None = None) -> Shifted:
            return super().now(tz) + ahead

    right = time.time
    time.time = lambda: right() + ahead.total_seconds()
    request.datetime = Shifted


def _lose_patience(seconds: float) -> None:
    """Let it wait for an answer of a broker no longer, and for whatever is under way when it is asked to go only four
    times as long."""
    from s3import.server import processes as serving
    from s3import.server.workers import tasks

    leave: Any = serving.leave
    tasks.CONNECT_SECONDS = seconds
    serving.leave = lambda stop, number, **_: leave(stop, number, drain_seconds=4 * seconds)


def _serve(settings: Settings, port: int) -> None:
    from s3import.server import processes as serving

    forks.fork_the_api()
    serving.serve(settings, "127.0.0.1", port)


def _work(settings: Settings) -> None:
    from s3import.server import processes as serving
    from s3import.server.workers import tasks

    tasks.SWEEP_SECONDS = 0.3  # nobody waits longer than needed
    serving.work(settings)


def kill(child: BaseProcess) -> None:
    """As `kill -9`."""
    os.kill(child.pid or 0, signal.SIGKILL)


def free_port() -> int:
    """A port of loopback at which nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        return int(listening.getsockname()[1])


def wait_until(holds: Callable[[], bool], seconds: float = 120.0) -> None:
    """Look again and again, at most so long."""
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end, "it did not come to pass in time"
        time.sleep(0.05)
