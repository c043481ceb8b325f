"""The line between the API's process and its parent."""

from __future__ import annotations

import multiprocessing
import threading

from s3import.server.api.process import METRICS, QUEUED, _Line


def test_a_request_does_not_wait_for_metrics() -> None:
    """Where the parent takes its time to measure, as with a database that does not answer, runs are queued all the
    same."""
    parent, child = multiprocessing.Pipe()
    line, measured = _Line(child), threading.Event()

    def measure() -> None:
        assert line.render_metrics() == b"rows 1"
        measured.set()

    threading.Thread(target=measure, daemon=True).start()
    assert parent.recv() == METRICS
    waking = threading.Thread(target=line.wake, daemon=True)
    waking.start()
    waking.join(60)
    assert not waking.is_alive()
    assert parent.recv() == QUEUED
    parent.send_bytes(b"rows 1")
    assert measured.wait(60)
