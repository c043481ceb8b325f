"""Processes that stay leave when they are asked to, whatever does not answer them."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator

import pytest

from s3import.server.processes import stop_on_signals
from tests.server.processes.processes import wait_until


@pytest.fixture(autouse=True)
def _handlers() -> Iterator[None]:
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_drain_that_takes_too_long_is_ended(number: signal.Signals) -> None:
    """The status says which signal it was."""
    stop, ended = threading.Event(), list[int]()
    stop_on_signals(stop, drain_seconds=0.01, end=ended.append)
    os.kill(os.getpid(), number)
    wait_until(lambda: ended == [128 + number])
    assert stop.is_set()
