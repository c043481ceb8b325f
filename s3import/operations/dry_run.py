"""A dry run: reads and checks a dump as a migration would, and writes nothing.

Faults of the records themselves are found and, with a database to look into, brands and channels that the account does
not have. Whether a thread or message exists is only known to a real run, but for an account that has none at all.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, Protocol, TypeVar

import sqlalchemy as sa
from sqlalchemy import Connection

from s3import.core.errors import AllRejected, Interrupted, S3ImportError
from s3import.core.events import AccountEnded, Advanced, Observer, PassEnded, PassStarted
from s3import.core.limits import Counters
from s3import.core.records import HALVES, ROW_ENTITIES, Entity, Pass, Plan, PlannedPart, Reject
from s3import.core.resets import Standing, look_at_account
from s3import.core.settings import Settings
from s3import.importing.admission import source_of
from s3import.importing.all_rejected import explain
from s3import.importing.claims import require_turn
from s3import.importing.estimates import place_of
from s3import.importing.importer import no_account
from s3import.importing.parents import KnownParents, parents_of
from s3import.importing.requests import Request, Result
from s3import.importing.transactions import Transactions
from s3import.operations.composition import opened, readers
from s3import.operations.sources import Shared, source_opener
from s3import.readers.dump.account_document import read_account_document
from s3import.readers.reading import CheckedBatch, read_checked, require_expected_rows
from s3import.readers.sources.source import DumpSource, SourceOpener
from s3import.reporting import timing
from s3import.reporting.pace import pace
from s3import.reporting.timing import Forecast, Load, Place, Work, load_of, work_for
from s3import.transform.validators import make_rejects
from s3import.writers import schema

REJECTS_SHOWN = 100
T = TypeVar("T")


class Reader(Protocol):
    """Does work that only reads from the database."""

    def __call__(self, work: Callable[[Connection], T]) -> T: ...


def dry_run_accounts(
    settings: Settings,
    requests: list[Request],
    *,
    shared: Shared | None = None,
    observe: Observer,
    stop: threading.Event,
) -> list[Result]:
    """Read and check the accounts' dumps, one after the other; a result for each. A database is only looked into, and
    not at all where none was named and the default one does not exist."""
    open_dump = source_opener(settings, 1, shared)
    with opened(settings, observe=observe, stop=stop) as operations:
        look = _reader(operations.transactions, named=settings.database != Settings().database)
        dry_runs = (DryRun(request, settings.block_bytes, observe, stop, look) for request in requests)
        place = replace(place_of(operations.database, readers(settings)), pace=pace())
        estimate = partial(DryRun.estimate, place=place, files_to=settings.files_to)
        return [_result_of(dry_run, open_dump, observe, estimate) for dry_run in dry_runs]


def _reader(transactions: Transactions, *, named: bool) -> Reader | None:
    """How a dry run looks into the database; a file that does not exist is not made, and is as good as empty."""
    if transactions.database.is_there:
        return partial(transactions.read, "")
    return _look_into_nothing if named else None


def _look_into_nothing(work: Callable[[Connection], T]) -> T:
    with sa.create_engine("sqlite://").connect() as connection:  # in memory
        return work(connection)


def _result_of(
    dry_run: DryRun, open_dump: SourceOpener, observe: Observer, estimate: Callable[[DryRun], None]
) -> Result:
    error = None
    try:
        dry_run.run(open_dump)
        estimate(dry_run)
    except S3ImportError as found:
        error = found
    observe(AccountEnded(dry_run.account_id, error.code if error else None))
    return Result(dry_run.account_id, dry_run.document(error), dry_run.passes, dry_run.rejected, error)


class DryRun:
    """Checks the passes of a request, and tells what it found so far even when it is stopped half-way."""

    def __init__(
        self, request: Request, block_bytes: int, observe: Observer, stop: threading.Event, look: Reader | None
    ) -> None:
        self._request, self._block_bytes, self._observe, self._stop = request, block_bytes, observe, stop
        self._look = look
        self.account_id = request.account_id
        self._parents: KnownParents | None = None
        self._checks: dict[Pass, _PassCheck] = {}
        self._estimate: dict[str, Any] = {}

    def run(self, open_source: SourceOpener) -> None:
        """Check everything.

        Raises: DumpNotFound, PartUnreadable, TooManyRejects, AllRejected and whatever else would end a run.
        """
        if self._look:
            self._look(self._require_turn)
        for pass_ in self._request.passes:
            source = open_source(self._source_of(pass_), self._request.account_id)
            check_ = self._checks[pass_] = _PassCheck(self._request, pass_, self._observe, self._require_going)
            plan = source.plan(pass_)
            if self._parents is None:
                self._parents = self._find_parents(source)
            check_.run(source, plan, self._parents, self._block_bytes)

    def estimate(self, place: Place, files_to: str | None) -> None:
        """Say how long the import of what was checked would take there."""
        forecasts = {
            pass_: self._expect(check_.work(files_to, place.slower), place)
            for pass_, check_ in self._checks.items()
            if pass_ in HALVES
        }
        if forecasts:
            usable, complete = timing.until(forecasts, place)
            basis = next(iter(forecasts.values())).basis
            spans = {"usable_seconds": usable.document(), "complete_seconds": complete and complete.document()}
            self._estimate = {**spans, "basis": basis}

    def _expect(self, work: Work, place: Place) -> Forecast:
        def look(connection: Connection) -> Forecast | None:
            return timing.expect(connection, work, place) if schema.is_there(connection) else None

        return (self._look(look) if self._look else None) or timing.forecast(work, place, timing.inexperienced())

    def _require_turn(self, connection: Connection) -> None:
        nobody = Standing(self._request.account_id, None, None)
        found = look_at_account(connection, nobody.account_id) if schema.is_there(connection) else nobody
        require_turn(found, self._request.passes[0])

    def _source_of(self, pass_: Pass) -> str:
        if self._request.source is None and self._look:
            return self._look(partial(source_of, account_id=self._request.account_id, pass_=pass_))
        return self._request.source or ""

    def _find_parents(self, source: DumpSource) -> KnownParents:
        """Raises: AccountNotFound, SchemaMismatch, InvalidAccountDocument."""
        document = read_account_document(source.companion, self._request.account_id)
        if not self._look:
            return KnownParents()
        found = self._look(partial(parents_of, account_id=self._request.account_id, document=document))
        if found is None:
            raise no_account(self._request.account_id, source)
        return found

    @property
    def passes(self) -> tuple[Pass, ...]:
        """The passes that were checked to their end."""
        return tuple(pass_ for pass_, check_ in self._checks.items() if check_.done)

    @property
    def rejected(self) -> int:
        return sum(check_.counters.rejected for check_ in self._checks.values())

    def document(self, error: S3ImportError | None) -> dict[str, Any]:
        """What was found: counts, and the first `REJECTS_SHOWN` rejects of each pass; `error` ended it."""
        return {
            "account_id": self._request.account_id,
            "dry_run": True,
            **({"estimate": self._estimate} if self._estimate else {}),
            "passes": {
                pass_.value: self._pass_document(pass_, error) for pass_ in {**dict.fromkeys(HALVES), **self._checks}
            },
        }

    def _pass_document(self, pass_: Pass, error: S3ImportError | None) -> dict[str, Any] | None:
        check_ = self._checks.get(pass_)
        return check_.document(None if check_.done else error) if check_ else None

    def _require_going(self) -> None:
        if self._stop.is_set():
            raise Interrupted(f"account {self._request.account_id}: the dry run was interrupted; it wrote nothing")


def _nothing() -> Counter[str]:
    return Counter(read=0, rejected=0, sanitised=0)


class _PassCheck:
    def __init__(self, request: Request, pass_: Pass, observe: Observer, require_going: Callable[[], None]) -> None:
        self._account_id, self._pass, self._observe = request.account_id, pass_, observe
        self._require_going = require_going
        self._counts = {entity.value: _nothing() for entity in ROW_ENTITIES}
        self._loads: dict[Entity, Load] = {}
        self._codes: dict[Entity, Counter[str]] = {entity: Counter() for entity in Entity}
        self._shown: list[dict[str, Any]] = []
        self._ignored: frozenset[str] = frozenset()
        self._skipped: tuple[str, ...] = ()
        self.counters = Counters(request.limit, dry_run=True)
        self.done = False

    def run(self, source: DumpSource, plan: Plan, parents: KnownParents, block_bytes: int) -> None:
        self._skipped = plan.skipped_objects
        self._counts |= {part.entity.value: _nothing() for part in plan.parts}
        total = sum(part.stored.size_bytes for part in plan.parts)
        self._observe(PassStarted(self._account_id, self._pass, "dry run", 1, len(plan.parts), 0, total, 0, 0, 0))
        for part in plan.parts:
            self._check_part(source, part, parents, block_bytes)
        self._require_within_limit(parents, final=True)
        self._loads = {entity: load.of(self._counts[entity.value]["read"]) for entity, load in self._loads.items()}
        self.done = True
        self._observe(PassEnded(self._account_id, self._pass, None))

    def work(self, files_to: str | None, slower: float) -> Work:
        """What importing the pass would ask for, now that it is read, on a machine so many times as slow as the
        study's."""
        loads = {entity: replace(load, read_seconds=load.read_seconds * slower) for entity, load in self._loads.items()}
        return work_for(loads, files_to)

    def document(self, error: S3ImportError | None) -> dict[str, Any]:
        by_code = sum(self._codes.values(), Counter[str]())
        return {
            "counts": {entity: dict(counts) for entity, counts in self._counts.items()},
            "rejects": {"total": self.counters.rejected, "by_code": dict(sorted(by_code.items()))},
            "first_rejects": self._shown,
            "ignored_fields": sorted(self._ignored),
            "skipped_objects": list(self._skipped),
            "error": {"code": error.code, "message": error.message} if error else None,
        }

    def _check_part(self, source: DumpSource, part: PlannedPart, parents: KnownParents, block_bytes: int) -> None:
        before = self.counters.read
        self._loads[part.entity] = self._loads.get(part.entity, Load()) + load_of(part)
        for read in read_checked(source, part, self._account_id, block_bytes=block_bytes):
            self._require_going()
            self._count(part, read, parents)
        require_expected_rows(self._pass, part, self.counters.read - before)
        self._observe(Advanced(self._account_id, self._pass, 0, 0, 0, 1))

    def _count(self, part: PlannedPart, found: CheckedBatch, parents: KnownParents) -> None:
        batch, checked, bytes_ = found.batch, found.checked, found.new_bytes
        orphans = parents.missing(part.entity, checked.accepted)
        rows = {checked.rows[index].as_py(): reasons for index, reasons in orphans.items()}
        rejects = sorted([*checked.rejects, *make_rejects(batch, rows)], key=lambda reject: reject.line)
        read, rejected = batch.records.num_rows, len(rejects)
        parents.accepted(part.entity, read - rejected)
        self._counts[part.entity].update(read=read, rejected=rejected, sanitised=checked.sanitised.true_count)
        self._ignored |= batch.ignored_fields
        self._note(part, rejects)
        self.counters.add(read, rejected, bytes_)
        self._observe(Advanced(self._account_id, self._pass, read, rejected, bytes_, 0))
        self._require_within_limit(parents)

    def _require_within_limit(self, parents: KnownParents, *, final: bool = False) -> None:
        """Raises: TooManyRejects, AllRejected."""
        self.counters.require_within_limit(self._account_id, final=final)
        if self.counters.nothing_came_over(final=final):
            raise AllRejected(
                f"account {self._account_id}: nothing of the {self._pass} pass would come over, all "
                f"{self.counters.read} records would be rejected. {explain(self._codes, parents.standing)}"
            )

    def _note(self, part: PlannedPart, rejects: Sequence[Reject]) -> None:
        for reject in rejects:
            self._codes[part.entity].update({reason.code for reason in reject.reasons})
        room = REJECTS_SHOWN - len(self._shown)
        self._shown += [
            {
                "entity": part.entity.value,
                "part": part.key,
                "line": reject.line,
                "id": reject.id,
                "reasons": [{"code": r.code, "field": r.field, "message": r.message} for r in reject.reasons],
            }
            for reject in rejects[:room]
        ]
