"""Rejects that are resolved: what an earlier pass rejected of a record is open until a delta brings that record in.

Records are told by their ids, deletions by entity and id. A reject whose own id could not be read, or was at fault
itself, cannot be told from others and stays open, as do those about files: their rows are there.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from typing import Any

import orjson
import pyarrow as pa
import sqlalchemy as sa
from sqlalchemy import Connection

from s3import import status
from s3import.core.history import Happened
from s3import.core.records import Entity, Pass
from s3import.core.tables import import_parts, import_rejects, import_runs
from s3import.importing.file_places import FILE_CODES, in_chunks
from s3import.status import Claim, is_newest

PartKey = tuple[str, int]  # of a run, and the part's number within it


def resolve(connection: Connection, held: Claim, entity: Entity, taken_in: pa.Table) -> None:
    """Resolve the open rejects that the account's other runs have of the records `taken_in`, in the transaction that
    brings these in."""
    run_ids = connection.scalars(_with_rejects(held)).all()
    if not run_ids or not taken_in.num_rows:
        return
    keys = _keys(entity, taken_in)
    lines: defaultdict[PartKey, list[int]] = defaultdict(list)
    for reject in find_open(connection, held.account_id, entity, sorted({key[-1] for key in keys})):
        if reject.run_id in run_ids and _key(entity, reject) in keys:
            lines[reject.run_id, reject.part_number].append(reject.line)
    if lines:
        _close(connection, held.run_id, lines)


def _with_rejects(held: Claim) -> sa.Select[str]:
    runs, kept = import_runs.c, import_rejects.c
    others = (runs.account_id == held.account_id, runs.run_id != held.run_id)
    return sa.select(runs.run_id).where(*others, sa.exists().where(kept.run_id == runs.run_id))


def _keys(entity: Entity, records: pa.Table) -> set[tuple[str, ...]]:
    names = ("entity", "id") if entity is Entity.DELETIONS else ("id",)
    return set(zip(*(records[name].to_pylist() for name in names), strict=True))


def _key(entity: Entity, reject: Any) -> tuple[str, ...] | None:
    """What a reject's record is told by; None where that is not known for sure."""
    if any(reason["field"] == "id" or reason["code"] in FILE_CODES for reason in reject.reasons):
        return None
    if entity is not Entity.DELETIONS:
        return (reject.record_id,)
    try:
        record = orjson.loads(reject.raw or "")
    except orjson.JSONDecodeError:
        return None
    of_entity = record.get("entity") if isinstance(record, dict) else None
    return (of_entity, reject.record_id) if isinstance(of_entity, str) else None


def find_open(connection: Connection, account_id: str, entity: Entity, ids: Sequence[str]) -> Iterator[Any]:
    """The account's open rejects of records of the entity that have one of these ids: rows of ``import_rejects`` with
    their run's `pass_`, and `is_newest`, whether no newer run of the pass is there."""
    kept, parts, runs = import_rejects.c, import_parts.c, import_runs.c
    columns = (import_rejects, runs["pass"].label("pass_"), is_newest().label("is_newest"))
    mine = sa.select(*columns).join_from(
        import_rejects, import_parts, sa.and_(parts.run_id == kept.run_id, parts.number == kept.part_number)
    )
    mine = mine.join(import_runs, runs.run_id == kept.run_id)
    mine = mine.where(kept.account_id == account_id, kept.resolved_by.is_(None), parts.entity == entity.value)
    for some in in_chunks(ids):
        exact = set(some)
        rows = connection.execute(mine.where(kept.record_id.in_(some)))
        yield from (row for row in rows if row.record_id in exact)  # MySQL takes k1 for K1 here


def rejected_by_delta(connection: Connection, account_id: str, entity: Entity, ids: Sequence[str]) -> set[str]:
    """Of these ids of the entity's records, those that have an open reject of the account's last delta."""
    found = find_open(connection, account_id, entity, ids)
    return {reject.record_id for reject in found if reject.pass_ == Pass.DELTA and reject.is_newest}


def _close(connection: Connection, run_id: str, lines: dict[PartKey, list[int]]) -> None:
    """The runs before their rejects, as where files are copied: two that do it at one time do not wait in a circle."""
    kept, runs = import_rejects.c, import_runs.c
    theirs = runs.run_id.in_({of_run for of_run, _ in lines})
    connection.execute(sa.select(runs.run_id).where(theirs).order_by(runs.run_id).with_for_update())
    closed = Counter[str]()
    for (of_run, number), these in sorted(lines.items()):
        part = (kept.run_id == of_run, kept.part_number == number, kept.resolved_by.is_(None))
        for some in in_chunks(these):
            update = import_rejects.update().where(*part, kept.line.in_(some)).values(resolved_by=run_id)
            closed[of_run] += connection.execute(update).rowcount
    for of_run, count in closed.items():
        more = sa.func.coalesce(runs.resolved, 0) + count
        connection.execute(import_runs.update().where(runs.run_id == of_run).values(resolved=more))


def tell(connection: Connection, held: Claim) -> None:
    """Write into the diary that the run, which has just ended, resolved rejects of others; nothing where it did not."""
    runs, kept = import_runs.c, import_rejects.c
    with_any = sa.select(runs.run_id).where(runs.account_id == held.account_id, runs.resolved > 0)
    mine = sa.select(kept.run_id).where(kept.run_id.in_(with_any), kept.resolved_by == held.run_id).limit(1)
    if held.pass_ is Pass.DELTA and connection.execute(mine).first() is not None:
        status.note(connection, held, Happened.RESOLVED)
