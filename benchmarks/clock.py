"""Runs programs to their end and notes how long they took and how much memory they held."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

S3IMPORT = Path(sys.executable).with_name("s3import")
Command = Sequence[str | Path]


@dataclass(frozen=True, slots=True)
class Timing:
    """Wall-clock seconds from start to end, and peak memory in bytes: the largest process's, where several ran."""

    seconds: float
    peak_bytes: int


def run(*commands: Command, environment: Mapping[str, str] | None = None, status: int = 0) -> Timing:
    """Run all commands at the same time. Raises: RuntimeError with the end of what they printed when one ends with
    another exit status."""
    with tempfile.TemporaryFile("w+b") as output:
        begun = time.perf_counter()
        processes = [_start(command, output.fileno(), environment) for command in commands]
        try:
            peaks = [_wait(process) for process in processes]
        finally:
            _end(processes)
        seconds = time.perf_counter() - begun
        output.seek(0)
        said = output.read()[-2_000:].decode(errors="replace")
    for process in processes:
        if process.returncode != status:
            raise RuntimeError(f"{process.args!r} ended with exit {process.returncode}:\n{said}")
    return Timing(seconds, max(peaks))


def _wait(process: subprocess.Popen[bytes]) -> int:
    """Wait for the end, and give the process's peak memory in bytes."""
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    return usage.ru_maxrss * 1024


def _end(processes: list[subprocess.Popen[bytes]]) -> None:
    """Whoever is still at work was interrupted: nobody uses a scratch database that is about to be dropped."""
    for process in processes:
        if process.returncode is None:
            process.terminate()
            process.wait()


def _start(command: Command, output: int, environment: Mapping[str, str] | None) -> subprocess.Popen[bytes]:
    surroundings = {**os.environ, **(environment or {})}
    surroundings.pop("PYTHONDONTWRITEBYTECODE", None)  # what pip installs is compiled once, not at every start
    return subprocess.Popen(
        [str(word) for word in command],
        env=surroundings,
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=output,
    )


def one_after_the_other(*steps: Callable[[], Timing]) -> Timing:
    """The sum of the steps' times, and the largest peak."""
    timings = [step() for step in steps]
    return Timing(sum(timing.seconds for timing in timings), max(timing.peak_bytes for timing in timings))


def alternate(contenders: Mapping[str, Callable[[], Timing]], rounds: int) -> dict[str, Timing]:
    """Run the contenders A B A B …, so that what else the machine does meets them alike; the medians of each."""
    timings: dict[str, list[Timing]] = {name: [] for name in contenders}
    for number in range(rounds):
        for name, contender in contenders.items():
            timing = contender()
            timings[name].append(timing)
            print(
                f"  {number + 1}/{rounds} {name}: {timing.seconds:.2f} s, {timing.peak_bytes >> 20} MB", file=sys.stderr
            )
    return {name: _medians(of_one) for name, of_one in timings.items()}


def _medians(timings: list[Timing]) -> Timing:
    return Timing(median(timing.seconds for timing in timings), round(median(timing.peak_bytes for timing in timings)))
