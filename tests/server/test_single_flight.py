"""Looks into the database are shared by those who ask at the same time, and never show the past."""

from __future__ import annotations

import asyncio
import threading
import time

import pytest

from s3import.server.single_flight import SingleFlight


class Counter:
    """Reads of a number that grows with each."""

    def __init__(self, seconds: float = 0.0) -> None:
        self.reads = 0
        self.at_once = 0
        self._seconds = seconds
        self._lock = threading.Lock()

    def read(self, key: str) -> bytes:
        if not self._lock.acquire(blocking=False):
            raise AssertionError("two looks at once")
        time.sleep(self._seconds)
        self.reads += 1
        number = self.reads
        self._lock.release()
        return b"%s %d" % (key.encode(), number)


def test_who_asks_together_shares_a_look() -> None:
    """A hundred simultaneous questions cost one look, or two where some came while it was under way."""

    async def ask() -> None:
        await asyncio.gather(*(single_flight.at("a") for _ in range(100)))

    counter = Counter()
    single_flight = SingleFlight(counter.read, 0.01)
    asyncio.run(ask())
    assert counter.reads == 1


def test_who_asks_later_gets_a_later_look() -> None:
    """A look that began before the question is not its answer."""

    async def ask() -> tuple[bytes, bytes]:
        first = asyncio.create_task(single_flight.at("a"))
        await asyncio.sleep(0.02)
        return await first, await single_flight.at("a")

    single_flight = SingleFlight(Counter(seconds=0.05).read, 0.01)
    assert asyncio.run(ask()) == (b"a 1", b"a 2")


def test_answers_never_go_back() -> None:
    """However questions and looks overlap, what is answered later is not older, and one key has one look at a time."""

    async def ask(number: int) -> None:
        await asyncio.sleep(number * 0.003)
        shown.append(int((await single_flight.at("a")).split()[1]))

    async def ask_all() -> None:
        await asyncio.gather(*(ask(number) for number in range(60)))

    shown: list[int] = []
    counter = Counter(seconds=0.004)
    single_flight = SingleFlight(counter.read, 0.01)
    asyncio.run(ask_all())
    assert shown == sorted(shown)
    assert counter.reads < 40


def test_a_failed_look_fails_those_who_waited_for_it_only() -> None:
    """An error is the answer of one look; the next question gets a new one."""

    async def ask() -> bytes:
        with pytest.raises(KeyError):
            await single_flight.at("a")
        return await single_flight.at("a")

    known: dict[str, bytes] = {}

    def read(key: str) -> bytes:
        try:
            return known[key]
        finally:
            known[key] = b"fine"

    single_flight = SingleFlight(read, 0.001)
    assert asyncio.run(ask()) == b"fine"


def test_who_goes_away_takes_nothing_from_others() -> None:
    """A cancelled question leaves the look to those who still wait."""

    async def ask() -> bytes:
        gone, still_there = asyncio.create_task(single_flight.at("a")), asyncio.create_task(single_flight.at("a"))
        await asyncio.sleep(0.01)
        gone.cancel()
        return await still_there

    single_flight = SingleFlight(Counter(seconds=0.03).read)
    assert asyncio.run(ask()) == b"a 1"


def test_keys_do_not_wait_for_each_other() -> None:
    """Different accounts are looked up side by side, and nothing stays behind in memory."""

    async def ask() -> None:
        await asyncio.gather(*(single_flight.at(str(number)) for number in range(4)))
        while single_flight._busy or single_flight._next:  # noqa: ASYNC110 - nobody tells
            await asyncio.sleep(0.01)

    def read(key: str) -> bytes:
        together.wait(120)
        return key.encode()

    together = threading.Barrier(4)
    single_flight = SingleFlight(read, 0.01)
    asyncio.run(ask())
