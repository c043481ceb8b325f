"""How much of a table's capacity may be used: Conversations works on it too."""

from __future__ import annotations

import fcntl
import struct
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import BinaryIO

_FREE_AT = struct.Struct("d")  # on the monotonic clock, all processes': when what was used is paid off


class ReadBudget:
    """At most so many read units a second on average, shared by whoever reads; None: as many as there are.

    `note`: a file, made here, by which processes that get this budget share it; without one a limit is this process's.
    """

    def __init__(self, units_per_second: float | None, note: Path | None = None) -> None:
        self._rate = units_per_second
        self._note = None if units_per_second is None else note or _Memory()
        if note is not None:
            note.write_bytes(_FREE_AT.pack(0.0))

    def wait(self) -> None:
        """Return when the next request may be made."""
        if self._note is None:
            return
        with _locked(self._note) as file:
            wait_seconds = _read(file) - time.monotonic()
        if wait_seconds > 0:
            time.sleep(wait_seconds)

    def spend(self, units: float) -> None:
        """Take note of what a request used."""
        if self._rate is None or self._note is None:
            return
        with _locked(self._note) as file:
            free_at = max(_read(file), time.monotonic()) + units / self._rate
            file.seek(0)
            file.write(_FREE_AT.pack(free_at))


class _Memory:
    """A note that no other process sees."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.file = BytesIO(_FREE_AT.pack(0.0))


@contextmanager
def _locked(note: Path | _Memory) -> Iterator[BinaryIO]:
    """The note, for nobody else meanwhile."""
    if isinstance(note, _Memory):
        with note.lock:
            yield note.file
        return
    with note.open("r+b") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield file


def _read(file: BinaryIO) -> float:
    file.seek(0)
    free_at: float = _FREE_AT.unpack(file.read(_FREE_AT.size))[0]
    return free_at
