"""Many workers in one process: they share a database and a queue on which there is no relying."""

from __future__ import annotations

import functools
import random
import tempfile
import threading
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import sqlalchemy as sa

from s3import.core.errors import S3ImportError
from s3import.core.limits import RejectLimit
from s3import.core.records import HALVES, ROW_ENTITIES, Pass
from s3import.core.settings import Settings
from s3import.core.tables import import_parts, import_runs
from s3import.importing.importer import Importer
from s3import.importing.part_claims import Bundle, Capacity
from s3import.importing.requests import Request
from s3import.importing.retries import Retries
from s3import.importing.transactions import Transactions
from s3import.operations.composition import file_copier
from s3import.operations.sources import source_opener
from s3import.server.workers.fleet import FleetWorker
from s3import.status import State
from tests import commands as app
from tests.importing.dumps import ACCOUNT, Dump, Record, account_document, lines, records, write
from tests.importing.moving import BOTH, execute, ignore, migrate, settings_for, snapshot

T = TypeVar("T")
Call = tuple[str, Bundle | None]
"""A run's id, and the parts to import; None: the run is to be planned."""
LONG = 1e6  # seconds
FEW_SECONDS = 13.0  # enough to look after a run again, in tests; offers go on


class Killed(BaseException):
    """What a worker feels of `kill -9`: nothing of its own runs any more."""


def die(connection: object) -> None:
    """A strike that takes the worker's life."""
    raise Killed


@dataclass
class FakeQueue:
    """Carries calls in any order; some never arrive and some come twice, as `draw` decides. `down`: takes nothing."""

    draw: random.Random = field(default_factory=lambda: random.Random(0))
    loses: float = 0.0
    repeats: float = 0.0
    down: bool = False
    waiting: list[Call] = field(default_factory=list)
    sent: list[Call] = field(default_factory=list)

    def send_plan(self, run_id: str) -> bool:
        return self._send((run_id, None))

    def send_parts(self, run_id: str, bundle: Bundle) -> bool:
        return self._send((run_id, bundle))

    def take(self) -> Call:
        return self.waiting.pop(self.draw.randrange(len(self.waiting)))

    def _send(self, call: Call) -> bool:
        if self.down:
            return False
        self.sent.append(call)
        if self.draw.random() >= self.loses:
            self.waiting += [call] * (2 if self.draw.random() < self.repeats else 1)
        return True


@dataclass(frozen=True, slots=True)
class Fleet:
    """Workers, and the queue that brings their calls."""

    settings: Settings
    queue: FakeQueue
    workers: Sequence[FleetWorker]
    stops: Sequence[threading.Event]

    def deliver(self, call: Call | None = None, worker: int | None = None) -> None:
        """Let a worker, any or that one, take a call, any or that one."""
        run_id, bundle = call or self.queue.take()
        chosen = self.workers[worker] if worker is not None else self.queue.draw.choice(self.workers)
        chosen.plan(run_id) if bundle is None else chosen.import_parts(run_id, bundle)

    def sweep(self) -> None:
        self.queue.draw.choice(self.workers).sweep()

    def deliver_all(self) -> None:
        """Until the queue is empty."""
        while self.queue.waiting:
            self.deliver()

    def work(self) -> None:
        """Until nothing is queued or running that could go on; when nothing is on its way any more, time passes."""
        for _ in range(1000):
            self.sweep()
            self.deliver_all()
            if not ({State.QUEUED, State.RUNNING} & set(states(self.settings))):
                return
            let_time_pass(self.settings)
        raise AssertionError("the runs do not come to an end")


@contextmanager
def fleet(
    settings: Settings,
    count: int = 2,
    *,
    queue: FakeQueue | None = None,
    limit: RejectLimit = RejectLimit(),
    capacity: Capacity = Capacity(),  # noqa: B008 - frozen
    retries: Retries = Retries(),  # noqa: B008 - frozen
) -> Iterator[Fleet]:
    """So many workers, each with connections of its own."""
    queue, workers, stops = queue or FakeQueue(), [], []
    with ExitStack() as stack:
        for _ in range(count):
            stop, database = threading.Event(), app.connect(settings)
            stack.callback(database.close)
            opener = source_opener(settings, 1)
            transactions = Transactions(database, settings.retry_seconds, ignore, stop)
            importer = Importer(
                transactions, settings, open_source=opener, files=file_copier(settings, transactions), workers=1
            )
            stack.enter_context(importer)
            workers.append(FleetWorker(importer, queue, limit=limit, retries=retries, capacity=capacity))
            stops.append(stop)
        yield Fleet(settings, queue, workers, stops)


def ask(
    settings: Settings, *accounts: str, passes: Sequence[Pass] = BOTH, again: bool = False
) -> list[S3ImportError | None]:
    """What `s3import migrate --detach` does; the error of each account."""
    requests = [Request(account, tuple(passes), settings.source, again=again) for account in accounts or (ACCOUNT,)]
    return [r.error for r in app.queue(settings, requests, observe=ignore, stop=threading.Event())]


def let_time_pass(settings: Settings, seconds: float = LONG) -> None:
    """So much of it for every lease, every offer and every wait; by default they all end."""
    parts, runs = import_parts.c, import_runs.c
    execute(
        settings,
        import_parts.update().values(lease_until=parts.lease_until - seconds),
        import_runs.update().values(lease_until=runs.lease_until - seconds, not_before=runs.not_before - seconds),
    )


def states(settings: Settings) -> list[str]:
    """The states of all runs, by account and pass."""
    return _of_runs(settings, import_runs.c.state)


def error_codes(settings: Settings) -> list[str]:
    """As `states`, what each run ended with."""
    return _of_runs(settings, import_runs.c.error_code)


def _of_runs(settings: Settings, column: sa.ColumnElement[str]) -> list[str]:
    query = sa.select(column).order_by(import_runs.c.account_id, import_runs.c["pass"])
    return list(scalars(settings, query))


def holders(settings: Settings) -> set[str]:
    """Who imported parts."""
    return set(scalars(settings, sa.select(import_parts.c.holder).where(import_parts.c.holder.is_not(None))))


def scalars(settings: Settings, query: sa.Select[T]) -> Sequence[T]:
    """What the database answers."""
    database = app.connect(settings)
    with database.read() as connection:
        found = connection.scalars(query).all()
    database.close()
    return found


@functools.cache
def undisturbed() -> dict[str, Any]:
    """The `snapshot` that one process leaves of a `spread_dump`, made once for all tests."""
    with tempfile.TemporaryDirectory() as folder:
        write(spread_dump(), Path(folder))
        alone = settings_for(folder, f"sqlite:///{folder}/undisturbed.db")
        migrate(alone)
        return snapshot(alone)


def spread_dump(parts: int = 3, count: int = 4, account: str = ACCOUNT) -> Dump:
    """Both passes, so many parts for each entity with a broken line each; what is in one is in no other."""
    dump = {"account.json": account_document(account)}
    for pass_ in HALVES:
        for entity in ROW_ENTITIES:
            for number in range(parts):
                made: list[Record | bytes] = [*records(entity, count, account, f"{pass_}-{number}-"), b'{"id":"broken"']
                dump[f"{pass_}/{entity}/part-{number}.jsonl"] = lines(made)
    return dump
