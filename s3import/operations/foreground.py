"""Work in a thread of its own, so that the main one can handle signals."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import Any, TypeVar

T = TypeVar("T")

SIGNAL_SECONDS = 0.2  # a signal may reach any thread, but only the main one handles it: it must not sleep for long


def in_thread(work: Callable[[], T]) -> T:
    """What the work gives. Raises: what it raises."""
    with ThreadPoolExecutor(1, "account") as coordinator:
        working = coordinator.submit(work)
        wait_for([working])
    return working.result()


def wait_for(futures: list[Future[Any]]) -> None:
    """Wait until all of them are done."""
    while wait(futures, SIGNAL_SECONDS).not_done:
        pass
