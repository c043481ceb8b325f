"""One pass of a validation: its parts read side by side, then what their records need of each other."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from functools import partial

import pyarrow as pa
import pyarrow.compute as pc

from s3import.core.errors import PartDiffers, PartMissing, PartUnreadable, RejectCode, SourceChanged, SourceDenied
from s3import.core.events import Advanced, Observer
from s3import.core.records import (
    HALVES,
    ROW_ENTITIES,
    TEXT,
    TIMESTAMP,
    Entity,
    Pass,
    Plan,
    PlannedPart,
    Reason,
    one_array,
)
from s3import.importing.parents import KnownParents
from s3import.operations.spill import Spill, spans
from s3import.operations.validate import dump_keys
from s3import.operations.validate.validation_report import REJECTS_SHOWN, PassReport, RecordPlace
from s3import.readers.reading import CheckedBatch, read_checked, require_expected_rows
from s3import.readers.sources.source import DumpSource
from s3import.transform.fingerprints import key_ranges_of
from s3import.transform.validators import make_rejects

PARENT = {
    Entity.MESSAGES: (Entity.THREADS, "thread_id", RejectCode.UNKNOWN_THREAD),
    Entity.ATTACHMENTS: (Entity.MESSAGES, "message_id", RejectCode.UNKNOWN_MESSAGE),
}
"""What a record belongs to that is in the dump itself: the entity, the column that names it, the code if it is not."""

_WITHOUT_PARENT = {
    Entity.MESSAGES: "there is no thread of this id in the dump up to here",
    Entity.ATTACHMENTS: "there is no message of this id in the dump up to here",
}
_TOMBSTONES = pa.schema([("key_range", pa.int16()), ("id", TEXT), ("deleted_at", TIMESTAMP)])
BATCHES_AHEAD = 2  # parts handed out for each worker


@dataclass(slots=True)
class Remembered:
    """What is kept of all passes: the ids by entity, and the files that records name."""

    known: dict[Entity, Spill] = field(
        default_factory=lambda: {entity: Spill(dump_keys.KNOWN) for entity in ROW_ENTITIES}
    )
    files: Spill = field(default_factory=lambda: Spill(dump_keys.FILES))


@dataclass(slots=True)
class PassReader:
    """Reads a pass into its report. `deletions`: what those of the pass do to records that were read until then."""

    pass_: Pass
    plan: Plan
    report: PassReport
    source: DumpSource
    account_id: str
    remembered: Remembered
    parents: KnownParents
    observe: Observer
    require_going: Callable[[], None]
    workers: int
    block_bytes: int
    deletions: Counter[str] = field(default_factory=Counter)

    def read(self, *, parents_are_here: bool) -> list[Entity]:
        """Read all parts; the entities of which a part could not be read, so that their children were not checked.

        `parents_are_here`: whether all that records may belong to is in the dump.
        """
        left_out: list[Entity] = []
        incomplete: set[Entity] = set()
        for entity in ROW_ENTITIES:
            children, failures = Spill(dump_keys.CHILDREN), len(self.report.errors)
            self._read_parts(entity, partial(self._take, entity, children))
            self._settle(entity, children, check=parents_are_here and PARENT.get(entity, (None,))[0] not in incomplete)
            if len(self.report.errors) > failures:
                incomplete.add(entity)
                left_out += [entity] if entity is not Entity.ATTACHMENTS and parents_are_here else []
            elif entity in PARENT and PARENT[entity][0] in incomplete:
                incomplete.add(entity)
        self._read_deletions()
        return left_out

    # --- parts -------------------------------------------------------------------------------------------------------

    def _read_parts(self, entity: Entity, take: Callable[[int, CheckedBatch], None]) -> None:
        these = ((number, part) for number, part in enumerate(self.plan.parts) if part.entity is entity)
        pending: set[Future[None]] = set()
        with ThreadPoolExecutor(self.workers, "validate") as reading:
            for number, part in these:
                if len(pending) >= BATCHES_AHEAD * self.workers:
                    pending = _finished(pending)
                pending.add(reading.submit(self._read_part, number, part, take))
            while pending:
                pending = _finished(pending)

    def _read_part(self, number: int, part: PlannedPart, take: Callable[[int, CheckedBatch], None]) -> None:
        count = 0
        try:
            for found in read_checked(self.source, part, self.account_id, block_bytes=self.block_bytes):
                self.require_going()
                count += found.batch.records.num_rows
                take(number, found)
            require_expected_rows(self.pass_, part, count)
        except (PartUnreadable, PartDiffers, PartMissing, SourceChanged, SourceDenied) as error:
            self.report.fail(error)
        self.observe(Advanced(self.account_id, self.pass_, 0, 0, 0, 1))

    def _take(self, entity: Entity, children: Spill, number: int, found: CheckedBatch) -> None:
        """Count a batch, and keep what its right records say of others."""
        orphans = self.parents.missing(entity, found.checked.accepted)
        self._count(number, entity, found, orphans)
        records, lines = found.checked.accepted, found.batch.lines.take(found.checked.rows)
        if orphans:
            kept = pc.invert(pc.is_in(pa.arange(0, records.num_rows), pa.array(sorted(orphans), pa.int64())))
            records, lines = records.filter(kept), lines.filter(kept)
        if entity is Entity.THREADS:
            self._know(entity, one_array(records["id"]), _instants(records))
        else:
            children.add(_children(entity, records, lines, number))

    def _count(self, number: int, entity: Entity, found: CheckedBatch, orphans: dict[int, tuple[Reason, ...]]) -> None:
        batch, checked = found.batch, found.checked
        rows = {checked.rows[index].as_py(): reasons for index, reasons in orphans.items()}
        rejects = [*checked.rejects, *make_rejects(batch, rows)]
        self.report.count_codes(Counter(code for reject in rejects for code in {one.code for one in reject.reasons}))
        shown = [
            (RecordPlace(entity, number, reject.line, reject.id), reject.reasons) for reject in rejects[:REJECTS_SHOWN]
        ]
        self.report.reject(entity, shown, len(rejects))
        read, sanitised = batch.records.num_rows, checked.sanitised.true_count
        self.report.count(entity, batch.ignored_fields, read=read, accepted=read - len(rejects), sanitised=sanitised)
        self.observe(Advanced(self.account_id, self.pass_, read, len(rejects), found.new_bytes, 0))

    def _know(self, entity: Entity, ids: pa.Array, at: pa.Array, *, is_record: bool = True) -> None:
        self.remembered.known[entity].add(dump_keys.known(ids, at, is_record=is_record, is_half=self.pass_ in HALVES))

    # --- children ----------------------------------------------------------------------------------------------------

    def _settle(self, entity: Entity, children: Spill, *, check: bool) -> None:
        """Reject the records without a parent, where all parents are known, and remember the others."""
        if entity not in PARENT:
            return
        for right, orphans in self._divided(entity, children) if check else _all(children):
            self._reject_orphans(entity, orphans)
            self._know(entity, one_array(right["id"]), one_array(right["at"]))
            named = right.filter(pc.field("file_key").is_valid())
            if named.num_rows:
                self.remembered.files.add(_files(named, place_of(self.pass_, entity)))

    def _divided(self, entity: Entity, children: Spill) -> Iterator[tuple[pa.Table, pa.Table]]:
        return dump_keys.divided(children, self.remembered.known[PARENT[entity][0]])

    def _reject_orphans(self, entity: Entity, orphans: pa.Table) -> None:
        if not orphans.num_rows:
            return
        _, column, code = PARENT[entity]
        reason = Reason(code, column, _WITHOUT_PARENT[entity])
        first = orphans.sort_by([("part", "ascending"), ("line", "ascending")]).slice(0, REJECTS_SHOWN)
        shown = [(RecordPlace(entity, row["part"], row["line"], row["id"]), (reason,)) for row in first.to_pylist()]
        self.report.count_codes(Counter({code: orphans.num_rows}))
        self.report.reject(entity, shown, orphans.num_rows)
        self.report.count(entity, accepted=-orphans.num_rows)

    # --- deletions ---------------------------------------------------------------------------------------------------

    def _read_deletions(self) -> None:
        spills = {entity: Spill(_TOMBSTONES) for entity in ROW_ENTITIES}

        def take(number: int, found: CheckedBatch) -> None:
            self._count(number, Entity.DELETIONS, found, {})
            records = found.checked.accepted
            for entity in ROW_ENTITIES:
                mine = records.filter(pc.field("entity") == entity.value)
                ids = one_array(mine["id"])
                spills[entity].add(pa.table([key_ranges_of(ids), ids, mine["deleted_at"]], schema=_TOMBSTONES))

        self._read_parts(Entity.DELETIONS, take)
        for entity, tombstones in spills.items():
            self._weigh(entity, tombstones)

    def _weigh(self, entity: Entity, tombstones: Spill) -> None:
        """Count what deletions do, and remember their ids: a later child of what they name is no orphan."""
        if not tombstones.num_rows:
            return
        known = self.remembered.known[entity]
        for span in spans(tombstones, known):
            latest = tombstones.rows(*span).group_by("id").aggregate([("deleted_at", "max")])
            found = latest.join(dump_keys.newest(known, span), "id", join_type="left outer")
            holds = pc.greater_equal(found["deleted_at_max"], found["at_max"])
            effective, of_nothing = pc.sum(holds).as_py() or 0, found["at_max"].null_count
            outdated = found.num_rows - effective - of_nothing
            self.deletions.update(effective=effective, outdated=outdated, of_nothing=of_nothing)
            ids = one_array(latest["id"])
            self._know(entity, ids, pa.nulls(len(ids), TIMESTAMP), is_record=False)


_PLACES = [(pass_, entity) for pass_ in Pass for entity in ROW_ENTITIES]


def place_of(pass_: Pass, entity: Entity) -> int:
    """The number that stands for a pass and an entity among files."""
    return _PLACES.index((pass_, entity))


def place_at(number: int) -> tuple[Pass, Entity]:
    """The pass and entity of that number."""
    return _PLACES[number]


def _finished(pending: set[Future[None]]) -> set[Future[None]]:
    """Wait until one of them is done; the others. Raises: what it raised."""
    done, others = wait(pending, return_when=FIRST_COMPLETED)
    for future in done:
        future.result()
    return others


def _all(children: Spill) -> Iterator[tuple[pa.Table, pa.Table]]:
    for span in spans(children):
        rows = children.rows(*span)
        yield rows, rows.slice(0, 0)


def _instants(records: pa.Table) -> pa.Array:
    return pc.coalesce(one_array(records["updated_at"]), one_array(records["created_at"]))


def _children(entity: Entity, records: pa.Table, lines: pa.Array, part: int) -> pa.Table:
    parents = one_array(records[PARENT[entity][1]])
    file_keys, file_bytes = _named_files(entity, records)
    columns = [
        key_ranges_of(parents),
        parents,
        records["id"],
        _instants(records),
        file_keys,
        file_bytes,
        pa.repeat(pa.scalar(part, pa.int32()), records.num_rows),
        lines,
    ]
    return pa.table(columns, schema=dump_keys.CHILDREN)


def _named_files(entity: Entity, records: pa.Table) -> tuple[pa.Array, pa.Array]:
    """The keys of files that records name, and the sizes that they give."""
    if entity is Entity.ATTACHMENTS:
        return records["key"], records["size_bytes"]
    recordings = pc.struct_field(one_array(records["telephony"]), "recording_key")
    return recordings, pa.nulls(records.num_rows, pa.int64())


def _files(named: pa.Table, place: int) -> pa.Table:
    file_keys = one_array(named["file_key"])
    places = pa.repeat(pa.scalar(place, pa.int8()), named.num_rows)
    columns = [key_ranges_of(file_keys), file_keys, named["file_bytes"], named["id"], places]
    return pa.table([*columns, named["part"], named["line"]], schema=dump_keys.FILES)
