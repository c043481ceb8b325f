"""Many accounts in several processes: small ones cost more of the interpreter than of the database.

Each process has an importer of its own and moves one account at a time. Nothing is shared but the database, where the
claim of a run is exclusive; events and the wish to stop travel between the processes.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from multiprocessing import forkserver
from typing import Any

from s3import.core.errors import ProcessLost
from s3import.core.events import Observer
from s3import.core.tracebacks import keep_texts_in
from s3import.importing.requests import Outcome, Request

PACKAGE = f"{__name__.partition('.')[0]}."
TO_THE_COMMAND = (signal.SIGINT, signal.SIGTERM)
POLL_SECONDS = 0.2
GRACE_SECONDS = 4.0  # for the batch at hand, once the parent is gone

Mover = Callable[[Request], Outcome]
MakeMover = Callable[[Observer, threading.Event], Mover]
_move: Mover  # in a child: what it moves accounts with


def in_processes(
    make_mover: MakeMover,
    requests: Sequence[Request],
    *,
    processes: int,
    observe: Observer,
    stop: threading.Event,
) -> Iterator[Outcome]:
    """Move the accounts, one at a time in each process; their outcomes in the order asked for.

    `make_mover` must be picklable; it is called once in each process. Raises: ProcessLost when one of them dies.
    """
    # Forked from a process that has imported what this one has, and done nothing else: a fork of this one would copy
    # threads' locks and open connections, and processes that begin anew would each import for a second.
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([name for name in tuple(sys.modules) if name.startswith(PACKAGE)])
    with _signals_blocked():
        forkserver.ensure_running()
    events: Any = context.SimpleQueue()
    stopping = context.Event()
    with (
        _forwarded(events, observe, stop, stopping),
        ProcessPoolExecutor(processes, context, _begin, (make_mover, events, stopping)) as pool,
    ):
        try:
            yield from pool.map(_migrate, requests)
        except BrokenProcessPool as error:
            raise ProcessLost(
                "one of the processes that move the accounts died (out of memory?); run the same command again: what "
                "was imported stays, and what was under way resumes at its last checkpoint"
            ) from error


@contextmanager
def _signals_blocked() -> Iterator[None]:
    """What is started by this thread within the block never sees the signals that ask a command to end: whoever sends
    them to a whole group means the command, which then tells those that move accounts."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, TO_THE_COMMAND)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextmanager
def _forwarded(events: Any, observe: Observer, stop: threading.Event, stopping: Any) -> Iterator[None]:
    """Pass on the children's events, and to them the wish to stop, for as long as the block runs."""
    ended = threading.Event()

    def listen() -> None:
        while (event := events.get()) is not None:
            observe(event)

    def watch() -> None:
        while not ended.wait(POLL_SECONDS):
            if stop.is_set():
                stopping.set()

    threads = [threading.Thread(target=work, name=work.__name__, daemon=True) for work in (listen, watch)]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        ended.set()
        events.put(None)
        for thread in threads:
            thread.join()


# --- in a child -----------------------------------------------------------------------------------------------------


def _begin(make_mover: MakeMover, events: Any, stopping: Any) -> None:
    global _move  # noqa: PLW0603 - a process of the pool has one task and no other place to keep it
    keep_texts_in()
    for number in TO_THE_COMMAND:
        signal.signal(number, signal.SIG_IGN)  # the parent says when to stop
    stop = threading.Event()
    threading.Thread(target=_watch_parent, args=(stopping, stop), daemon=True).start()
    lock = threading.Lock()

    def tell(event: object) -> None:
        with lock:
            events.put(event)

    _move = make_mover(tell, stop)


def _watch_parent(stopping: Any, stop: threading.Event) -> None:
    """Stop at the next batch when the parent says so; end when it is gone."""
    parent = multiprocessing.parent_process()  # whoever asked for the fork, not who forked
    while parent is not None and parent.is_alive():
        if stopping.is_set():
            stop.set()
        time.sleep(POLL_SECONDS)
    stop.set()
    time.sleep(GRACE_SECONDS)
    os._exit(1)


def _migrate(request: Request) -> Outcome:
    return _move(request)
