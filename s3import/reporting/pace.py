"""How fast this machine is at the moment, beside the one on which the study was made.

A fixed piece of work is done over and over for a quarter of a second. The processor time that it takes tells how fast
the processors are, the time that passes besides how busy they are with something else.
"""

from __future__ import annotations

import hashlib
import time
import zlib

from s3import.reporting.timing import Range, coefficients

LOOK_SECONDS = 0.25
LEAST_ROUNDS, MOST_ROUNDS = 3, 1000
LINES = 3000  # of the text that is compressed, 84 bytes each
FASTEST, SLOWEST = 0.2, 20.0  # times the study's machine: beyond that something else was measured


def pace() -> Range:
    """How many times as long as on the study's machine things take on this one, now.

    An import works in several threads and processes and gets more of a busy machine than the one thread that looks:
    half as much waiting is expected, and between a quarter of it and all.
    """
    processor_seconds, seconds = yardstick()
    slower = min(max(processor_seconds / coefficients()["yardstick_seconds"], FASTEST), SLOWEST)
    waiting = min(max(seconds / processor_seconds - 1, 0.0), SLOWEST)
    return Range.exactly(slower).times(1 + waiting / 4, 1 + waiting / 2, 1 + waiting)


def yardstick() -> tuple[float, float]:
    """The processor seconds that one round of the fixed work takes, and the seconds that pass meanwhile."""
    text = b"".join(hashlib.sha256(b"%d" % number).hexdigest().encode() + b" words between them " for number in _LINES)
    rounds, used, began = 0, time.thread_time(), time.perf_counter()
    while rounds < LEAST_ROUNDS or (rounds < MOST_ROUNDS and time.perf_counter() - began < LOOK_SECONDS):
        zlib.compress(text, 1)
        rounds += 1
    passed = time.perf_counter() - began
    return max(time.thread_time() - used, passed / 1000) / rounds, passed / rounds


_LINES = range(LINES)
