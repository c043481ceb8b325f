"""SIGINT and SIGTERM stop the work between two batches."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import click

from s3import.core.errors import S3ImportError
from s3import.core.timers import end_process_after

GRACE_SECONDS = 4.0  # how long the batch at hand may take to finish once a signal came
STOPPING = b"stopping: the batch at hand is being finished, the checkpoint is kept\n"


class Stop(threading.Event):
    """Set by SIGINT or SIGTERM; `exit_status` is then 128 plus the signal's number, and 0 otherwise."""

    exit_status = 0


@contextmanager
def signals() -> Iterator[Stop]:
    """Let SIGINT and SIGTERM stop the work between two batches, and end the process if that takes too long."""
    stop = Stop()

    def handle(number: int, _: object) -> None:
        if not stop.is_set():
            stop.exit_status = 128 + number
            stop.set()
            with suppress(OSError):  # straight to the file: a print may be under way in this very thread
                os.write(sys.stderr.fileno(), STOPPING)
            end_process_after(GRACE_SECONDS, stop.exit_status)

    before = {number: signal.signal(number, handle) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop
    except S3ImportError as error:
        if stop.is_set():
            raise click.exceptions.Exit(stop.exit_status) from error
        raise
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
