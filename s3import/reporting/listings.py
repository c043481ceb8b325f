"""Accounts and migrations, page by page, each page by one statement that an index serves."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection

from s3import.core.accounts import AccountStatus
from s3import.core.tables import accounts, import_runs
from s3import.reporting import status_document as report
from s3import.reporting.pages import RunCursor
from s3import.status import State

DONE_LAST = 100  # accounts with nothing under way that are listed after those at work


def account_page(
    connection: Connection, status: AccountStatus | None, after: str | None, limit: int
) -> tuple[list[dict[str, Any]], str | None]:
    """At most `limit` accounts behind the id `after`, in the order of ids, and the id of the last one (None: there are
    no more). `status`: only those that have it."""
    mine = accounts.c
    query = sa.select(accounts).order_by(mine.id).limit(limit + 1)
    query = query.where(*([mine.status == status.value] if status else []), *([mine.id > after] if after else []))
    found = [{str(name): value for name, value in row._mapping.items()} for row in connection.execute(query)]
    return found[:limit], found[limit - 1]["id"] if len(found) > limit else None


def run_page(
    connection: Connection, state: State | None, account_id: str | None, after: RunCursor | None, limit: int
) -> tuple[list[dict[str, Any]], RunCursor | None]:
    """At most `limit` runs behind that place, those asked for last first, each as the status document shows it,
    and the place of the last one (None: there are no more)."""
    runs = import_runs.c
    query = report.runs().order_by(runs.requested_at.desc(), runs.run_id.desc()).limit(limit + 1)
    if state:
        query = query.where(runs.state == state.value)
    if account_id is not None:
        query = query.where(runs.account_id == account_id)
    if after:
        earlier = sa.and_(runs.requested_at == after.requested_at, runs.run_id < after.run_id)
        query = query.where(
            runs.requested_at <= after.requested_at, sa.or_(runs.requested_at < after.requested_at, earlier)
        )
    rows = connection.execute(_newest_first(query)).all()
    found = list(report.pass_documents(rows))
    items = [_item(run, document) for run, document in found[:limit]]
    last = found[limit - 1][0] if len(found) > limit else None
    return items, RunCursor(last.requested_at, last.run_id) if last else None


def _newest_first(runs: sa.Select[Any]) -> sa.Select[Any]:
    return report.with_slices(runs, sa.desc("requested_at"), sa.desc("run_id"))


def _item(run: Any, document: dict[str, Any]) -> dict[str, Any]:
    named = {"account_id": run.account_id, "account_status": run.account_status, "pass": run._mapping["pass"]}
    return {**named, **document}


def sources(connection: Connection, account_id: str) -> list[str]:
    """The sources of an account's runs, each once, in the order in which they were first asked for."""
    runs = import_runs.c
    query = sa.select(runs.source).where(runs.account_id == account_id, runs.source.is_not(None))
    return list(connection.scalars(query.group_by(runs.source).order_by(sa.func.min(runs.requested_at), runs.source)))


def account_ids(connection: Connection, state: State | None) -> list[str]:
    """The accounts at work, and behind them those whose runs ended last (at most `DONE_LAST`). `state`: all accounts
    that have a run of that state, and no others."""
    runs = import_runs.c
    at_work = sa.func.max(sa.case((runs.state.in_([State.QUEUED, State.RUNNING]), 1), else_=0))
    latest = sa.func.max(sa.func.coalesce(runs.finished_at, runs.started_at, runs.requested_at))
    query = sa.select(runs.account_id, at_work.label("at_work")).group_by(runs.account_id)
    query = query.order_by(at_work.desc(), latest.desc(), runs.account_id)
    if state:
        return list(connection.scalars(query.where(runs.state == state.value)))
    found = connection.execute(query).all()
    busy = [row.account_id for row in found if row.at_work]
    return [*busy, *(row.account_id for row in found if not row.at_work)][: len(busy) + DONE_LAST]
