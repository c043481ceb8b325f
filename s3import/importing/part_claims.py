"""How a run's parts are shared out among many machines.

A spread run is held by nobody: its parts have leases and fencing tokens of their own. The database holds the backlog. A
queue only carries what may be worked on now: as many runs to plan and bundles of parts to import as `Capacity` leaves,
each offered for `OFFER_SECONDS`. A bundle is one part, or a handful of small ones, which are offered, claimed and kept
together: to do so for each would take longer than to import it. An offer that is lost ends by itself and is made again;
one that arrives twice finds its parts taken.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection

from s3import.core.clock import clock
from s3import.core.records import Entity
from s3import.core.tables import import_parts, import_runs
from s3import.importing.backlog import due
from s3import.importing.checkpoints import Part, read_taken
from s3import.importing.offers import OFFER_SECONDS
from s3import.status import Run, State, read_run
from s3import.writers.schema import VERSION_TABLE

MOST_PARTS = 32  # in a bundle
MOST_BYTES = 1 << 20  # of the objects of a bundle; a larger part is one by itself
MOST_SPAN = 8 * MOST_PARTS  # of a bundle's numbers, all of which are read to find its parts
MOST_LOOKED_AT = 1000  # parts that are looked at to make bundles of


@dataclass(frozen=True, slots=True)
class Capacity:
    """How many bundles and plans, and so database connections, may be at work: of one account, and in all."""

    per_account: int = 8
    in_all: int = 64


@dataclass(frozen=True, slots=True)
class Bundle:
    """Parts on offer together: those between two numbers that have its token. It is nobody's, so that whoever let its
    lease end writes nothing any more."""

    first: int
    last: int
    token: int


def due_runs(connection: Connection, capacity: Capacity, least_room: int = 1) -> list[Run]:
    """As many due runs as there is room for; none where that is less than `least_room`. Nobody else offers anything
    until the transaction ends."""
    now = _alone(connection)
    room = _room(connection, capacity, now, len(_at_work(connection, now, capacity)))
    return due(connection, room) if room >= least_room else []


def offer_parts(connection: Connection, run_id: str, capacity: Capacity) -> Sequence[Bundle]:
    """The bundles of the run's parts to send out now: parents' entities before their children's, and no more than
    `capacity` leaves. None where the run is not spread or has no part left."""
    now = _alone(connection)
    locked = connection.execute(
        sa.select(import_runs.c.state, import_runs.c.spread).where(import_runs.c.run_id == run_id).with_for_update()
    ).first()
    if locked is None or locked.state != State.RUNNING or not locked.spread:
        return ()
    at_work = _at_work(connection, now, capacity)
    mine = at_work.count(run_id)
    room = min(capacity.per_account - mine, _room(connection, capacity, now, len(at_work)))
    waiting = (
        _waiting(connection, run_id, now, min(capacity.per_account * MOST_PARTS, MOST_LOOKED_AT)) if room > 0 else []
    )
    most_parts = -(-len(waiting) // capacity.per_account)  # so that there is a share for everybody
    bundles = islice(_bundles(waiting, most_parts), room)
    return [_offer(connection, run_id, numbers) for numbers in bundles]


def _offer(connection: Connection, run_id: str, numbers: Sequence[int]) -> Bundle:
    parts, bundle = import_parts.c, Bundle(numbers[0], numbers[-1], -new_token() - 1)
    connection.execute(
        import_parts.update()
        .where(parts.run_id == run_id, parts.number.in_(numbers))
        .values(token=bundle.token, lease_until=clock() + OFFER_SECONDS)
    )
    return bundle


def withdraw_parts(connection: Connection, run_id: str, bundles: Sequence[Bundle]) -> None:
    """Take back offers that did not get out: their parts are due again."""
    for bundle in bundles:
        on_offer = _held_by(run_id, bundle, bundle.token)
        connection.execute(import_parts.update().where(*on_offer).values(lease_until=None))


def _waiting(connection: Connection, run_id: str, now: float, limit: int) -> Sequence[sa.Row[Any]]:
    """The numbers and sizes of at most `limit` parts that nobody has, of the first entity that is not done. However
    many the run has, this looks at few: an index has what is left by entity and number."""
    parts = import_parts.c
    free = sa.or_(parts.lease_until.is_(None), parts.lease_until <= now)
    size = sa.case((parts.window.is_(None), parts.size_bytes), else_=MOST_BYTES).label(
        "size_bytes"
    )  # of a table: unknown
    for entity in Entity:
        left = _left(run_id, parts.number, size).where(parts.entity == entity.value).order_by(parts.number)
        if rows := connection.execute(left.where(free).limit(limit)).all():
            return rows
        if connection.execute(left.limit(1)).first():
            return ()
    return ()


def _bundles(waiting: Iterable[sa.Row[Any]], most_parts: int) -> Iterator[list[int]]:
    """The numbers of parts that go together, in their order."""
    numbers, size_bytes = list[int](), 0
    for part in waiting:
        size_bytes += part.size_bytes
        full = len(numbers) == most_parts or size_bytes > MOST_BYTES
        if numbers and (full or part.number - numbers[0] >= MOST_SPAN):
            yield numbers
            numbers, size_bytes = [], part.size_bytes
        numbers.append(part.number)
    if numbers:
        yield numbers


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
    """For each bundle that somebody has, or that is on offer, the id of its run; no more than there is room for."""
    parts = import_parts.c
    leased = sa.select(parts.run_id, parts.token).where(parts.lease_until > now, parts.done == sa.false())
    # In this order, so that the index is used without statistics too, and never all parts are read.
    few = leased.order_by(parts.lease_until).limit(capacity.in_all * MOST_PARTS).subquery()
    return [run_id for run_id, _ in connection.execute(sa.select(few).distinct())]


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
class TakenParts:
    """A bundle of a spread run that was claimed: its parts in their order, how often somebody began with the first of
    them since its last checkpoint, and who had some of them before and let the lease end."""

    run: Run
    bundle: Bundle
    token: int
    parts: Sequence[Part]
    tries: int
    lost_by: frozenset[str]


def new_token() -> int:
    """A fencing token of parts that nobody else has: fencing only asks whether it is still the same."""
    return 1 + secrets.randbits(62)


def claim_parts(
    connection: Connection, run_id: str, bundle: Bundle, *, token: int, holder: str, lease_seconds: float
) -> TakenParts | None:
    """Take a bundle of a spread run that is on offer, or was taken with this very `token`: the answer to a commit can
    get lost. None when somebody else has it, it is done, or the run has ended."""
    parts, runs = import_parts.c, import_runs.c
    on_offer = (*_held_by(run_id, bundle, bundle.token), parts.lease_until > clock())
    before = connection.execute(sa.select(parts.number, parts.holder).where(*on_offer).order_by(parts.number)).all()
    if before:
        at_work = sa.exists().where(runs.run_id == run_id, runs.state == State.RUNNING, runs.spread.is_(True))
        # Whoever dies does so at the first part that is not done: the others have not been tried.
        tries = sa.case((parts.number == before[0].number, parts.tries + 1), else_=parts.tries)
        claimed = {"token": token, "holder": holder, "lease_until": clock() + lease_seconds, "tries": tries}
        connection.execute(import_parts.update().where(*on_offer, at_work).values(claimed))
    taken = read_taken(connection, run_id, bundle.first, bundle.last, token)
    run = read_run(connection, run_id)
    if not taken or run is None:
        return None
    tries_of_first = sa.select(parts.tries).where(parts.run_id == run_id, parts.number == taken[0].number)
    lost_by = frozenset(row.holder for row in before if row.holder)
    return TakenParts(run, bundle, token, taken, connection.execute(tries_of_first).scalar_one(), lost_by)


def renew_parts(connection: Connection, taken: TakenParts, lease_seconds: float) -> bool:
    """Keep what is not done of the parts; False when none of that is their holder's any more."""
    kept = import_parts.update().where(*_held_by(taken.run.run_id, taken.bundle, taken.token))
    return bool(connection.execute(kept.values(lease_until=clock() + lease_seconds)).rowcount)


def release_parts(connection: Connection, taken: TakenParts) -> None:
    """Give back what is not done of the parts, so that it can be offered again at once."""
    given_back = import_parts.update().where(*_held_by(taken.run.run_id, taken.bundle, taken.token))
    connection.execute(given_back.values(holder=None, lease_until=None, tries=0))


def _held_by(run_id: str, bundle: Bundle, token: int) -> tuple[sa.ColumnElement[bool], ...]:
    """The parts of the bundle that have this token and are not done."""
    parts = import_parts.c
    between = parts.number.between(bundle.first, bundle.last)
    return parts.run_id == run_id, between, parts.token == token, parts.done == sa.false()
