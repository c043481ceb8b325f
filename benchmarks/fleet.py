"""Measures what spreading costs: workers on a broker beside one `s3import migrate`, on PostgreSQL.

``python -m benchmarks.fleet`` prints a Markdown table of one large account, of many small ones and of accounts of mixed
sizes (Zipf's law): wall-clock seconds, and seconds of processor time that the processes of s3import and of the database
server took, which say what coordination costs. The server is to be this machine's, and nobody else's meanwhile.

The ideal is what one command takes that imports all accounts: its processor seconds and the server's, without those of
a command that finds nothing to do, which is the start-up. Workers have started before, and somebody has to ask: the
same start-up is taken off what workers and that request take. What is left above the ideal is coordination.

``--mixed 100 --mixed-messages 200000 --messages 0 --accounts 0 --workers 4 --rounds 3`` measures the mixture alone.
The dumps are kept below ``--folder``. Of the brokers only the queue `s3import-bench` is touched. Needs Linux's /proc.
"""

from __future__ import annotations

import argparse
import ctypes
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import astuple, dataclass, replace
from functools import partial
from pathlib import Path
from statistics import median

import sqlalchemy as sa

from benchmarks.clock import S3IMPORT, Timing, run
from benchmarks.generate import Dump, cached, cached_accounts, cached_mixture, cached_parts
from benchmarks.scratch import Postgres
from s3import.core.records import Pass
from s3import.core.tables import import_runs
from s3import.server.workers.tasks import make_celery
from s3import.status import State
from s3import.writers import open_database

PR_SET_CHILD_SUBREAPER = 36  # <linux/prctl.h>
QUEUE = "s3import-bench"
BROKERS = "amqp://guest:guest@127.0.0.1:5672//,redis://127.0.0.1:6379/9"
LOOK_SECONDS = 0.1
COLUMNS = (
    "what",
    "workers",
    "seconds",
    "ratio",
    "processor",
    "ratio",
    "server",
    "both, without start-up",
    "over ideal",
)
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
    """What a contender took; the processor seconds are s3import's and the database server's."""

    seconds: float
    processor_seconds: float
    server_seconds: float

    @property
    def work_seconds(self) -> float:
        """The processor time of both."""
        return self.processor_seconds + self.server_seconds


def main() -> int:
    """Print the table. Returns the exit status."""
    options = _options()
    _adopt_orphans()
    crews = [Crew(broker, workers) for broker in options.brokers.split(",") for workers in options.workers]
    print(f"| {' | '.join(COLUMNS)} |\n{'|---' * len(COLUMNS)}|", flush=True)
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
    if options.mixed:
        mixture, names = cached_mixture(options.folder, options.mixed, options.mixed_messages)
        yield Load(f"{options.mixed:,} accounts of {options.mixed_messages:,} messages in all", mixture, names)
    for parts in options.parts:
        many = cached_parts(options.folder, parts)
        yield Load(f"one account of {parts:,} parts", many, [many.account], Pass.RECENT)


def _rows(scratch: Postgres, load: Load, crews: Sequence[Crew], rounds: int) -> Iterator[str]:
    """Contenders in turns, so that what else the machine does meets them alike; medians."""
    contenders: dict[str, Callable[[], Took]] = {"none": partial(_alone, scratch, load)}
    contenders |= {str(crew): partial(_spread, scratch, load, crew) for crew in crews}
    start_up = median(_start_up(scratch, load) for _ in range(rounds))
    took: dict[str, list[Took]] = {name: [] for name in contenders}
    for _ in range(rounds):
        for name, contender in contenders.items():
            took[name].append(contender())
            print(f"  {load.name}, {name}: {took[name][-1]}", file=sys.stderr)
    alone = _medians(took["none"])
    ideal = alone.work_seconds - start_up
    for name, one in ((name, _medians(each)) for name, each in took.items()):
        figures = (
            f"{one.seconds:.1f}",
            f"{one.seconds / alone.seconds:.2f}",
            f"{one.processor_seconds:.1f}",
            f"{one.processor_seconds / alone.processor_seconds:.2f}",
            f"{one.server_seconds:.1f}",
            f"{one.work_seconds - start_up:.1f}",
            "is it" if name == "none" else f"{(one.work_seconds - start_up) / ideal - 1:+.0%}",
        )
        yield f"| {load.name} | {name} | {' | '.join(figures)} |"


def _medians(took: Sequence[Took]) -> Took:
    return Took(*(median(column) for column in zip(*map(astuple, took), strict=True)))


@contextmanager
def _measured(server: str, workers: Sequence[subprocess.Popen[bytes]] = ()) -> Iterator[list[Took]]:
    """What the block takes, in the list behind it; `workers` are alive all the time."""
    postmaster, took = _postmaster(server), list[Took]()

    def now() -> tuple[float, float, float]:
        processor = _processor_seconds_of_children() + _processor_seconds(worker.pid for worker in workers)
        return time.perf_counter(), processor, _processor_seconds_below(postmaster)

    before = now()
    yield took
    took.append(Took(*(after - was for after, was in zip(now(), before, strict=True))))


def _alone(scratch: Postgres, load: Load) -> Took:
    scratch.recreate()
    with _measured(scratch.server) as took:
        _migrate(scratch, load)
        _wait_for_orphans()
    return took[0]


def _start_up(scratch: Postgres, load: Load) -> float:
    """The processor seconds of a command that has nothing to do, and of the server meanwhile."""
    nothing = replace(load, accounts=load.accounts[-1:])
    scratch.recreate()
    _migrate(scratch, nothing)
    with _measured(scratch.server) as took:
        _migrate(scratch, nothing)
        _wait_for_orphans()
    return took[0].work_seconds


def _adopt_orphans() -> None:
    """The processes of a command end after it: have them count as this one's children."""
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def _wait_for_orphans() -> None:
    """Until all processes have ended that this one or a command has started."""
    with suppress(ChildProcessError):
        while True:
            os.wait()


def _spread(scratch: Postgres, load: Load, crew: Crew) -> Took:
    """From the request to the end of the last run; the workers are there already."""
    scratch.recreate()
    with _at_work(scratch, load, crew) as workers, _measured(scratch.server, workers) as took:
        _migrate(scratch, load, "--detach")
        _wait_for_end(scratch.url)
    return took[0]


def _wait_for_quiet(workers: Sequence[subprocess.Popen[bytes]]) -> None:
    """Until all have started and wait."""
    before = -1.0
    while (now := _processor_seconds(worker.pid for worker in workers)) - before > 0.05 * len(workers):
        before = now
        time.sleep(QUIET_SECONDS)


def _processor_seconds_of_children() -> float:
    """Of those that have ended."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def _processor_seconds(pids: Iterable[int]) -> float:
    """Of processes that are alive."""
    ticks = 0
    for pid in pids:
        with suppress(FileNotFoundError, ProcessLookupError):  # it has ended since
            ticks += sum(map(int, _stat(pid)[11:13]))
    return ticks / os.sysconf("SC_CLK_TCK")


def _postmaster(server: str) -> int:
    """The process that all processes of a server of this machine are children of."""
    with closing(open_database(server)) as database, database.look() as connection:
        return int(_stat(connection.execute(sa.select(sa.func.pg_backend_pid())).scalar_one())[1])


def _processor_seconds_below(postmaster: int) -> float:
    """Of a server's processes, those that have ended included."""
    children = Path(f"/proc/{postmaster}/task/{postmaster}/children").read_text().split()
    ended = sum(map(int, _stat(postmaster)[11:15])) / os.sysconf("SC_CLK_TCK")
    return ended + _processor_seconds(map(int, children))


def _stat(pid: int) -> list[str]:
    """What the kernel tells of a process, from its state on."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()


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
    parser.add_argument("--mixed", type=int, default=100, help="accounts of mixed sizes")
    parser.add_argument("--mixed-messages", type=int, default=200_000, help="that these have in all")
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
