"""Many accounts in several processes: small ones cost more of the interpreter than of the database.

Each process has an importer of its own and moves one account at a time. Nothing is shared but the database, where the
claim of a run is exclusive. Each has a pipe of its own to the parent: a lock or a queue of several of them would stay
locked for the others when one of them is killed.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from functools import cache, partial
from multiprocessing import forkserver
from multiprocessing.connection import Connection
from queue import SimpleQueue
from typing import Any

from s3import.core.errors import ProcessLost, S3ImportError, as_failure
from s3import.core.events import Observer
from s3import.core.tracebacks import keep_texts_in
from s3import.importing.requests import Outcome, Request

PACKAGE = f"{__name__.partition('.')[0]}."
TO_THE_COMMAND = (signal.SIGINT, signal.SIGTERM)
POLL_SECONDS = 0.2
GRACE_SECONDS = 4.0  # for the batch at hand, once the parent or another child is gone
BEAT_SECONDS = 1.0
SILENT_BEATS = 30  # after so many without a sign of life a child hangs: its lease has ended by then

Mover = Callable[[Request], Outcome]
MakeMover = Callable[[Observer, threading.Event], Mover]


def in_processes(
    make_mover: MakeMover,
    requests: Sequence[Request],
    *,
    processes: int,
    observe: Observer,
    stop: threading.Event,
) -> Iterator[Outcome]:
    """Move the accounts, one at a time in each process; their outcomes in the order asked for.

    `make_mover` must be picklable; it is called once in each process. `observe` is called from several threads.
    Raises: ProcessLost when one of them dies, or says nothing for 30 s; the others end at their next batch, or are
    killed after 4 s.
    """
    idle: SimpleQueue[_Child] = SimpleQueue()
    lost = _Loss()

    def move(request: Request) -> Outcome:
        child = idle.get()
        try:
            return child.move(request, observe, lost)
        finally:
            idle.put(child)

    with _children(make_mover, processes, stop, lost) as children, ThreadPoolExecutor(processes, "child") as threads:
        for child in children:
            idle.put(child)
        yield from threads.map(move, requests)


class _Loss:
    """That a process was lost: what befell the first one, as the others go because of it."""

    def __init__(self) -> None:
        self.noticed = threading.Event()
        self._first: list[str] = []

    def error(self, what: str) -> ProcessLost:
        """Note what befell a process; the error that says what befell the first."""
        self._first.append(what)
        self.noticed.set()
        return ProcessLost(
            f"one of the processes that move the accounts {self._first[0]}; run the same command again: what was "
            "imported stays, and what was under way resumes at its last checkpoint"
        )


class _Child:
    """A process that moves accounts, as its parent sees it."""

    def __init__(self, context: Any, make_mover: MakeMover, stopping: Connection) -> None:
        self._pipe, theirs = context.Pipe()
        with theirs:
            self._process = context.Process(target=_serve, args=(make_mover, theirs, stopping))
            self._process.start()

    def move(self, request: Request, observe: Observer, lost: _Loss) -> Outcome:
        """Move an account. Raises: the mover's error; ProcessLost, noted by `lost`, when the process dies or hangs."""
        with _noticed(lost):
            self._pipe.send(request)
        while not isinstance(answer := self._hear(lost), Outcome | S3ImportError):
            if answer is not None:
                observe(answer)
        if isinstance(answer, S3ImportError):
            raise answer
        return answer

    def _hear(self, lost: _Loss) -> Any:
        """What the process says next; None: that it is alive."""
        with _noticed(lost):
            for _ in range(SILENT_BEATS):  # not one long wait: this process may have been paused, too
                if self._pipe.poll(BEAT_SECONDS):
                    return self._pipe.recv()
        raise lost.error(f"has said nothing for {SILENT_BEATS * BEAT_SECONDS:.0f} s (is it paused?) and is ended")

    def dismiss(self) -> None:
        """Let it end, as there is nothing more to do."""
        self._pipe.close()

    def kill(self) -> None:
        self._process.kill()

    def join(self) -> None:
        """Wait for its end, which comes by then, unless the system itself does not let go of it."""
        self._process.join(GRACE_SECONDS)
        self._process.kill()
        self._process.join(GRACE_SECONDS)


@contextmanager
def _noticed(lost: _Loss) -> Iterator[None]:
    """Raises: ProcessLost where a pipe has no other end."""
    try:
        yield
    except (EOFError, OSError) as error:
        raise lost.error("died (out of memory?)") from error


@contextmanager
def _children(make_mover: MakeMover, processes: int, stop: threading.Event, lost: _Loss) -> Iterator[list[_Child]]:
    """Processes that move accounts until the block ends, somebody asks to stop, or one of them is lost."""
    # Forked from a process that has imported what this one has, and done nothing else: a fork of this one would copy
    # threads' locks and open connections, and processes that begin anew would each import for a second.
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([name for name in tuple(sys.modules) if name.startswith(PACKAGE)])
    with _signals_blocked():
        forkserver.ensure_running()
    stopping, going_on = context.Pipe(duplex=False)  # closed, by whoever holds the other end or by its death: stop
    children: list[_Child] = []
    ended = threading.Event()

    def watch() -> None:
        while not (stop.is_set() or lost.noticed.is_set() or ended.wait(POLL_SECONDS)):
            pass
        going_on.close()
        while not (lost.noticed.is_set() or ended.wait(POLL_SECONDS)):
            pass
        if not ended.wait(GRACE_SECONDS):  # what the others wait for may have gone with the lost one
            for child in children:
                child.kill()

    watching = threading.Thread(target=watch, name="watch", daemon=True)
    try:
        children.extend(_Child(context, make_mover, stopping) for _ in range(processes))
        watching.start()
        yield children
    finally:
        ended.set()
        for child in children:
            child.dismiss()
        for child in children:
            child.join()
        if watching.is_alive():
            watching.join()
        stopping.close()


@contextmanager
def _signals_blocked() -> Iterator[None]:
    """What is started by this thread within the block never sees the signals that ask a command to end: whoever sends
    them to a whole group means the command, which then tells those that move accounts."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, TO_THE_COMMAND)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


# --- in a child -----------------------------------------------------------------------------------------------------


def _serve(make_mover: MakeMover, parent: Connection, stopping: Connection) -> None:
    """Move what the parent asks for, one account after the other, until it asks for no more."""
    keep_texts_in()
    for number in TO_THE_COMMAND:
        signal.signal(number, signal.SIG_IGN)  # the parent says when to stop
    stop = threading.Event()
    threading.Thread(target=_watch_parent, args=(stopping, stop), daemon=True).start()
    lock = threading.Lock()

    def tell(message: object) -> None:
        with lock:
            parent.send(message)

    mover = cache(partial(make_mover, tell, stop))  # made with the first request, so that its error is an answer
    with suppress(EOFError, OSError):  # there is no more to do, or nobody to tell
        while True:
            request = parent.recv()
            with _beating(tell):
                answer = _answer(mover, request)
            tell(answer)


def _answer(mover: Callable[[], Mover], request: Request) -> Outcome | S3ImportError:
    try:
        return mover()(request)
    except Exception as error:  # noqa: BLE001 - whatever it is, the parent is told
        return as_failure(error)


@contextmanager
def _beating(tell: Callable[[None], None]) -> Iterator[None]:
    """Tell that this process is alive for as long as the block runs, whatever that waits for."""
    over = threading.Event()

    def beat() -> None:
        with suppress(OSError):  # nobody listens any more
            while not over.wait(BEAT_SECONDS):
                tell(None)

    threading.Thread(target=beat, name="beat", daemon=True).start()
    try:
        yield
    finally:
        over.set()


def _watch_parent(stopping: Connection, stop: threading.Event) -> None:
    """Stop at the next batch when the parent says so; end when it is gone."""
    stopping.poll(None)
    stop.set()
    parent = multiprocessing.parent_process()  # whoever asked for the fork, not who forked
    if parent is not None:
        parent.join()
    time.sleep(GRACE_SECONDS)
    os._exit(1)
