"""Many who ask the same question at the same time share one look into the database."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)

SPACING_SECONDS = 0.02


class SingleFlight(Generic[K]):
    """Looks things up by `read` (in a thread), each key one look at a time and at most one each `spacing_seconds`.

    A look serves everybody who asked before it began, nobody who asked after: what is shown is never older than the
    question, so that progress never goes backwards, whichever of several servers is asked. Who asks alone never waits.
    Belongs to one event loop.
    """

    def __init__(self, read: Callable[[K], bytes], spacing_seconds: float = SPACING_SECONDS) -> None:
        self._read = read
        self._spacing_seconds = spacing_seconds
        self._next: dict[K, asyncio.Task[bytes]] = {}
        self._busy: dict[K, asyncio.Event] = {}

    async def at(self, key: K) -> bytes:
        """What `read` says of the key from now on. Raises: whatever `read` raises."""
        look = self._next.get(key)
        if look is None:
            look = self._next[key] = asyncio.create_task(self._look(key))
            look.add_done_callback(_take_notice)
        return await asyncio.shield(look)  # one who goes away takes nothing from the others

    async def _look(self, key: K) -> bytes:
        while busy := self._busy.get(key):
            await busy.wait()
        del self._next[key]
        self._busy[key] = asyncio.Event()
        loop = asyncio.get_running_loop()
        next_at = loop.time() + self._spacing_seconds
        try:
            return await loop.run_in_executor(None, self._read, key)
        finally:
            loop.call_at(next_at, self._free, key)

    def _free(self, key: K) -> None:
        self._busy.pop(key).set()


def _take_notice(look: asyncio.Task[bytes]) -> None:
    """An error that nobody waits for any more is nobody's concern."""
    if not look.cancelled():
        look.exception()
