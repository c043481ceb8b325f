"""Measures what spreading costs: workers on a broker beside one `s3import migrate`, on PostgreSQL.

``python -m benchmarks.fleet`` prints a Markdown table of one large account and of many small ones: wall-clock seconds,
and seconds of processor time that s3import's processes took, which say what coordination costs also on a busy machine.
The dumps are kept below ``--folder``. Of the brokers only the queue `s3import-bench` is touched. Needs Linux's /proc.
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import median

import sqlalchemy as sa

from benchmarks.clock import S3IMPORT, Timing, run
from benchmarks.generate import Dump, cached, cached_accounts, cached_parts
from benchmarks.scratch import Postgres
from s3import.core.records import Pass
from s3import.core.tables import import_runs
from s3import.server.workers.tasks import make_celery
from s3import.status import State
from s3import.writers import open_database

QUEUE = "s3import-bench"
BROKERS = "amqp://guest:guest@127.0.0.1:5672//,redis://127.0.0.1:6379/9"
LOOK_SECONDS = 0.1
QUIET_SECONDS = 1.0  # in which a worker that waits for calls does next to nothing


@dataclass(frozen=True, slots=True)
class Load:
    """Accounts to be moved, and where their dumps are."""

    name: str
    dump: Dump
    accounts: Sequence[str]
    passes: str = "all"


@dataclass(frozen=True, slots=True)
class Crew:
    """So many worker processes on a broker."""

    broker: str
    workers: int

    def __str__(self) -> str:
        return f"{self.workers} on {self.broker.partition(':')[0]}"


@dataclass(frozen=True, slots=True)
class Took:
    """What a contender took."""

    seconds: float
    processor_seconds: float


def main() -> int:
    """Print the table. Returns the exit status."""
    options = _options()
    crews = [Crew(broker, workers) for broker in options.brokers.split(",") for workers in options.workers]
    print("| what | workers | seconds | ratio | processor | ratio |\n|---|---|---|---|---|---|", flush=True)
    with Postgres(options.postgres) as scratch:
        for load in _loads(options):
            for row in _rows(scratch, load, crews, options.rounds):
                print(row, flush=True)
    return 0


def _loads(options: argparse.Namespace) -> Iterator[Load]:
    if options.messages:
        large = cached(options.folder, options.messages)
        yield Load(f"one account of {options.messages:,} messages", large, [large.account])
    if options.accounts:
        small, names = cached_accounts(options.folder, options.accounts, 100)
        yield Load(f"{options.accounts:,} accounts of 100 messages", small, names)
    for parts in options.parts:
        many = cached_parts(options.folder, parts)
        yield Load(f"one account of {parts:,} parts", many, [many.account], Pass.RECENT)


def _rows(scratch: Postgres, load: Load, crews: Sequence[Crew], rounds: int) -> Iterator[str]:
    """Contenders in turns, so that what else the machine does meets them alike; medians."""
    contenders: dict[str, Callable[[], Took]] = {"none": partial(_alone, scratch, load)}
    contenders |= {str(crew): partial(_spread, scratch, load, crew) for crew in crews}
    took: dict[str, list[Took]] = {name: [] for name in contenders}
    for _ in range(rounds):
        for name, contender in contenders.items():
            took[name].append(contender())
            print(f"  {load.name}, {name}: {took[name][-1]}", file=sys.stderr)
    alone = _medians(took["none"])
    for name, one in ((name, _medians(each)) for name, each in took.items()):
        ratios = one.seconds / alone.seconds, one.processor_seconds / alone.processor_seconds
        figures = f"{one.seconds:.1f} | {ratios[0]:.2f} | {one.processor_seconds:.1f} | {ratios[1]:.2f}"
        yield f"| {load.name} | {name} | {figures} |"


def _medians(took: Sequence[Took]) -> Took:
    return Took(median(one.seconds for one in took), median(one.processor_seconds for one in took))


def _alone(scratch: Postgres, load: Load) -> Took:
    scratch.recreate()
    before = _processor_seconds_of_children()
    return Took(_migrate(scratch, load).seconds, _processor_seconds_of_children() - before)


def _spread(scratch: Postgres, load: Load, crew: Crew) -> Took:
    """From the request to the end of the last run; the workers are there already."""
    scratch.recreate()
    with _at_work(scratch, load, crew) as workers:
        before, begun = _processor_seconds_of_children() + _processor_seconds(workers), time.perf_counter()
        _migrate(scratch, load, "--detach")
        asked = _processor_seconds_of_children()
        _wait_for_end(scratch.url)
        return Took(time.perf_counter() - begun, asked + _processor_seconds(workers) - before)


def _wait_for_quiet(workers: Sequence[subprocess.Popen[bytes]]) -> None:
    """Until all have started and wait."""
    before = -1.0
    while (now := _processor_seconds(workers)) - before > 0.05 * len(workers):
        before = now
        time.sleep(QUIET_SECONDS)


def _processor_seconds_of_children() -> float:
    """Of those that have ended."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def _processor_seconds(workers: Sequence[subprocess.Popen[bytes]]) -> float:
    """Of processes that are alive."""
    stats = [Path(f"/proc/{worker.pid}/stat").read_text().rpartition(")")[2].split() for worker in workers]
    return sum(int(stat[11]) + int(stat[12]) for stat in stats) / os.sysconf("SC_CLK_TCK")


def _migrate(scratch: Postgres, load: Load, *options: str) -> Timing:
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as file:
        file.write("\n".join(load.accounts))
        file.flush()
        where = ("--source", load.dump.source, "--database", scratch.url)
        return run((S3IMPORT, "migrate", "--accounts-from", file.name, "--pass", load.passes, *where, *options))


@contextmanager
def _at_work(scratch: Postgres, load: Load, crew: Crew) -> Iterator[list[subprocess.Popen[bytes]]]:
    settings = {"S3IMPORT_BROKER": crew.broker, "S3IMPORT_QUEUE": QUEUE, "S3IMPORT_CONNECTIONS": "16"}
    command = (S3IMPORT, "worker", "--source", load.dump.source, "--database", scratch.url)
    environment, nowhere = {**os.environ, **settings}, subprocess.DEVNULL
    workers = [subprocess.Popen(command, env=environment, stdout=nowhere, stderr=nowhere) for _ in range(crew.workers)]
    try:
        _wait_for_quiet(workers)
        yield workers
    finally:
        for worker in workers:
            worker.terminate()
        for worker in workers:
            worker.wait()
        with make_celery(crew.broker, QUEUE).connection_for_write() as connection:
            connection.default_channel.queue_delete(QUEUE)


def _wait_for_end(url: str) -> None:
    database = open_database(url)
    left = sa.select(sa.func.count()).where(import_runs.c.state.in_([State.QUEUED, State.RUNNING]))
    while True:
        with database.read() as connection:
            if not connection.execute(left).scalar_one():
                break
        time.sleep(LOOK_SECONDS)
    database.close()


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.fleet", description=__doc__)
    parser.add_argument("--messages", type=int, default=200_000, help="of the large account")
    parser.add_argument("--accounts", type=int, default=1_000, help="small ones, of 100 messages each")
    parser.add_argument("--parts", type=_numbers, default=[], help="of accounts in many small parts, by commas")
    parser.add_argument("--workers", type=_numbers, default=[1, 2, 4], help="numbers of processes, by commas")
    parser.add_argument("--rounds", type=int, default=1, help="how often each contender runs, in turns")
    parser.add_argument("--brokers", default=BROKERS, help="URLs, by commas")
    parser.add_argument("--postgres", default="postgresql://postgres@127.0.0.1:5432", help="a server, by URL")
    parser.add_argument(
        "--folder", type=Path, default=Path(tempfile.gettempdir()) / "s3import-bench", help="keeps the dumps"
    )
    return parser.parse_args()


def _numbers(text: str) -> list[int]:
    return [int(number) for number in text.split(",")]


if __name__ == "__main__":
    sys.exit(main())
