"""The parts of a run: what was planned, and how far each is."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, TypeVar

import sqlalchemy as sa
from sqlalchemy import Connection

from s3import.core.errors import CommitsLost, PartMissing
from s3import.core.records import MAX_IGNORED_FIELDS, Entity, Pass, Plan, PlannedPart, Position, StoredObject, Window
from s3import.core.tables import COUNTS, accounts, import_parts, import_reread, import_runs
from s3import.importing import file_places
from s3import.importing.rejects import remove_rejects
from s3import.readers.dump.inventory import FEW, Inventory, inventory_of, pages
from s3import.status import UNTAKEN, Claim, require_held, why_lost

T = TypeVar("T")
Do = Callable[[Callable[[Connection], T]], T]  # runs work in a transaction of its own

PAGE_PARTS = 1000  # of a large plan in a transaction


@dataclass(frozen=True, slots=True)
class Progress:
    """How far one part is: its checkpoint and what became of the records before it.

    Always ``read == written + unchanged + rejected``.
    """

    position: Position = Position()
    bytes_done: int = 0
    read: int = 0
    written: int = 0
    unchanged: int = 0
    rejected: int = 0
    sanitised: int = 0
    rejects_by_code: Mapping[str, int] = field(default_factory=dict)
    ignored_fields: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Part:
    """A planned part of a run, its number within the run (from 1) and its progress. `restarted`: rows are there that
    another object in its place left; they lose every tie."""

    number: int
    planned: PlannedPart
    progress: Progress
    done: bool
    token: int
    restarted: bool = False

    @property
    def bytes_done(self) -> int:
        """Bytes of the stored object that need not be read again."""
        return self.planned.stored.size_bytes if self.done else self.progress.bytes_done


@dataclass(frozen=True, slots=True)
class PartTotals:
    """All parts of a run together; `bytes_left`: the size of those that are not done."""

    parts: int
    parts_done: int
    size_bytes: int
    bytes_done: int
    bytes_left: int
    read: int
    rejected: int

    @classmethod
    def of(cls, parts: Sequence[Part]) -> PartTotals:
        """The totals of these parts."""
        return cls(
            len(parts),
            sum(part.done for part in parts),
            sum(part.planned.stored.size_bytes for part in parts),
            sum(part.bytes_done for part in parts),
            sum(part.planned.stored.size_bytes for part in parts if not part.done),
            sum(part.progress.read for part in parts),
            sum(part.progress.rejected for part in parts),
        )


def read_totals(connection: Connection, run_id: str) -> PartTotals:
    """The totals of a run, however many parts it has."""
    parts = import_parts.c
    left = sa.case((parts.done, 0), else_=parts.size_bytes)
    sums = (
        sa.case((parts.done, 1), else_=0),
        parts.size_bytes,
        sa.case((parts.done, parts.size_bytes), else_=parts.bytes_done),
        left,
        parts.read_count,
        parts.rejected_count,
    )
    query = sa.select(sa.func.count(), *map(sa.func.sum, sums)).where(parts.run_id == run_id)
    return PartTotals(*(int(total or 0) for total in connection.execute(query).one()))


def is_large(connection: Connection, held: Claim, plan: Plan) -> bool:
    """Whether the plan, or what an earlier attempt remembered of it, is too much for one transaction."""
    if len(plan.parts) > FEW:
        return True
    if held.attempts < 2:
        return False
    most = sa.select(sa.func.max(import_parts.c.number)).where(import_parts.c.run_id == held.run_id)
    return (connection.execute(most).scalar() or 0) > FEW


def remember_large_plan(do: Do[Any], held: Claim, plan: Plan) -> None:
    """Write down the parts of a plan page by page, each in a transaction that `do` runs: repeated, or cut off and begun
    again, it comes to the same."""
    inventory = inventory_of(plan.parts)
    do(partial(require_held, held=held))
    number = note_known(do, held.run_id, inventory)
    for gone in pages(inventory.vanished(), PAGE_PARTS):
        do(partial(_forget, held=held, plan=plan, gone=gone))
    for changed in pages(inventory.changed(), PAGE_PARTS):
        do(partial(_replan_page, held=held, changed=changed))
    for fresh in pages(inventory.fresh(), PAGE_PARTS):
        do(partial(_insert_page, held=held, first=number + 1, fresh=fresh))
        number += len(fresh)
    do(partial(_remember_skipped, held=held, plan=plan))


def note_known(do: Do[Any], run_id: str, inventory: Inventory) -> int:
    """Take down in the inventory what is known of a run's parts, page by page; the largest number among them."""
    number = 0
    while page := do(partial(read_page, run_id=run_id, after=number, size=PAGE_PARTS)):
        inventory.note_known((part.number, part.planned, part.done) for part in page)
        number = page[-1].number
    return number


def _forget(connection: Connection, held: Claim, plan: Plan, gone: Sequence[tuple[int, str]]) -> None:
    require_held(connection, held)
    if not plan.from_manifest:
        raise _vanished(held, gone[0][1])
    numbers = [number for number, _ in gone]
    remove_rejects(connection, held.run_id, numbers)
    parts = import_parts.c
    connection.execute(import_parts.delete().where(parts.run_id == held.run_id, parts.number.in_(numbers)))


def _replan_page(connection: Connection, held: Claim, changed: Sequence[tuple[int, PlannedPart]]) -> None:
    require_held(connection, held)
    for number, planned in changed:
        for part in read_parts(connection, held.run_id, number):
            if part.planned != planned:
                _replan(connection, held, part, planned)


def _insert_page(connection: Connection, held: Claim, first: int, fresh: Sequence[PlannedPart]) -> None:
    require_held(connection, held)
    last = first + len(fresh) - 1
    if not read_parts(connection, held.run_id, last):  # else the answer to the commit got lost
        rows = [{**_part_row(held, number, one), "token": UNTAKEN} for number, one in enumerate(fresh, first)]
        connection.execute(import_parts.insert(), rows)


def remember_plan(connection: Connection, held: Claim, plan: Plan) -> list[Part]:
    """Write the plan down and give the run's parts with their progress, in the plan's order.

    A part that is as it was keeps its checkpoint. One whose object changed since starts again, its rejects and counts
    taken back. Parts that are done may be gone from the source by now. The caller's transaction holds the run.
    Raises: PartMissing, when a part that is not done is gone and no manifest says that it may be.
    """
    known = {part.planned.key: part for part in read_parts(connection, held.run_id)}
    _forget_vanished(connection, held, plan, known)
    number = max((part.number for part in known.values()), default=0)
    fresh = []
    for planned in plan.parts:
        part = known.get(planned.key)
        if part is None:
            number += 1
            fresh.append(Part(number, planned, Progress(), False, held.token))
        elif part.planned != planned:
            _replan(connection, held, part, planned)
    insert_parts(connection, held, fresh)
    if known or plan.skipped_objects:
        _remember_skipped(connection, held, plan)
    return read_parts(connection, held.run_id) if known else fresh


def fresh_parts(held: Claim, plan: Plan) -> list[Part]:
    """The parts of a plan of which nothing is known yet, numbered as `remember_plan` would."""
    return [Part(number, planned, Progress(), False, held.token) for number, planned in enumerate(plan.parts, 1)]


def insert_parts(connection: Connection, held: Claim, parts: Sequence[Part]) -> None:
    """Write down parts that are not there yet, each as far as it is."""
    rows = [_part_row(held, part.number, part.planned, part) for part in parts]
    if rows:
        connection.execute(import_parts.insert(), rows)


def _remember_skipped(connection: Connection, held: Claim, plan: Plan) -> None:
    connection.execute(
        import_runs.update()
        .where(import_runs.c.run_id == held.run_id)
        .values(skipped_objects=list(plan.skipped_objects))
    )


def _forget_vanished(connection: Connection, held: Claim, plan: Plan, known: dict[str, Part]) -> None:
    planned = {part.key for part in plan.parts}
    for key, part in list(known.items()):
        if key in planned or part.done:
            continue
        if not plan.from_manifest:
            raise _vanished(held, key)
        file_places.reopen(connection, held.run_id, part.number)
        remove_rejects(connection, held.run_id, [part.number])
        connection.execute(import_parts.delete().where(_part(held, part.number)))
        del known[key]


def _vanished(held: Claim, key: str) -> PartMissing:
    return PartMissing(
        f"{held.pass_}/{key} was planned and is no longer there; put it back, or write a manifest that names the parts "
        "that make up the dump, then run the same command again"
    )


def _replan(connection: Connection, held: Claim, part: Part, planned: PlannedPart) -> None:
    row = _part_row(held, part.number, planned)
    if (part.planned.entity, part.planned.stored) == (planned.entity, planned.stored):
        # Only the manifest's word changed: what was imported stays imported, and is held against the new word.
        row = {name: row[name] for name in ("expected_rows", "expected_sha256", "token", "done")}
    else:
        file_places.reopen(connection, held.run_id, part.number)
        row["restarted"] = _leaves_rows(part)
        remove_rejects(connection, held.run_id, [part.number])
        read_again = import_reread.c
        mine = (read_again.run_id == held.run_id, read_again.part_number == part.number)
        connection.execute(import_reread.delete().where(*mine))
    connection.execute(import_parts.update().where(_part(held, part.number)).values(**row))


def _leaves_rows(part: Part) -> bool:
    """Whether rows of the part are there that its next object has to win ties against. Where it met rows of others too
    nobody knows which are whose, and what is there stays."""
    if not part.progress.read:
        return part.restarted
    return part.progress.written > 0 and (part.restarted or not part.progress.unchanged)


def _part(held: Claim, number: int) -> sa.ColumnElement[bool]:
    return sa.and_(import_parts.c.run_id == held.run_id, import_parts.c.number == number)


def _part_row(held: Claim, number: int, planned: PlannedPart, so_far: Part | None = None) -> dict[str, Any]:
    return {
        "run_id": held.run_id,
        "number": number,
        "account_id": held.account_id,
        "entity": planned.entity.value,
        "key": planned.key,
        "object_key": planned.stored.key,
        "etag": planned.stored.etag,
        "size_bytes": planned.stored.size_bytes,
        "expected_rows": planned.expected_rows,
        "expected_sha256": planned.expected_sha256,
        "window": planned.window and str(planned.window),
        "token": held.token,
        "done": so_far is not None and so_far.done,
        **_progress_row(so_far.progress if so_far else Progress()),
    }


def _progress_row(progress: Progress) -> dict[str, Any]:
    return {
        "position": progress.position.offset,
        "line": progress.position.line,
        "cursor": progress.position.cursor,
        "bytes_done": progress.bytes_done,
        **{f"{what}_count": getattr(progress, what) for what in COUNTS},
        "rejects_by_code": dict(progress.rejects_by_code),
        "ignored_fields": sorted(progress.ignored_fields)[:MAX_IGNORED_FIELDS],
    }


def read_parts(connection: Connection, run_id: str, number: int | None = None) -> list[Part]:
    """The run's parts (or the one of that number) in the order of their numbers."""
    query = _PARTS if number is None else _PARTS.where(import_parts.c.number == number)
    return [_as_part(row) for row in connection.execute(query, {"this_run": run_id})]


def read_taken(connection: Connection, run_id: str, first: int, last: int, token: int) -> list[Part]:
    """The run's parts between two numbers that have this token and are not done."""
    parts = import_parts.c
    mine = (parts.number.between(first, last), parts.token == token, parts.done.is_(False))
    return [_as_part(row) for row in connection.execute(_PARTS.where(*mine), {"this_run": run_id})]


def read_page(connection: Connection, run_id: str, after: int, size: int = PAGE_PARTS) -> list[Part]:
    """The next of the run's parts behind number `after`, at most `size`, in the order of numbers."""
    # Between two numbers, which are close to each other: with LIMIT alone PostgreSQL would rather sort all of a run.
    numbers = import_parts.c.number
    ahead = sa.select(sa.func.min(numbers)).where(import_parts.c.run_id == run_id, numbers > after)
    first = connection.execute(ahead).scalar() or 0
    page = _PARTS.where(numbers.between(first, first + size - 1))
    return [_as_part(row) for row in connection.execute(page, {"this_run": run_id})] if first else []


def take_pages(do: Do[Any], held: Claim, entity: Entity) -> Iterator[list[Part]]:
    """The parts of an entity that are not done, page by page as they are then, taken for this claim: no other one
    writes their checkpoints from then on. `do` runs each in a transaction that may write; raises: as `require_held`."""
    last = sa.select(sa.func.max(import_parts.c.number)).where(import_parts.c.run_id == held.run_id)
    for first in range(1, (do(lambda connection: connection.execute(last).scalar()) or 0) + 1, PAGE_PARTS):
        if page := do(partial(_take, held=held, entity=entity, first=first)):
            yield page


def _take(connection: Connection, held: Claim, entity: Entity, first: int) -> list[Part]:
    require_held(connection, held)
    parts = import_parts.c
    here = (parts.number.between(first, first + PAGE_PARTS - 1), parts.entity == entity.value, parts.done.is_(False))
    mine = (parts.run_id == held.run_id, parts.token != held.token)
    connection.execute(import_parts.update().where(*mine, *here).values(token=held.token))
    return [_as_part(row) for row in connection.execute(_PARTS.where(*here), {"this_run": held.run_id})]


_PARTS = (
    sa.select(import_parts).where(import_parts.c.run_id == sa.bindparam("this_run")).order_by(import_parts.c.number)
)


def _as_part(row: Any) -> Part:
    stored = StoredObject(row.object_key, row.size_bytes, row.etag)
    progress = Progress(
        position=Position(row.position, row.line, row.cursor),
        bytes_done=row.bytes_done,
        rejects_by_code=row.rejects_by_code,
        ignored_fields=frozenset(row.ignored_fields),
        **{what: getattr(row, f"{what}_count") for what in COUNTS},
    )
    window = Window.parse(row.window) if row.window else None
    planned = PlannedPart(Entity(row.entity), row.key, stored, row.expected_rows, row.expected_sha256, window)
    return Part(row.number, planned, progress, row.done, row.token, bool(row.restarted))


def totals(connection: Connection, run_id: str) -> tuple[int, int]:
    """The records that were read and rejected of all of the run's parts."""
    parts = import_parts.c
    sums = (sa.func.coalesce(sa.func.sum(number), 0) for number in (parts.read_count, parts.rejected_count))
    read, rejected = connection.execute(sa.select(*sums).where(parts.run_id == run_id)).one()
    return int(read), int(rejected)


def read_window(connection: Connection, account_id: str) -> Window | None:
    """The window that the account's first run remembered: every later pass divides by the same instants."""
    remembered = import_parts.c.window
    divided = remembered.not_like(f"{Pass.DELTA} %")  # so NULL is left out too
    query = sa.select(remembered).where(import_parts.c.account_id == account_id, divided).limit(1)
    found = connection.execute(query).scalar()
    return Window.parse(found) if found else None


# Built once: this is written with every batch.
_CHECKPOINT = (
    import_parts.update()
    .where(
        import_parts.c.run_id == sa.bindparam("this_run"),
        import_parts.c.number == sa.bindparam("this_part"),
        import_parts.c.token == sa.bindparam("this_token"),
        import_parts.c.read_count == sa.bindparam("read_before"),
        sa.exists().where(accounts.c.id == sa.bindparam("this_account")),
    )
    .values({name: sa.bindparam(name) for name in ("done", "tries", *_progress_row(Progress()))})
)


def checkpoint(connection: Connection, held: Claim, before: Part, after: Part) -> None:
    """Write the part's progress down, in the transaction of the batch that it follows; `before`: as it was until then.

    Raises: LeaseLost, Interrupted (cancelled) or AccountDeleted, when this claim may not write any more; CommitsLost,
    when the part is not as far as it was; the caller's transaction must then be rolled back.
    """
    mine = {
        "this_run": held.run_id,
        "this_part": before.number,
        "this_token": before.token,
        "read_before": before.progress.read,
        "this_account": held.account_id,
    }
    progress = {"done": after.done, "tries": 0, **_progress_row(after.progress)}
    saved = connection.execute(_CHECKPOINT, {**mine, **progress}).rowcount
    if not saved:
        for stored in read_parts(connection, held.run_id, before.number):
            if (stored.token, stored.progress.read) < (before.token, before.progress.read):
                raise CommitsLost.of(held.account_id, held.pass_)
        raise why_lost(connection, held)


def require_done(connection: Connection, held: Claim, entities: Collection[Entity]) -> None:
    """Raises: CommitsLost, where a part of these entities is not done, which all of them were."""
    parts = import_parts.c
    left = (parts.run_id == held.run_id, parts.done.is_(False), parts.entity.in_(entities))
    if connection.execute(sa.select(parts.number).where(*left).limit(1)).first():
        raise CommitsLost.of(held.account_id, held.pass_)
