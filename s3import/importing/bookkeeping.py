"""What is kept of a migration, removed in pages: short transactions and little memory, however much there is."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any, TypeVar

import sqlalchemy as sa
from sqlalchemy import Connection

from s3import.core.tables import (
    import_events,
    import_files,
    import_parts,
    import_rejects,
    import_reread,
    import_samples,
    import_tombstones,
)

T = TypeVar("T")
Step = Callable[[Callable[[Connection], T]], T]
"""Does work in one transaction, again from its start where the database fails in passing."""

PAGE_ROWS = 1000


def remove_bookkeeping(
    do: Step[int], account_id: str, run_ids: Sequence[str], *, keep_deletions: bool = False
) -> Iterator[int]:
    """Remove the runs' parts, rejects and samples, then the account's files, tombstones and events; the number of rows
    of each page.

    With `keep_deletions` the tombstones of what people deleted stay. What is removed first is what a resumed run would
    trust.
    """
    for run_id in run_ids:
        yield from remove_parts(do, run_id)
    tombstones, files, events = import_tombstones.c, import_files.c, import_events.c
    yield from _pages(do, events.account_id == account_id, events.id)
    yield from _pages(do, files.account_id == account_id, files.entity, files.record_id)
    mine = tombstones.account_id == account_id
    gone = sa.and_(mine, tombstones.from_dump.is_(True)) if keep_deletions else mine
    yield from _pages(do, gone, tombstones.entity, tombstones.id)


def remove_parts(do: Step[int], run_id: str) -> Iterator[int]:
    """Remove the run's parts, rejects and samples; the number of rows of each page."""
    rejects, parts, reread, samples = import_rejects.c, import_parts.c, import_reread.c, import_samples.c
    yield from _pages(do, samples.run_id == run_id, samples.at)
    yield from _pages(do, rejects.run_id == run_id, rejects.part_number, rejects.line)
    yield from _pages(do, reread.run_id == run_id, reread.part_number, reread.id)
    yield from _pages(do, parts.run_id == run_id, parts.number)


def has_parts(connection: Connection, run_id: str) -> bool:
    """Whether the run ever got as far as to have a plan."""
    one = sa.select(import_parts.c.number).where(import_parts.c.run_id == run_id).limit(1)
    return connection.execute(one).first() is not None


def _pages(do: Step[int], mine: sa.ColumnElement[bool], *key: sa.Column[Any]) -> Iterator[int]:
    """Remove the rows that are `mine`, in the order of the rest of their table's key."""
    while removed := do(partial(_remove_page, mine, key)):
        yield removed


def _remove_page(mine: sa.ColumnElement[bool], key: Sequence[sa.Column[Any]], connection: Connection) -> int:
    page = sa.select(*key).where(mine).order_by(*key).limit(PAGE_ROWS).subquery()
    last = connection.execute(sa.select(page).order_by(*(column.desc() for column in page.c)).limit(1)).first()
    if last is None:
        return 0
    return connection.execute(sa.delete(key[0].table).where(mine, _up_to(key, last))).rowcount


def _up_to(key: Sequence[sa.Column[Any]], last: Sequence[Any]) -> sa.ColumnElement[bool]:
    """Whether a row's key is no later than `last`, said so that every planner finds the range in its index."""
    first, *rest = key
    if not rest:
        up_to: sa.ColumnElement[bool] = first <= last[0]
        return up_to
    return sa.or_(first < last[0], sa.and_(first == last[0], _up_to(rest, last[1:])))
