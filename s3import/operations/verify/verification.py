"""The story of a verification: plan, read the dump again, compare sums, look closer where they differ, explain.

For each entity the dump's records become fingerprints, and of those of one id the newest wins, as in the import. The
database sums its own fingerprints up by key range in one look at the table. Where a range's numbers agree its rows are
equal. Of the others the fingerprints are fetched and compared one by one, and the records for which that leaves a doubt
are read a third time, to be held beside their rows field by field.
"""

from __future__ import annotations

import datetime as dt
import itertools
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from dataclasses import replace

import pyarrow as pa
import pyarrow.compute as pc

from s3import.core.errors import DumpNotFound, Interrupted
from s3import.core.events import Advanced, PassEnded, PassStarted
from s3import.core.records import Batch, Entity, Pass
from s3import.core.tables import TARGETS
from s3import.importing.transactions import Transactions
from s3import.operations.spill import Spill
from s3import.operations.verify import imported
from s3import.operations.verify.comparison import compare
from s3import.operations.verify.expected import SCHEMA, DumpPart, DumpReader
from s3import.operations.verify.explanation import Explainer
from s3import.operations.verify.findings import Findings, Verified
from s3import.operations.verify.found import AccountRows, Sums
from s3import.operations.verify.imported import Imported, ImportedPart
from s3import.readers.sources.source import SourceOpener
from s3import.status import Run


class Verification:
    """Compares one account's imported passes with its dump. `source`: where the dump lies now, None: where it lay."""

    def __init__(
        self,
        transactions: Transactions,
        account_id: str,
        source: str | None,
        *,
        open_source: SourceOpener,
        block_bytes: int,
        workers: int,
    ) -> None:
        self._transactions, self._account_id, self._source = transactions, account_id, source
        self._open_source = open_source
        self._reader = DumpReader(account_id, block_bytes, self._advance)
        self._workers = workers
        self._failed = threading.Event()
        self._findings = Findings()
        self._rejected = 0
        self._sources: list[str] = []

    def run(self) -> Verified:
        """Compare everything, and keep the result with the runs.

        Raises: what `imported.imported` raises; DumpNotFound, PartUnreadable and what else reading a dump may raise.
        """
        done = self._transactions.read(
            self._account_id, lambda connection: imported.imported(connection, self._account_id)
        )
        parts, changed = self._plan(done)
        database = AccountRows(self._transactions, self._account_id, done.began)
        with ThreadPoolExecutor(1) as asking, ThreadPoolExecutor(self._workers) as reading:
            sums = {entity: asking.submit(database.sums, entity) for entity in TARGETS}
            if self._transactions.database.dialect.in_process:  # both at once would wait for each other, row by row
                wait(sums.values())
            for entity in TARGETS:
                these = [part for part in parts if part.planned.entity is entity]
                versions = self._read(reading, these, done)
                self._compare(entity, database, these, versions, sums[entity].result())
        passes = tuple(pass_ for pass_ in Pass if any(run.pass_ is pass_ for run in done.runs))
        verified = Verified(
            self._account_id,
            passes,
            dt.datetime.now(dt.UTC),
            changed,
            self._findings,
            self._rejected,
            tuple(dict.fromkeys(self._sources)),
        )
        self._transactions.run(self._account_id, lambda connection: imported.keep(connection, done, verified.summary()))
        for pass_ in passes:
            self._transactions.observe(PassEnded(self._account_id, pass_, None))
        return verified

    # --- plan ------------------------------------------------------------------------------------------------------

    def _plan(self, done: Imported) -> tuple[list[DumpPart], tuple[str, ...]]:
        """The dump's parts as they are now, and the names of those that are not as they were imported."""
        parts: list[DumpPart] = []
        changed: list[str] = []
        for run in self._runs_to_read(done):
            known = self._imported_parts(run)
            self._rejected += sum(was.part.progress.rejected for was in known.values())
            these = list(self._planned(run, known, len(parts), done))
            self._announce(run, these)
            changed += (part.key for part in these if not _is_as_imported(known.get(part.planned.key), part))
            gone = known.keys() - {part.planned.key for part in these}
            changed += (f"{run.pass_}/{key}" for key in gone)
            parts += these
        return parts, tuple(sorted(set(changed)))

    def _runs_to_read(self, done: Imported) -> Iterator[Run]:
        """All of them, but for a pass that was read again from where it is read now anyway."""
        newest = {run.pass_: run for run in done.runs if run.run_id in done.newest}
        for run in done.runs:
            later = newest[run.pass_]
            is_same = run.pass_ is not Pass.DELTA and (self._source or run.source) == (self._source or later.source)
            if run is later or not is_same:
                yield run

    def _planned(self, run: Run, known: dict[str, ImportedPart], first: int, done: Imported) -> Iterator[DumpPart]:
        """The run's parts as they are now. Of a run that is not its pass's newest only those that are as they were:
        other ones in their place are a later run's."""
        source = self._open_source(self._source or run.source, self._account_id)
        self._sources.append(source.uri)
        window = next((was.part.planned.window for was in known.values()), None)
        is_newest, number = run.run_id in done.newest, itertools.count(first)
        nothing = pa.array([], pa.int64())
        try:
            plan = source.plan(run.pass_, lambda: window)
        except DumpNotFound:
            if is_newest:
                raise
            return
        for planned in plan.parts:
            part = DumpPart(0, done.ranks[run.run_id], run.pass_, planned, run.options, source, nothing, False)
            was = known.get(planned.key)
            if was is not None and _is_as_imported(was, part):
                lines, is_complete = was.rejected_lines, was.is_complete
                yield replace(part, number=next(number), rejected_lines=lines, is_as_imported=is_complete)
            elif is_newest:
                yield replace(part, number=next(number))

    def _imported_parts(self, run: Run) -> dict[str, ImportedPart]:
        parts = self._transactions.read(
            self._account_id, lambda connection: list(imported.imported_parts(connection, run))
        )
        return {part.part.planned.key: part for part in parts}

    def _announce(self, run: Run, parts: Sequence[DumpPart]) -> None:
        size_bytes = sum(part.planned.stored.size_bytes for part in parts)
        started = PassStarted(run.account_id, run.pass_, run.run_id, 1, len(parts), 0, size_bytes, 0, 0, 0)
        self._transactions.observe(started)

    # --- read ------------------------------------------------------------------------------------------------------

    def _read(self, reading: ThreadPoolExecutor, parts: Sequence[DumpPart], done: Imported) -> Spill:
        versions = Spill(SCHEMA)
        futures = [reading.submit(self._read_part, part, versions, done) for part in parts]
        self._require_all(futures)
        return versions

    def _read_part(self, part: DumpPart, versions: Spill, done: Imported) -> None:
        self._reader.spill(part, versions, done.began)
        self._transactions.observe(Advanced(self._account_id, part.pass_, 0, 0, 0, 1))

    def _require_all(self, futures: Sequence[Future[None]]) -> None:
        finished, _ = wait(futures, return_when=FIRST_EXCEPTION)
        first = next((error for future in finished if (error := future.exception())), None)
        if first is not None:
            self._failed.set()
            raise first

    def _advance(self, part: DumpPart, batch: Batch, size_bytes: int) -> None:
        self._require_going(part, batch, size_bytes)
        self._transactions.observe(Advanced(self._account_id, part.pass_, batch.records.num_rows, 0, size_bytes, 0))

    def _require_going(self, _part: DumpPart, _batch: Batch, _size_bytes: int) -> None:
        if self._transactions.stop.is_set() or self._failed.is_set():
            raise Interrupted(f"account {self._account_id}: the verification was interrupted; it changed nothing")

    # --- compare ---------------------------------------------------------------------------------------------------

    def _compare(
        self, entity: Entity, database: AccountRows, parts: Sequence[DumpPart], versions: Spill, found: Sums
    ) -> None:
        doubtful = compare(entity, database, versions, found, self._findings)
        explainer = Explainer(database, replace(self._reader, observe=self._require_going), self._findings)
        for part in parts:
            places = doubtful.filter(pc.field("part") == part.number)
            if places.num_rows:
                explainer.explain(part, places)


def _is_as_imported(was: ImportedPart | None, part: DumpPart) -> bool:
    if was is None:
        return False
    then, now = was.part.planned, part.planned
    return (then.entity, then.stored) == (now.entity, now.stored)
