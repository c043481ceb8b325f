"""Work that repeats: at once, when woken, after a failure, and not after its end."""

from __future__ import annotations

import queue
import threading

import pytest

from s3import.core.timers import Ticker, end_process_after

PATIENCE_SECONDS = 30.0


def test_work_begins_at_once_and_again_when_woken() -> None:
    """Nobody waits for the interval where there is something to do."""
    rounds: queue.Queue[int] = queue.Queue()
    ticker = Ticker("test", lambda: rounds.put(1), 3600.0)
    ticker.start()
    assert rounds.get(timeout=PATIENCE_SECONDS)
    ticker.wake()
    assert rounds.get(timeout=PATIENCE_SECONDS)
    ticker.stop()
    ticker.join(PATIENCE_SECONDS)
    assert rounds.empty()


def test_what_fails_is_said_and_tried_in_the_next_round(caplog: pytest.LogCaptureFixture) -> None:
    """A fault ends no thread, and its text, which may hold a customer's, is not logged."""
    tries: queue.Queue[int] = queue.Queue()

    def work() -> None:
        tries.put(1)
        raise ValueError("secret")

    ticker = Ticker("test", work, 0.0)
    ticker.start()
    assert [tries.get(timeout=PATIENCE_SECONDS) for _ in range(2)] == [1, 1]
    ticker.stop()
    ticker.join(PATIENCE_SECONDS)
    assert "ValueError" in caplog.text
    assert "secret" not in caplog.text


def test_a_last_round_after_the_end() -> None:
    """What must be done once more is done after the stop, and only there."""
    stop, rounds = threading.Event(), []
    stop.set()
    ticker = Ticker("test", lambda: rounds.append(1), 3600.0, stop=stop, once_more=True)
    ticker.start()
    ticker.join(PATIENCE_SECONDS)
    assert rounds == [1]


def test_a_process_that_does_not_end_is_ended() -> None:
    """The status given is the one it ends with."""
    ended: queue.Queue[int] = queue.Queue()
    end_process_after(0.0, 143, ended.put)
    assert ended.get(timeout=PATIENCE_SECONDS) == 143
