"""The story of a verification: plan, read the dump again, compare sums, look closer where they differ, explain.

Rows that the dump deletes must be gone. For each entity the dump's records become fingerprints, and of those of one id
the newest wins, as in the import. The database sums its own fingerprints up by key range in one look at the table.
Where a range's numbers agree its rows are equal. Of the others the fingerprints are fetched and compared one by one,
and the records for which that leaves a doubt are read a third time, to be compared with their rows field by field.
"""

from __future__ import annotations

import datetime as dt
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from dataclasses import replace
from itertools import chain

import pyarrow as pa
import pyarrow.compute as pc

from s3import.core.errors import Interrupted
from s3import.core.events import Advanced, PassEnded
from s3import.core.records import Batch, Entity, Pass, one_array
from s3import.core.tables import TARGETS
from s3import.importing.transactions import Transactions
from s3import.operations.spill import Spill
from s3import.operations.verify import imported
from s3import.operations.verify.comparison import compare
from s3import.operations.verify.dump_parts import DumpParts
from s3import.operations.verify.expected import SCHEMA, DumpPart, DumpReader
from s3import.operations.verify.explanation import Explainer
from s3import.operations.verify.findings import Finding, FindingKind, Findings, Verified
from s3import.operations.verify.found import AccountRows, Sums, digest_of
from s3import.operations.verify.imported import Imported
from s3import.readers.dump.inventory import pages
from s3import.readers.sources.source import SourceOpener

WAITING = 4  # parts handed to each thread before it is done with the last one


class Verification:
    """Compares one account's imported passes with its dump. `source`: where the dump is now (None: where it was)."""

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
        self._transactions, self._account_id = transactions, account_id
        self._parts = DumpParts(transactions, account_id, source, open_source)
        self._reader = DumpReader(account_id, block_bytes, self._advance)
        self._workers = workers
        self._failed = threading.Event()
        self._findings = Findings()

    def run(self) -> Verified:
        """Compare everything, and keep the result with the runs.

        Raises: what `imported.imported` raises; DumpNotFound, PartUnreadable and what else reading a dump may raise.
        """
        done = self._transactions.read(
            self._account_id, lambda connection: imported.imported(connection, self._account_id)
        )
        self._parts.take(done)
        database = AccountRows(self._transactions, self._account_id, done.began)
        with ThreadPoolExecutor(1) as asking, ThreadPoolExecutor(self._workers) as reading:
            sums = {entity: asking.submit(database.sums, entity) for entity in TARGETS}
            if self._transactions.database.dialect.in_process:  # both at once would wait for each other, row by row
                wait(sums.values())
            undeleted = self._find_undeleted(database)
            for entity in TARGETS:
                versions = self._read(reading, entity, done)
                self._compare(entity, database, versions, sums[entity].result(), undeleted[entity])
        passes = tuple(pass_ for pass_ in Pass if any(run.pass_ is pass_ for run in done.runs))
        verified = Verified(
            self._account_id,
            passes,
            dt.datetime.now(dt.UTC),
            self._parts.changed,
            self._findings,
            self._parts.rejected,
            tuple(dict.fromkeys(self._parts.sources)),
        )
        self._transactions.run(self._account_id, lambda connection: imported.keep(connection, done, verified.summary()))
        for pass_ in passes:
            self._transactions.observe(PassEnded(self._account_id, pass_, None))
        return verified

    # --- read ------------------------------------------------------------------------------------------------------

    def _read(self, reading: ThreadPoolExecutor, entity: Entity, done: Imported) -> Spill:
        versions = Spill(SCHEMA)
        under_way: set[Future[None]] = set()
        for part in chain.from_iterable(self._parts.of(entity)):
            under_way.add(reading.submit(self._read_part, part, versions, done))
            if len(under_way) >= self._workers * WAITING:
                under_way = self._require_all(wait(under_way, return_when=FIRST_COMPLETED))
        while under_way:
            under_way = self._require_all(wait(under_way, return_when=FIRST_EXCEPTION))
        return versions

    def _read_part(self, part: DumpPart, versions: Spill, done: Imported) -> None:
        self._reader.spill(part, versions, done.began)
        self._transactions.observe(Advanced(self._account_id, part.pass_, 0, 0, 0, 1))

    def _require_all(self, read: tuple[set[Future[None]], set[Future[None]]]) -> set[Future[None]]:
        """What is under way still. Raises: what reading a part has ended with."""
        finished, under_way = read
        first = next((error for future in finished if (error := future.exception())), None)
        if first is not None:
            self._failed.set()
            raise first
        return under_way

    def _advance(self, part: DumpPart, batch: Batch, size_bytes: int) -> None:
        self._require_going(part, batch, size_bytes)
        self._transactions.observe(Advanced(self._account_id, part.pass_, batch.records.num_rows, 0, size_bytes, 0))

    def _require_going(self, _part: DumpPart, _batch: Batch, _size_bytes: int) -> None:
        if self._transactions.stop.is_set() or self._failed.is_set():
            raise Interrupted(f"account {self._account_id}: the verification was interrupted; it changed nothing")

    # --- compare ---------------------------------------------------------------------------------------------------

    def _find_undeleted(self, database: AccountRows) -> dict[Entity, set[str]]:
        """The ids of rows that the dump deletes and that are there all the same, by entity; each is a finding."""
        undeleted: dict[Entity, set[str]] = {entity: set() for entity in TARGETS}
        for part in chain.from_iterable(self._parts.of(Entity.DELETIONS)):
            for deletions, lines in self._reader.rows(part):
                for entity, ids in undeleted.items():
                    mine = deletions.append_column("line", lines).filter(pc.field("entity") == entity.value)
                    there = database.undeleted(entity, _newest(mine)) - ids if mine.num_rows else set()
                    first_lines = dict(zip(mine["id"].to_pylist()[::-1], mine["line"].to_pylist()[::-1], strict=True))
                    for row_id in sorted(there):
                        place = (part.key, first_lines[row_id])
                        self._findings.add(Finding(entity, row_id, FindingKind.UNEXPECTED, (), *place))
                    ids |= there
            self._transactions.observe(Advanced(self._account_id, part.pass_, 0, 0, 0, 1))
        return undeleted

    def _compare(
        self, entity: Entity, database: AccountRows, versions: Spill, found: Sums, undeleted: set[str]
    ) -> None:
        places = compare(entity, database, versions, found, self._findings, undeleted)
        self._findings.digests[entity] = digest_of(found)
        if not places.num_rows:
            return
        explainer = Explainer(database, replace(self._reader, observe=self._require_going), self._findings)
        has_tombstones = database.has_tombstones()
        for page in self._parts.of(entity):
            for some in pages(page, _few_enough(len(page), places)):
                for part, of_part in _by_part(some, places):
                    explainer.explain(part, of_part, has_tombstones=has_tombstones)


def _newest(deletions: pa.Table) -> dict[str, dt.datetime]:
    """When each id of the deletions is deleted at the latest."""
    newest: pa.Table = deletions.group_by("id").aggregate([("deleted_at", "max")])
    return dict(zip(newest["id"].to_pylist(), newest["deleted_at_max"].to_pylist(), strict=True))


def _few_enough(parts: int, places: Spill) -> int:
    """How many of so many parts to look at at a time, so that their places fit into memory."""
    return max(1, parts * places.rows_held // max(places.num_rows, places.rows_held))


def _by_part(parts: Sequence[DumpPart], places: Spill) -> Iterator[tuple[DumpPart, pa.Table]]:
    """Each of the parts, whose numbers are consecutive, that has places, with these by their lines."""
    first = parts[0].number
    found = places.rows(first, first + len(parts)).sort_by([("part", "ascending"), ("line", "ascending")])
    begin = 0
    for counted in pc.value_counts(one_array(found["part"])):
        count = counted["counts"].as_py()
        yield parts[counted["values"].as_py() - first], found.slice(begin, count)
        begin += count
