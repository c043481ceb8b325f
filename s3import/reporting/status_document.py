"""What others may know of an account's runs: the status document and the kept rejects."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection

from s3import.core.accounts import account_status
from s3import.core.clock import clock
from s3import.core.errors import RejectCode
from s3import.core.records import HALVES, ROW_ENTITIES, Entity, Pass
from s3import.core.tables import COUNTS, Id, accounts, import_parts, import_rejects, import_runs
from s3import.reporting import progress
from s3import.reporting.pages import RejectCursor, RejectSelection
from s3import.reporting.progress import rfc3339
from s3import.status import State, is_newest

UNKNOWN = "unknown"  # stands for an account's status where the database does not answer
MAX_PAGE_CHARACTERS = 4 * 1024 * 1024
_BY_PLACE = (import_rejects.c.part_number, import_rejects.c.line)
_UNSHOWN = {"again", "tries", "progress_at_claim", "not_before", "token", "account_checked", "texts", "anew"}
# Polls come by the hundred a second, and each column costs both sides something.
_SHOWN = (
    *(column for column in import_runs.c if column.name not in _UNSHOWN),
    (import_runs.c.lease_until - clock()).label("lease_left"),
)


def document(connection: Connection, account_id: str) -> dict[str, Any] | None:
    """The status document (docs/reference/status-document.md); None when neither account nor run is known.

    It is true to one moment, by one statement: a run that has succeeded never shows a part that has not, and what is
    asked for later never shows less.
    """
    rows = connection.execute(_ALL, {"account_id": account_id}).all()
    found = _document(account_id, rows)
    return found if found["account_status"] is not None or any(found["passes"].values()) else None


def unknown(account_id: str) -> dict[str, Any]:
    """What is said of an account where the database does not answer."""
    return {"account_id": account_id, "account_status": UNKNOWN, "passes": {pass_.value: None for pass_ in HALVES}}


def documents(connection: Connection, account_ids: Sequence[str]) -> list[dict[str, Any]]:
    """The status documents of these accounts, in their order, by one statement; of those that have a run."""
    by_account: dict[str, list[Any]] = {account_id: [] for account_id in account_ids}
    for row in connection.execute(_OF_ACCOUNTS, {"account_ids": list(account_ids)}):
        by_account[row.account_id].append(row)
    return [_document(account_id, mine) for account_id, mine in by_account.items() if mine]


def _document(account_id: str, rows: Sequence[Any]) -> dict[str, Any]:
    """Of a pass's runs, which come in the order of their numbers, the newest is shown."""
    passes: dict[str, Any] = {pass_.value: None for pass_ in HALVES}
    passes.update((run._mapping["pass"], document) for run, document in pass_documents(rows))
    return {"account_id": account_id, "account_status": rows[0].account_status, "passes": passes}


def pass_documents(rows: Iterable[Any]) -> Iterator[tuple[Any, dict[str, Any]]]:
    """Each run of the rows, in their order, with its document; `rows`: as `with_slices` gives them."""
    for run_id, of_run in groupby(rows, key=lambda row: row.run_id):
        if run_id is not None:
            run, *_ = slices = list(of_run)
            yield run, _pass_document(run, [one for one in slices if one.entity is not None])


def progress_of(connection: Connection, run_id: str) -> dict[str, Any] | None:
    """How far a run is, as its document says; None where there is no such run."""
    found = pass_documents(connection.execute(_ONE, {"run_id": run_id}).all())
    return next((document["progress"] for _, document in found), None)


def runs() -> sa.Select[Any]:
    """All runs with what documents show of them, except their slices."""
    columns = (*_SHOWN, accounts.c.status.label("account_status"))
    return sa.select(*columns).outerjoin_from(import_runs, accounts, accounts.c.id == import_runs.c.account_id)


def with_slices(some_runs: sa.Select[Any], *order: sa.UnaryExpression[Any]) -> sa.Select[Any]:
    """These `runs` and their slices: a row for each slice, one for a run without any; in that `order`, then by run."""
    page = some_runs.cte("page")
    slices = _slices(sa.select(page.c.run_id)).subquery("slices")
    joined = page.outerjoin(slices, slices.c.of_run == page.c.run_id)
    return sa.select(page, slices).select_from(joined).order_by(*order, page.c.run_id)


def _all() -> sa.Select[Any]:
    """The account's status, its passes' newest runs and their slices: a row for each slice of a run, one for a run
    without any, and one without a run where there is none. Behind a pooler PostgreSQL plans it anew each time: the
    fewer joins the better."""
    account = sa.bindparam("account_id", type_=Id)
    account_status = sa.select(accounts.c.status).where(accounts.c.id == account).scalar_subquery()
    one_row = sa.select(sa.literal(1).label("one")).subquery()
    age = sa.func.row_number().over(partition_by=import_runs.c["pass"], order_by=import_runs.c.number.desc())
    mine = sa.select(*_SHOWN, age.label("age")).where(import_runs.c.account_id == account).cte("mine")
    slices = _slices(sa.select(mine.c.run_id).where(mine.c.age == 1)).subquery("slices")
    joined = one_row.outerjoin(mine, mine.c.age == 1).outerjoin(slices, slices.c.of_run == mine.c.run_id)
    columns = (account_status.label("account_status"), mine, slices)
    return sa.select(*columns).select_from(joined).order_by(mine.c.number, mine.c.run_id)


def _slices(run_ids: sa.Select[Any]) -> sa.Select[Any]:
    """The sums over runs' parts, by entity and by what there is to tell of them: a row for thousands of parts."""
    parts = import_parts.c
    same = (parts.run_id, parts.entity, parts.rejects_by_code, parts.ignored_fields)
    bytes_done = sa.case((parts.done, parts.size_bytes), else_=parts.bytes_done)
    sums = {
        "parts_done": sa.case((parts.done, 1), else_=0),
        "bytes_total": parts.size_bytes,
        "bytes_done": bytes_done,
        **{what: parts[f"{what}_count"] for what in COUNTS},
    }
    columns = (sa.cast(sa.func.sum(number), sa.BigInteger).label(name) for name, number in sums.items())
    held = sa.and_(parts.holder.is_not(None), parts.token > 0)  # not those on offer
    leased_until = sa.func.max(sa.case((held, parts.lease_until))).label("leased_until")
    shown = (parts.run_id.label("of_run"), *same[1:], sa.func.count().label("parts_total"), *columns, leased_until)
    return sa.select(*shown).where(parts.run_id.in_(run_ids)).group_by(*same)


_ALL = _all()
_ONE = with_slices(runs().where(import_runs.c.run_id == sa.bindparam("run_id")))
_MANY = sa.bindparam("account_ids", type_=Id, expanding=True)
_OF_ACCOUNTS = with_slices(runs().where(import_runs.c.account_id.in_(_MANY), is_newest()), sa.asc("number"))


def _pass_document(run: Any, slices: Sequence[Any]) -> dict[str, Any]:
    by_code: Counter[str] = Counter()
    for one in slices:
        for code, rejected in one.rejects_by_code.items():
            by_code[code] += one.parts_total * rejected
    files_by_code = Counter({RejectCode.FILE_MISSING: run.files_missing, RejectCode.FILE_DIFFERS: run.files_differ})
    shown = [entity for entity in Entity if entity in ROW_ENTITIES or any(one.entity == entity for one in slices)]
    counts = {entity.value: _sums(COUNTS, [one for one in slices if one.entity == entity]) for entity in shown}
    return {
        "run_id": run.run_id,
        "state": run.state,
        "source": run.source,
        "requested_at": rfc3339(run.requested_at),
        "started_at": rfc3339(run.started_at),
        "finished_at": rfc3339(run.finished_at),
        "attempts": run.attempts,
        "progress": progress.document(run, slices),
        "counts": counts,
        "files": {
            "total": run.files_total,
            "copied": run.files_copied,
            "failed": sum(files_by_code.values()),
            "bytes": run.files_bytes,
        },
        "rejects": {
            "total": sum(count["rejected"] for count in counts.values()) + sum(files_by_code.values()),
            "by_code": dict(sorted((by_code | +files_by_code).items())),
            **({"resolved": run.resolved} if run.resolved else {}),
        },
        "ignored_fields": sorted({name for one in slices for name in one.ignored_fields}),
        "skipped_objects": run.skipped_objects,
        "keys": run.keys,
        "estimate": run.estimate["seconds"] if run.estimate else None,
        "error": _error_document(run),
        **({"verified": run.verified} if run.verified else {}),
    }


def _sums(names: Sequence[str], slices: Sequence[Any]) -> dict[str, int]:
    return {name: sum(getattr(one, name) for one in slices) for name in names}


def _error_document(run: Any) -> dict[str, str] | None:
    if run.error_code:
        return {"code": run.error_code, "message": run.error_message}
    if run.state == State.RUNNING and (run.lease_left or 0) <= 0:
        return {
            "code": "worker_lost",
            "message": f"{run.holder} shows no sign of life any more; run the same command again, it resumes at the "
            "last checkpoint",
        }
    return None


def is_known(connection: Connection, account_id: str) -> bool:
    """Whether the account exists or was ever migrated."""
    runs = sa.select(import_runs.c.run_id).where(import_runs.c.account_id == account_id)
    return account_status(connection, account_id) is not None or connection.execute(runs).first() is not None


def reject_page(
    connection: Connection, account_id: str, selection: RejectSelection, after: RejectCursor | None, limit: int
) -> tuple[list[dict[str, Any]], RejectCursor | None]:
    """At most `limit` of the selected rejects that come `after` that place, as lines of `rejects --json`,
    by pass, part and line; and where the next page begins (None: there is none). A page ends early once its texts come
    to 4 MiB."""
    page: list[dict[str, Any]] = []
    place, size = after, 0
    for row in _rejects_after(connection, account_id, selection, after, limit + 1):
        if len(page) == limit or size >= MAX_PAGE_CHARACTERS:
            return page, place
        page.append(_reject_document(row))
        place, size = RejectCursor(Pass(row.run_pass), row.part_number, row.line), size + len(row.raw or "")
    return page, None


def _rejects_after(
    connection: Connection, account_id: str, selection: RejectSelection, after: RejectCursor | None, limit: int
) -> Iterator[Any]:
    """At most `limit` rows, by one look into the primary key for each piece of it that has a beginning and an end."""
    runs = import_runs.c
    newest = sa.select(runs["pass"], runs.run_id).where(runs.account_id == account_id, is_newest())
    known = connection.execute(newest).all()
    run_ids = {pass_: run_id for pass_, run_id in known if pass_ in selection.passes}
    for pass_ in Pass:
        for piece in _pieces(pass_, after) if pass_ in run_ids else ():
            mine = (import_rejects.c.run_id == run_ids[pass_], piece, *_conditions(selection))
            query = _reject_query().where(*mine).order_by(*_BY_PLACE)
            rows = connection.execution_options(yield_per=100).execute(query.limit(limit))
            for row in rows:
                limit -= 1
                yield row


def _pieces(pass_: Pass, after: RejectCursor | None) -> list[sa.ColumnElement[bool]]:
    """What of a pass's rejects comes after that place: the rest of the part, and the other parts."""
    kept, passes = import_rejects.c, list(Pass)
    if after is None or passes.index(pass_) > passes.index(after.pass_):
        return [sa.true()]
    if pass_ is not after.pass_:
        return []
    return [
        sa.and_(kept.part_number == after.part_number, kept.line > after.line),
        kept.part_number > after.part_number,
    ]


def _conditions(selection: RejectSelection) -> Iterator[sa.ColumnElement[bool]]:
    yield import_rejects.c.resolved_by.is_(None)
    if selection.entity is not None:
        yield import_parts.c.entity == selection.entity.value
    if selection.code is not None:  # databases write JSON with a blank behind the colon, or without
        reasons = sa.cast(import_rejects.c.reasons, sa.Text)
        spellings = (f'"code":{blank}"{selection.code}"' for blank in ("", " "))
        yield sa.or_(*(reasons.contains(text, autoescape=True) for text in spellings))


def passes_of_items(connection: Connection, account_id: str) -> set[Pass]:
    """The passes whose newest run read items of DynamoDB: the text of their rejects is no record."""
    runs, parts = import_runs.c, import_parts.c
    items = sa.exists().where(parts.run_id == runs.run_id, parts.window.is_not(None))
    query = sa.select(runs["pass"]).where(runs.account_id == account_id, is_newest(), items)
    return {Pass(name) for name in connection.scalars(query)}


def _reject_query() -> sa.Select[Any]:
    kept, parts, runs = import_rejects.c, import_parts.c, import_runs.c
    return (
        sa.select(import_rejects, runs["pass"].label("run_pass"), parts.entity, parts.key)
        .join_from(import_rejects, import_parts, sa.and_(parts.run_id == kept.run_id, parts.number == kept.part_number))
        .join(import_runs, runs.run_id == kept.run_id)
    )


def _reject_document(row: Any) -> dict[str, Any]:
    return {
        "pass": row.run_pass,
        "entity": row.entity,
        "part": row.key,
        "line": row.line,
        "id": row.record_id,
        "reasons": row.reasons,
        "raw": row.raw,
        "raw_truncated": row.raw_truncated,
    }
