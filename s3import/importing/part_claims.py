"""How a run's parts are shared out among many machines.

A spread run is held by nobody: each of its parts has a lease and a fencing token of its own. The database holds the
backlog. A queue only carries what may be worked on now: as many runs to plan and parts to import as `Capacity` leaves,
each offered for `OFFER_SECONDS`. An offer that is lost ends by itself and is made again; one that arrives twice finds
its part taken.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection

from s3import.core.clock import clock
from s3import.core.records import Entity
from s3import.core.tables import import_parts, import_runs
from s3import.importing.backlog import due
from s3import.importing.checkpoints import Part, read_parts
from s3import.importing.offers import OFFER_SECONDS
from s3import.status import Run, State, read_run
from s3import.writers.schema import VERSION_TABLE

ON_OFFER = 0  # the token of a part that may be claimed: nobody's, so whoever let its lease end writes nothing any more


@dataclass(frozen=True, slots=True)
class Capacity:
    """How many parts and plans, and so database connections, may be at work: of one account, and in all."""

    per_account: int = 8
    in_all: int = 64


def due_runs(connection: Connection, capacity: Capacity, least_room: int = 1) -> list[Run]:
    """As many due runs as there is room for; none where that is less than `least_room`. Nobody else offers anything
    until the transaction ends."""
    now = _alone(connection)
    room = _room(connection, capacity, now, len(_at_work(connection, now, capacity)))
    return due(connection, room) if room >= least_room else []


def offer_parts(connection: Connection, run_id: str, capacity: Capacity) -> Sequence[int]:
    """The numbers of the run's parts to send out now: parents' entities before their children's, and no more than
    `capacity` leaves. None where the run is not spread or has no part left."""
    now = _alone(connection)
    locked = connection.execute(
        sa.select(import_runs.c.state, import_runs.c.spread).where(import_runs.c.run_id == run_id).with_for_update()
    ).first()
    if locked is None or locked.state != State.RUNNING or not locked.spread:
        return ()
    holders = _at_work(connection, now, capacity)
    mine = holders.count(run_id)
    room = min(capacity.per_account - mine, _room(connection, capacity, now, len(holders)))
    numbers = _waiting(connection, run_id, now, room, mine) if room > 0 else []
    parts = import_parts.c
    if numbers:
        connection.execute(
            import_parts.update()
            .where(parts.run_id == run_id, parts.number.in_(numbers))
            .values(token=ON_OFFER, lease_until=clock() + OFFER_SECONDS)
        )
    return numbers


def withdraw_parts(connection: Connection, run_id: str, numbers: Sequence[int]) -> None:
    """Take back offers of parts that did not get out: they are due again."""
    parts = import_parts.c
    on_offer = sa.and_(parts.run_id == run_id, parts.number.in_(numbers), parts.token == ON_OFFER)
    connection.execute(import_parts.update().where(on_offer).values(lease_until=None))


def _waiting(connection: Connection, run_id: str, now: float, room: int, at_work: int) -> list[int]:
    """The numbers of at most `room` parts that nobody has, of the first entity that is not done; of the run's parts
    `at_work` are somebody's. However many it has, this looks at few: an index has what is left by entity and number."""
    parts = import_parts.c
    for entity in Entity:
        leased = sa.func.coalesce(parts.lease_until > now, sa.false()).label("leased")
        first = _left(run_id, parts.number, leased).where(parts.entity == entity.value).order_by(parts.number)
        if rows := connection.execute(first.limit(room + at_work)).all():
            return [row.number for row in rows if not row.leased][:room]
    return []


def _alone(connection: Connection) -> float:
    """Go on alone until the transaction ends, so that two who see the same room do not both fill it: what is locked is
    the one row that is always there. The database's time then: a number can use an index."""
    version = sa.table(VERSION_TABLE, sa.column("version_num"))
    return float(connection.execute(sa.select(clock(), version).with_for_update()).scalar_one())


def _room(connection: Connection, capacity: Capacity, now: float, at_work: int) -> int:
    """How much more may be offered, where so many parts are at work."""
    runs = import_runs.c
    planning = sa.and_(runs.spread.is_(False), runs.state.in_([State.QUEUED, State.RUNNING]))
    plans = sa.select(sa.func.count()).where(runs.lease_until > now, planning)
    return capacity.in_all - int(connection.execute(plans).scalar_one()) - at_work


def _at_work(connection: Connection, now: float, capacity: Capacity) -> Sequence[str]:
    """For each part that somebody has, or that is on offer, the id of its run; no more than `capacity` has room for."""
    parts = import_parts.c
    leased = sa.select(parts.run_id).where(parts.lease_until > now, parts.done == sa.false())
    # In this order, so that the index is used without statistics too, and never all parts are read.
    return connection.scalars(leased.order_by(parts.lease_until).limit(capacity.in_all)).all()


def all_done(connection: Connection, run_id: str) -> bool:
    """Whether no part of the run is left."""
    return connection.execute(_left(run_id, import_parts.c.number).limit(1)).first() is None


def _left(run_id: str, *columns: sa.ColumnElement[Any]) -> sa.Select[Any]:
    """Parts of the run that are not done, by the index that has them. MariaDB would rather read all the others too."""
    parts = import_parts.c
    left = sa.select(*columns).where(parts.run_id == run_id, parts.done == sa.false())
    for dialect in ("mysql", "mariadb"):
        left = left.with_hint(import_parts, "FORCE INDEX (import_parts_left)", dialect)
    return left


@dataclass(frozen=True, slots=True)
class TakenPart:
    """A part of a spread run that was claimed: how often that happened since its last checkpoint, and who had it before
    and let its lease end."""

    run: Run
    part: Part
    tries: int
    lost_by: str | None


def new_token() -> int:
    """A fencing token of a part that nobody else has: fencing only asks whether it is still the same."""
    return 1 + secrets.randbits(62)


def claim_part(
    connection: Connection, run_id: str, number: int, *, token: int, holder: str, lease_seconds: float
) -> TakenPart | None:
    """Take a part of a spread run that is on offer, or was taken with this very `token`: the answer to a commit can get
    lost. None when somebody else has it, it is done, or the run has ended."""
    parts, runs = import_parts.c, import_runs.c
    one = sa.and_(parts.run_id == run_id, parts.number == number)
    before = connection.execute(sa.select(parts.holder, parts.tries, parts.token).where(one)).first()
    if before is not None and before.token == token:
        run, [part] = read_run(connection, run_id), read_parts(connection, run_id, number)
        return TakenPart(run, part, before.tries, None) if run else None
    at_work = sa.exists().where(runs.run_id == run_id, runs.state == State.RUNNING, runs.spread.is_(True))
    on_offer = sa.and_(parts.token == ON_OFFER, parts.lease_until > clock())
    taken = connection.execute(
        import_parts.update()
        .where(one, parts.done == sa.false(), on_offer, at_work)
        .values(
            token=token,
            holder=holder,
            lease_until=clock() + lease_seconds,
            tries=parts.tries + 1,
        )
    ).rowcount
    run = read_run(connection, run_id)
    if not taken or run is None or before is None:
        return None
    return TakenPart(run, read_parts(connection, run_id, number)[0], before.tries + 1, before.holder)


def renew_part(connection: Connection, run_id: str, part: Part, lease_seconds: float) -> bool:
    """Keep the part; False when it is not its holder's any more. A part that is done needs no keeping."""
    return bool(
        connection.execute(
            import_parts.update().where(*_mine(run_id, part)).values(lease_until=clock() + lease_seconds)
        ).rowcount
    )


def release_part(connection: Connection, run_id: str, part: Part) -> None:
    """Give the part back, so that it can be offered again at once."""
    connection.execute(import_parts.update().where(*_mine(run_id, part)).values(holder=None, lease_until=None, tries=0))


def _mine(run_id: str, part: Part) -> tuple[sa.ColumnElement[bool], ...]:
    parts = import_parts.c
    return parts.run_id == run_id, parts.number == part.number, parts.token == part.token
