"""The parts of all passes as they lie there now, beside what was imported of them: page by page, however many."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial

import pyarrow as pa

from s3import.core.errors import DumpNotFound
from s3import.core.events import PassStarted
from s3import.core.records import Entity, Pass, PlannedPart
from s3import.importing import checkpoints
from s3import.importing.transactions import Transactions
from s3import.operations.verify import imported
from s3import.operations.verify.expected import DumpPart
from s3import.operations.verify.imported import Imported
from s3import.readers.dump.inventory import Inventory, inventory_of, pages
from s3import.readers.sources.source import DumpSource, SourceOpener
from s3import.status import Run

PAGE_PARTS = 1000
MAX_CHANGED = 10_000  # names of parts that changed; of more only the number
_NO_LINES = pa.array([], pa.int64())


class DumpParts:
    """The parts to be read again of one account's runs. `source`: where the dump lies now, None: where it lay.

    `take` finds them; afterwards `rejected` records were not imported of them, `sources` are where they lie, and
    `changed` names those that are not as they were imported, new or gone.
    """

    def __init__(
        self, transactions: Transactions, account_id: str, source: str | None, open_source: SourceOpener
    ) -> None:
        self._transactions, self._account_id, self._source = transactions, account_id, source
        self._open_source = open_source
        self._readings: list[_Reading] = []
        self._changed: set[str] = set()
        self._changed_more = 0
        self.rejected = 0
        self.sources: list[str] = []

    def take(self, done: Imported) -> None:
        """Find out what there is to read. Raises: DumpNotFound, and what else planning a dump may raise."""
        for run in self._runs_to_read(done):
            self.rejected += self._transactions.read(
                self._account_id, partial(imported.open_rejects, run_id=run.run_id)
            )
            reading = self._reading(run, done)
            self._readings.append(reading)
            self._announce(reading)
            for key in itertools.chain(reading.changed(), reading.inventory.gone()):
                self._note_changed(f"{run.pass_}/{key}")

    @property
    def changed(self) -> tuple[str, ...]:
        """The names of parts that changed, in order; of more than `MAX_CHANGED` the number only."""
        more = (f"… and {self._changed_more} more",) if self._changed_more else ()
        return (*sorted(self._changed), *more)

    def of(self, entity: Entity) -> Iterator[list[DumpPart]]:
        """The entity's parts in pages, numbered from 0: the same ones, with the same numbers, whenever it is asked."""
        numbers = itertools.count()
        for reading in self._readings:
            for page in pages(reading.beside_known(entity), PAGE_PARTS):
                rejected = self._transactions.read(
                    self._account_id,
                    partial(
                        imported.rejected_by_the_database,
                        run_id=reading.run.run_id,
                        numbers=[number for _, number in page if number is not None],
                    ),
                )
                parts = (reading.part(planned, rejected.get(number or 0)) for planned, number in page)
                yield [replace(part, number=next(numbers)) for part in parts]

    # --- what there is -----------------------------------------------------------------------------------------------

    def _runs_to_read(self, done: Imported) -> Iterator[Run]:
        """All of them, but for a pass that was read again from where it is read now anyway."""
        newest = {run.pass_: run for run in done.runs if run.run_id in done.newest}
        for run in done.runs:
            later = newest[run.pass_]
            is_same = run.pass_ is not Pass.DELTA and (self._source or run.source) == (self._source or later.source)
            if run is later or not is_same:
                yield run

    def _reading(self, run: Run, done: Imported) -> _Reading:
        """Raises: DumpNotFound, where the pass's newest run has no dump any more."""
        source = self._open_source(self._source or run.source, self._account_id)
        self.sources.append(source.uri)
        do = partial(self._transactions.read, self._account_id)
        first = do(partial(checkpoints.read_page, run_id=run.run_id, after=0, size=1))
        window = first[0].planned.window if first else None
        is_newest = run.run_id in done.newest
        try:
            inventory = inventory_of(source.plan(run.pass_, lambda: window).parts)
        except DumpNotFound:
            if is_newest:
                raise
            inventory = Inventory()
        checkpoints.note_known(do, run.run_id, inventory)
        return _Reading(run, source, inventory, done.ranks[run.run_id], is_newest)

    def _announce(self, reading: _Reading) -> None:
        count = size_bytes = 0
        for entity in Entity:
            for planned, _ in reading.beside_known(entity):
                count, size_bytes = count + 1, size_bytes + planned.stored.size_bytes
        run = reading.run
        started = PassStarted(run.account_id, run.pass_, run.run_id, 1, count, 0, size_bytes, 0, 0, 0)
        self._transactions.observe(started)

    def _note_changed(self, name: str) -> None:
        if len(self._changed) < MAX_CHANGED:
            self._changed.add(name)
        elif name not in self._changed:
            self._changed_more += 1


@dataclass(frozen=True, slots=True)
class _Reading:
    """A run that is verified: its dump as it is now, with what was imported of it noted. `rank`: its place in the order
    of imports; `is_newest`: of its pass."""

    run: Run
    source: DumpSource
    inventory: Inventory
    rank: int
    is_newest: bool

    def beside_known(self, entity: Entity) -> Iterator[tuple[PlannedPart, int | None]]:
        """The entity's parts as they are now, with their numbers in the run if they are as they were. Of a run that is
        not its pass's newest only those: other ones in their place are a later run's."""
        for planned, number, known in self.inventory.beside_known(entity):
            if known is not None and _is_same(planned, known):
                yield planned, number
            elif self.is_newest:
                yield planned, None

    def changed(self) -> Iterator[str]:
        """The keys of parts that are not as they were imported."""
        for entity in Entity:
            for planned, _, known in self.inventory.beside_known(entity):
                if (known is None and self.is_newest) or (known is not None and not _is_same(planned, known)):
                    yield planned.key

    def part(self, planned: PlannedPart, rejected: imported.Rejected | None) -> DumpPart:
        """The part to be read. `rejected`: what the database rejected of it, None: it is not as it was imported."""
        lines, is_complete = (rejected.lines, rejected.is_complete) if rejected else (_NO_LINES, False)
        run = self.run
        return DumpPart(0, self.rank, run.pass_, planned, run.options, self.source, lines, is_complete)


def _is_same(planned: PlannedPart, known: PlannedPart) -> bool:
    return (planned.entity, planned.stored) == (known.entity, known.stored)
