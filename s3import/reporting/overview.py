"""What an operator asks of all accounts at once: which there are, what is wrong, who works on what."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection

from s3import.core.clock import clock
from s3import.core.records import Pass
from s3import.core.settings import LEASE_SECONDS
from s3import.core.tables import UtcTime, import_notices, import_parts, import_rejects, import_runs
from s3import.reporting.pages import AccountCursor
from s3import.status import State, is_newest

_LIKE_ESCAPE = "!"


@dataclass(frozen=True, slots=True)
class PassTotals:
    """Passes by state; of those that succeeded, the ones that ended since midnight (UTC). Lost ones are running ones
    whose process shows no sign of life."""

    queued: int
    running: int
    lost: int
    failed: int
    done_today: int


@dataclass(frozen=True, slots=True)
class HeldWork:
    """What one process holds: a run, or `parts` of a spread one. `silent_seconds`: since its last sign of life."""

    holder: str
    account_id: str
    pass_: Pass
    parts: int
    attempts: int
    silent_seconds: float
    is_lost: bool


@dataclass(frozen=True, slots=True)
class Fleet:
    """Who works on what. `lag_seconds`: the age of the oldest queued run; `notices`: waiting ones by channel."""

    lag_seconds: float
    work: Sequence[HeldWork]
    parts_left: int
    notices: dict[str, int]


def account_ids(
    connection: Connection, state: State | None, text: str, after: AccountCursor | None, limit: int
) -> tuple[list[str], AccountCursor | None]:
    """At most `limit` accounts that have a run, those asked for last first, and the place of the last one (None: there
    are no more). `state`: with such a run of a pass; `text`: with ids that begin so."""
    runs = import_runs.c
    requested_at = sa.func.max(runs.requested_at, type_=UtcTime())
    query = sa.select(runs.account_id, requested_at.label("requested_at")).group_by(runs.account_id)
    if text:
        query = query.where(runs.account_id.startswith(text, autoescape=True, escape=_LIKE_ESCAPE))
    if state:
        query = query.where(runs.state == state.value, is_newest())
    if after:
        later = sa.and_(requested_at == after.requested_at, runs.account_id > after.account_id)
        query = query.having(sa.or_(requested_at < after.requested_at, later))
    query = query.order_by(requested_at.desc(), runs.account_id).limit(limit + 1)
    found = connection.execute(query).all()
    places = [AccountCursor(row.requested_at, row.account_id) for row in found[:limit]]
    return [place.account_id for place in places], places[-1] if len(found) > limit else None


def in_trouble(connection: Connection, limit: int) -> list[str]:
    """At most `limit` accounts whose run has failed, or whose process is gone; the latest first."""
    runs = import_runs.c
    at = sa.func.max(sa.func.coalesce(runs.finished_at, runs.started_at, runs.requested_at))
    query = sa.select(runs.account_id).where(_is_wrong(), is_newest())
    return list(connection.scalars(query.group_by(runs.account_id).order_by(at.desc(), runs.account_id).limit(limit)))


def _is_wrong() -> sa.ColumnElement[bool]:
    return sa.or_(import_runs.c.state == State.FAILED, _is_lost())


def _is_lost() -> sa.ColumnElement[bool]:
    """Whether nobody holds a running run any more; of a spread one the parts' holders are asked as well."""
    runs, parts = import_runs.c, import_parts.c
    held = sa.exists().where(parts.run_id == runs.run_id, parts.lease_until > clock(), parts.done.is_(False))
    alive = sa.or_(runs.lease_until > clock(), sa.and_(runs.spread, held))
    return sa.and_(runs.state == State.RUNNING, ~sa.func.coalesce(alive, sa.false()))


def totals(connection: Connection, midnight: dt.datetime) -> PassTotals:
    """How many passes are in which state, by one statement."""
    runs = import_runs.c
    done_today = sa.and_(runs.state == State.SUCCEEDED, runs.finished_at >= midnight)
    counted = {
        "queued": runs.state == State.QUEUED,
        "running": runs.state == State.RUNNING,
        "lost": _is_lost(),
        "failed": runs.state == State.FAILED,
        "done_today": done_today,
    }
    columns = [sa.func.count(sa.case((condition, 1))).label(name) for name, condition in counted.items()]
    at_work = runs.state.in_([State.QUEUED, State.RUNNING, State.FAILED])
    query = sa.select(*columns).where(is_newest(), sa.or_(at_work, done_today))
    return PassTotals(**connection.execute(query).one()._mapping)


def fleet(connection: Connection) -> Fleet:
    """Who works on what, how long work waits, and what is left to tell."""
    runs, parts, notices = import_runs.c, import_parts.c, import_notices.c
    left = (runs.lease_until - clock()).label("left")
    of_runs = sa.select(runs.holder, runs.account_id, runs["pass"], runs.attempts, left).where(
        runs.state == State.RUNNING, runs.spread.is_(False)
    )
    undone = sa.and_(parts.done.is_(False), runs.state == State.RUNNING, runs.spread)
    of_parts = (
        sa.select(
            parts.holder,
            runs.account_id,
            runs["pass"],
            sa.func.count().label("parts"),
            sa.func.max(parts.tries).label("attempts"),
            (sa.func.min(parts.lease_until) - clock()).label("left"),
        )
        .join_from(import_parts, import_runs, runs.run_id == parts.run_id)
        .where(undone, parts.holder.is_not(None), parts.token > 0)
        .group_by(parts.holder, runs.account_id, runs["pass"])
    )
    work = [_work(row, 0) for row in connection.execute(of_runs)]
    work += [_work(row, row.parts) for row in connection.execute(of_parts)]
    oldest = sa.select(sa.func.min(runs.requested_at, type_=UtcTime())).where(runs.state == State.QUEUED)
    asked_at = connection.execute(oldest).scalar()
    lag = (dt.datetime.now(dt.UTC) - asked_at).total_seconds() if asked_at else 0.0
    counted = sa.select(sa.func.count()).select_from(import_parts).join(import_runs, runs.run_id == parts.run_id)
    waiting = sa.select(notices.channel, sa.func.count().label("number")).where(notices.not_before.is_not(None))
    return Fleet(
        max(lag, 0.0),
        sorted(work, key=lambda one: (not one.is_lost, one.holder, one.account_id)),
        connection.execute(counted.where(undone)).scalar_one(),
        {row.channel: row.number for row in connection.execute(waiting.group_by(notices.channel))},
    )


def _work(row: Any, parts: int) -> HeldWork:
    left = row.left if row.left is not None else 0.0
    silent = max(LEASE_SECONDS - left, 0.0)
    return HeldWork(
        row.holder or "nobody", row.account_id, Pass(row._mapping["pass"]), parts, row.attempts, silent, left <= 0
    )


def newest_rejects(connection: Connection, account_id: str, limit: int) -> list[dict[str, Any]]:
    """At most `limit` of an account's open rejects without their texts, those furthest in the last parts first: of a
    run at work these are about the newest."""
    runs = import_runs.c
    newest = sa.select(runs.run_id, runs["pass"]).where(runs.account_id == account_id, is_newest())
    found: list[dict[str, Any]] = []
    for run in connection.execute(newest.order_by(runs.requested_at.desc(), runs.number.desc())).all():
        rows = connection.execute(_rejects(run.run_id).limit(limit - len(found)))
        found += [{"pass": run._mapping["pass"], **row._mapping} for row in rows]
        if len(found) == limit:
            break
    return found


def _rejects(run_id: str) -> sa.Select[Any]:
    kept, parts = import_rejects.c, import_parts.c
    columns = (parts.entity, parts.key.label("part"), kept.part_number, kept.line, kept.record_id, kept.reasons)
    of_part = sa.and_(parts.run_id == kept.run_id, parts.number == kept.part_number)
    query = sa.select(*columns).join_from(import_rejects, import_parts, of_part)
    query = query.where(kept.run_id == run_id, kept.resolved_by.is_(None))
    return query.order_by(kept.part_number.desc(), kept.line.desc())
