"""The parts of a run: what was planned, and how far each is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection

from s3import import file_places
from s3import.errors import PartMissing
from s3import.records import Entity, Pass, Plan, PlannedPart, Position, StoredObject, Window
from s3import.status import Claim, require_held, why_lost
from s3import.tables import accounts, import_parts, import_rejects, import_runs

COUNTS = ("read", "written", "unchanged", "rejected", "sanitised")
MAX_IGNORED_FIELDS = 1000  # names kept per part: a bound on a column, far above what a dump has


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
    """A planned part of a run, its number within the run (from 1) and its progress."""

    number: int
    planned: PlannedPart
    progress: Progress
    done: bool
    token: int

    @property
    def bytes_done(self) -> int:
        """Bytes of the stored object that need not be read again."""
        return self.planned.stored.size_bytes if self.done else self.progress.bytes_done


def remember_plan(connection: Connection, held: Claim, plan: Plan) -> list[Part]:
    """Write the plan down and give the run's parts with their progress, in the plan's order.

    A part that is as it was keeps its checkpoint. One whose object changed since starts again, its rejects and counts
    taken back. Parts that are done may be gone from the source by now.
    Raises: PartMissing, when a part that is not done is gone and no manifest says that it may be; as `checkpoint`.
    """
    require_held(connection, held)
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
    if fresh:
        connection.execute(import_parts.insert(), [_part_row(held, part.number, part.planned) for part in fresh])
    if known or plan.skipped_objects:
        _remember_skipped(connection, held, plan)
    return read_parts(connection, held.run_id) if known else fresh


def forget_last_reading(connection: Connection, held: Claim) -> None:
    """Replace what was kept of the pass's reading from the same source by this one, whose plan is made: until then its
    parts tell how a source that is not divided in passes was divided. All deltas are kept."""
    mine, others = import_runs.alias().c, import_runs.c
    number, source = (
        sa.select(column).where(mine.run_id == held.run_id).scalar_subquery() for column in (mine.number, mine.source)
    )
    same = (others.account_id == held.account_id, others["pass"] == held.pass_.value)
    run_ids = sa.select(others.run_id).where(*same, others.number < number, others.source == source)
    for run_id in connection.scalars(run_ids).all() if held.pass_ is not Pass.DELTA else ():
        connection.execute(import_runs.delete().where(others.run_id == run_id))


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
            raise PartMissing(
                f"{held.pass_}/{key} was planned and is no longer there; put it back, or write a manifest that names "
                "the parts that make up the dump, then run the same command again"
            )
        file_places.reopen(connection, held.run_id, part.number)
        connection.execute(import_parts.delete().where(_part(held, part.number)))
        del known[key]


def _replan(connection: Connection, held: Claim, part: Part, planned: PlannedPart) -> None:
    row = _part_row(held, part.number, planned)
    if (part.planned.entity, part.planned.stored) == (planned.entity, planned.stored):
        # Only the manifest's word changed: what was imported stays imported, and is held against the new word.
        row = {name: row[name] for name in ("expected_rows", "expected_sha256", "token", "done")}
    else:
        file_places.reopen(connection, held.run_id, part.number)
        rejects = import_rejects.c
        connection.execute(
            import_rejects.delete().where(rejects.run_id == held.run_id, rejects.part_number == part.number)
        )
    connection.execute(import_parts.update().where(_part(held, part.number)).values(**row))


def _part(held: Claim, number: int) -> sa.ColumnElement[bool]:
    return sa.and_(import_parts.c.run_id == held.run_id, import_parts.c.number == number)


def _part_row(held: Claim, number: int, planned: PlannedPart) -> dict[str, Any]:
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
        "done": False,
        **_progress_row(Progress()),
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
    return Part(row.number, planned, progress, row.done, row.token)


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
        sa.exists().where(accounts.c.id == sa.bindparam("this_account")),
    )
    .values({name: sa.bindparam(name) for name in ("done", "tries", *_progress_row(Progress()))})
)


def checkpoint(connection: Connection, held: Claim, part: Part) -> None:
    """Write the part's progress down, in the transaction of the batch that it follows.

    Raises: LeaseLost, Interrupted (cancelled) or AccountDeleted, when this claim may not write any more; the caller's
    transaction must then be rolled back.
    """
    mine = {
        "this_run": held.run_id,
        "this_part": part.number,
        "this_token": part.token,
        "this_account": held.account_id,
    }
    progress = {"done": part.done, "tries": 0, **_progress_row(part.progress)}
    saved = connection.execute(_CHECKPOINT, {**mine, **progress}).rowcount
    if not saved:
        raise why_lost(connection, held)
