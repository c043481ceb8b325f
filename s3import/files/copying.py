"""Many files at once: a page of them is looked up, copied by a pool of threads, looked at again and settled.

ledger ──► look up ──► copy (side by side) ──► confirm ─┐
(a page)   (what is                                     ├─ one transaction for some hundred files
            there)                             failed ──┘   states + counts + rejects
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from typing import Protocol

from s3import.core.errors import FileRejected, Interrupted, SourceMissing
from s3import.core.limits import SETTLE_SECONDS
from s3import.core.logs import in_context
from s3import.files.copier import Copier
from s3import.files.file import Copied, Failed, File, Stored

SETTLED_AT_ONCE = 500
WAITING = 4  # files handed to each thread before it is done with the last one


class Ledger(Protocol):
    """What is to be copied, and where what became of it is written down."""

    def pages(self) -> Iterable[list[File]]:
        """The files that wait, some hundred at a time."""
        ...

    def settle(self, copied: list[Copied], failed: list[Failed]) -> None:
        """Write down what became of files."""
        ...


class Copying:
    """Copies what a ledger lists, with the threads of `pool`, of which there are `in_flight`. The `copiers` go to one
    place, each from a source of its own: what one of them cannot have the next one tries."""

    def __init__(
        self,
        ledger: Ledger,
        copiers: Sequence[Copier],
        pool: ThreadPoolExecutor,
        in_flight: int,
    ) -> None:
        self._ledger, self._pool = ledger, pool
        self._copiers = [replace(copier, require_going=self._still_going) for copier in copiers]
        self._copier = self._copiers[0]
        self._over = threading.Event()
        self._most = in_flight * (1 + WAITING)
        self._require_going = copiers[0].require_going
        self._ended: queue.SimpleQueue[Copied | Failed | BaseException] = queue.SimpleQueue()
        self._under_way = 0
        self._copied: list[Copied] = []
        self._failed: list[Failed] = []
        self._settled_at = time.monotonic()

    def run(self) -> None:
        """Copy everything. Files that fail are settled as such; any other error ends it once all threads have let go,
        and is raised when what they did is settled."""
        try:
            for page in self._ledger.pages():
                self._submit(page)
            while self._under_way:
                self._receive()
            self._settle()
        except BaseException:
            self._over.set()
            self._let_go()
            self._settle()
            raise

    def _submit(self, page: list[File]) -> None:
        there = self._copier.look_up(page)
        for file in page:
            while self._under_way >= self._most:
                self._receive()
            self._require_going()
            self._under_way += 1
            self._pool.submit(in_context(self._copy), file, there.get(self._copier.key(file)))

    def _copy(self, file: File, there: Stored | None) -> None:
        try:
            self._still_going()
            self._ended.put(self._from_one_of_them(file, there))
        except FileRejected as error:
            self._ended.put(Failed(file, error))
        except BaseException as error:  # noqa: BLE001 - raised again in the thread that waits for it
            self._ended.put(error)

    def _from_one_of_them(self, file: File, there: Stored | None) -> Copied:
        for copier in self._copiers[:-1]:
            with suppress(FileRejected, SourceMissing):
                return copier.copy(file, there)
        return self._copiers[-1].copy(file, there)

    def _still_going(self) -> None:
        if self._over.is_set():
            raise Interrupted("another file has ended it")
        self._require_going()

    def _receive(self) -> None:
        """Take what one file has become, and settle from time to time. Raises: what ended it otherwise."""
        ended = self._ended.get()
        self._under_way -= 1
        match ended:
            case Copied():
                self._copied.append(ended)
            case Failed():
                self._failed.append(ended)
            case error:
                raise error
        waiting = len(self._copied) + len(self._failed)
        if waiting >= SETTLED_AT_ONCE or time.monotonic() - self._settled_at > SETTLE_SECONDS:
            self._settle()

    def _settle(self) -> None:
        """Settle what ended; what was copied, once it was seen in its place."""
        copied, failed, self._copied, self._failed = self._copied, self._failed, [], []
        if copied:
            copied, wrong = self._copier.confirm(copied)
            failed += wrong
        if copied or failed:
            self._ledger.settle(copied, failed)
        self._settled_at = time.monotonic()

    def _let_go(self) -> None:
        """Wait for what is under way, which ends early where it can."""
        while self._under_way:
            ended = self._ended.get()
            self._under_way -= 1
            if isinstance(ended, Copied):
                self._copied.append(ended)
            elif isinstance(ended, Failed):
                self._failed.append(ended)
