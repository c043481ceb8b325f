"""What was imported so far, by the bookkeeping: whole passes, and what of their parts the database
rejected."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pyarrow as pa
import sqlalchemy as sa
from sqlalchemy import Connection

from s3import import status
from s3import.core import history
from s3import.core.errors import AccountNotFound, NotImported, RejectCode, RunIsAlive
from s3import.core.history import Happened
from s3import.core.records import Pass
from s3import.core.resets import look_at_account
from s3import.core.tables import PARENTS, import_accounts, import_parts, import_rejects, import_runs
from s3import.importing.file_places import in_chunks
from s3import.status import Run, State

BY_THE_DATABASE = {RejectCode.DELETED_IN_TARGET, *(code for links in PARENTS.values() for _, _, code in links)}
"""The codes of records that have no fault of their own."""
_NO_LINES = pa.array([], pa.int64())


@dataclass(frozen=True, slots=True)
class Imported:
    """The account's runs that imported something, in their order, and when the first of all began.

    `ranks`: by run, its place in that order; runs of which nobody can tell which was first share one. `newest`: those
    that their passes are shown by.
    """

    runs: tuple[Run, ...]
    began: dt.datetime
    ranks: Mapping[str, int]
    newest: frozenset[str]


@dataclass(frozen=True, slots=True)
class Rejected:
    """What the database rejected of a part: `lines`; `is_complete`: all of them are known."""

    lines: pa.Int64Array
    is_complete: bool


def imported(connection: Connection, account_id: str) -> Imported:
    """What there is to verify.

    Raises: AccountNotFound; ResetAtWork, ResetUnfinished; AccountPurged; RunIsAlive while a pass is being imported;
    NotImported when one was left half-way, or none was ever begun.
    """
    standing = look_at_account(connection, account_id)
    if standing.status is None:
        raise AccountNotFound(
            f"account {account_id} is not in the database; check --account and --database, or import it first"
        )
    standing.require_remembered()
    runs = import_runs.c
    query = status.run_query().where(runs.account_id == account_id, runs.attempts > 0).order_by(runs.number)
    rows = connection.execute(query).all()
    newest = {row._mapping["pass"]: status.as_run(row) for row in rows}
    for run in newest.values():
        _require_imported(run)
    if not rows:
        raise NotImported(f"nothing was imported yet; run `s3import migrate --account {account_id}` first")
    began = _began(connection, account_id, min(row.started_at for row in rows))
    spans = {row.run_id: (began if row.again else row.started_at, row.finished_at or row.started_at) for row in rows}
    in_order = sorted(map(status.as_run, rows), key=lambda run: (*spans[run.run_id], list(Pass).index(run.pass_)))
    return Imported(tuple(in_order), began, _ranks(spans), frozenset(run.run_id for run in newest.values()))


def _began(connection: Connection, account_id: str, first_start: dt.datetime) -> dt.datetime:
    """When the import began: a pass that was read again has forgotten when it was read first."""
    since = sa.select(import_accounts.c.deletions_since).where(import_accounts.c.account_id == account_id)
    remembered: dt.datetime | None = connection.execute(since).scalar()
    return min(remembered or first_start, first_start)


def _ranks(spans: Mapping[str, tuple[dt.datetime, dt.datetime]]) -> dict[str, int]:
    """The order of runs by their starts; those that were under way at one time have one place."""
    ranks: dict[str, int] = {}
    end: dt.datetime | None = None
    rank = -1
    for run_id, (start, finish) in sorted(spans.items(), key=lambda item: item[1]):
        if end is None or start > end:
            rank += 1
        end = max(end or finish, finish)
        ranks[run_id] = rank
    return ranks


def _require_imported(run: Run) -> None:
    if run.state is State.RUNNING and not run.is_orphaned:
        raise RunIsAlive(
            f"account {run.account_id}: the {run.pass_} pass is being imported by {run.holder}; "
            "run the same command again when it is done"
        )
    if run.state is not State.SUCCEEDED:
        again = f" --pass {run.pass_}" if run.pass_ is Pass.DELTA else ""
        raise NotImported(
            f"account {run.account_id}: the {run.pass_} pass was not imported to its end (it is {run.state}); "
            f"run `s3import migrate --account {run.account_id}{again}` first"
        )


def open_rejects(connection: Connection, run_id: str) -> int:
    """How many records the run rejected that no delta has brought in since."""
    parts, runs = import_parts.c, import_runs.c
    rejected = sa.select(sa.func.coalesce(sa.func.sum(parts.rejected_count), 0)).where(parts.run_id == run_id)
    resolved = sa.select(sa.func.coalesce(runs.resolved, 0)).where(runs.run_id == run_id)
    return int(connection.execute(rejected).scalar_one()) - int(connection.execute(resolved).scalar_one())


def rejected_by_the_database(connection: Connection, run_id: str, numbers: Sequence[int]) -> dict[int, Rejected]:
    """What the database rejected of these parts of the run, by their numbers."""
    found, parts = {}, import_parts.c
    for some in in_chunks(numbers):
        query = sa.select(parts.number, parts.rejected_count, parts.rejects_by_code)
        for number, count, by_code in connection.execute(query.where(parts.run_id == run_id, parts.number.in_(some))):
            known = Rejected(_NO_LINES, is_complete=True)
            found[number] = known if BY_THE_DATABASE.isdisjoint(by_code) else _kept(connection, run_id, number, count)
    return found


def _kept(connection: Connection, run_id: str, number: int, rejected: int) -> Rejected:
    kept = import_rejects.c
    query = sa.select(kept.line, kept.reasons).where(kept.run_id == run_id, kept.part_number == number)
    count, lines = 0, []
    for line, reasons in connection.execution_options(yield_per=1000).execute(query):
        count += 1
        if not BY_THE_DATABASE.isdisjoint(reason["code"] for reason in reasons):
            lines.append(line)
    return Rejected(pa.array(lines, pa.int64()), is_complete=count >= rejected)


def keep(connection: Connection, verified: Imported, result: dict[str, object]) -> None:
    """Keep the result with the runs that it is about.

    Raises: as `imported`, and RunIsAlive, when they are not all that was imported any more: what a run wrote in the
    meantime would be taken for differences.
    """
    if ids_of(imported(connection, verified.runs[0].account_id).runs) != ids_of(verified.runs):
        raise RunIsAlive(
            f"account {verified.runs[0].account_id}: another pass was imported while this verification was at work; "
            "run the same command again"
        )
    runs = import_runs.c
    connection.execute(import_runs.update().where(runs.run_id.in_(ids_of(verified.runs))).values(verified=result))
    code = "differences" if result["differences"] else None
    history.write(connection, verified.runs[0].account_id, {Happened.VERIFIED: None}, code=code)


def ids_of(runs: Sequence[Run]) -> list[str]:
    """The ids of these runs, in their order."""
    return [run.run_id for run in runs]
