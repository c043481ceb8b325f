"""Rounds by seed: whatever is asked for of an account at the same time, and dies in the midst of it, nothing is lost.

In a round imports, deltas, resets, purges and cancellations go side by side, two at a time, while a person deletes
something now and then; one of the two may die, lose its connection or be interrupted at any transaction. Nobody's lease
lasts, so that each thinks the other one dead: only fencing keeps them apart. After every pair what is said to be in is
in, and at the end everything can be taken back and comes in again as if nothing had happened.

In every other round passes are small enough to be imported in one transaction each.
S3IMPORT_TEST_ROUNDS says how many rounds of either sort there are for each kind of database.
"""

from __future__ import annotations

import os
import random
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from s3import.core import tables
from s3import.core.errors import S3ImportError
from s3import.core.records import ROW_ENTITIES, Entity, Pass
from s3import.core.settings import Settings
from s3import.importing import bookkeeping
from s3import.operations import reset as resetting
from tests import commands as app
from tests.importing.dumps import deletion, lines, records, simple_dump, write
from tests.importing.moving import adds_up, code_of, execute, ignore, migrate, rows, settings_for
from tests.importing.strikes import Moment, Strike, Transactions, end_session, nothing
from tests.server.workers.fleets import Killed, die

pytestmark = pytest.mark.integration

ROUNDS = int(os.environ.get("S3IMPORT_TEST_ROUNDS", "1"))
PAIRS = 3
MOST_TRANSACTIONS = {700: 40, 1 << 20: 14}
"""Of a pair at which something may strike, by the bytes of a batch: passes go part by part, or are small ones."""
ACCOUNT = "in-trouble"
TWINS = {"undisturbe": (Pass.RECENT, Pass.REMAINING), "undisturbd": (Pass.RECENT, Pass.DELTA, Pass.REMAINING)}
"""What goes well in them is what must come of the account in trouble; their names are as long as its own."""

GONE = {"recent-t4", "recent-m4", "recent-a4"}
"""A thread that a person deletes, with what hangs on it."""
DELETED_BY_DELTA = {"recent-m1", "recent-a1"}

Rows = dict[str, list[dict[str, Any]]]


@pytest.fixture(autouse=True)
def small_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pages of two rows, so that a reset and a purge have many transactions."""
    monkeypatch.setattr(resetting, "PAGE_ROWS", 2)
    monkeypatch.setattr(bookkeeping, "PAGE_ROWS", 2)


@pytest.mark.parametrize("seed", range(2 * ROUNDS))
def test_nothing_is_lost_in_a_round(database_url: str, tmp_path: Path, seed: int) -> None:
    """What succeeded is in, what people deleted is out, and in the end the rest comes in anew."""
    block_bytes = list(MOST_TRANSACTIONS)[seed % len(MOST_TRANSACTIONS)]
    settings = settings_for(tmp_path, database_url, retry_seconds=20.0, block_bytes=block_bytes)
    for account in (*TWINS, ACCOUNT):
        write(_dump(account), tmp_path, account)
    a_round = Round(settings, random.Random(seed), _expected(settings))
    for _ in range(PAIRS):
        a_round.person()
        a_round.pair()
        a_round.check()
    a_round.settle()


def _dump(account: str) -> dict[str, bytes]:
    """Both passes and a delta: a newer thread, a new one and a deletion."""
    newer = {
        **records(Entity.THREADS, 1, account, "recent-")[0],
        "subject": "newer",
        "updated_at": "2024-07-01T00:00:00Z",
    }
    return {
        **simple_dump(5, account),
        "delta/threads/part-0.jsonl": lines([newer, *records(Entity.THREADS, 1, account, "new-")]),
        "delta/deletions/part-0.jsonl": lines([deletion(Entity.MESSAGES, "recent-m1")]),
    }


def _expected(settings: Settings) -> dict[frozenset[str], Rows]:
    """The rows by what an account has behind it, made once for each kind of database."""
    kind = settings.database.partition(":")[0]
    if kind not in _EXPECTED:
        _EXPECTED[kind] = {}
        for twin, order in TWINS.items():
            for pass_ in order:
                assert code_of(migrate(settings, twin, passes=[pass_])) is None
                _EXPECTED[kind][_imported(settings, twin)] = _essence(settings, twin)
    return _EXPECTED[kind]


_EXPECTED: dict[str, dict[frozenset[str], Rows]] = {}


@dataclass
class Round:
    """One account in trouble. `expected`: the rows by what it has behind it. `said`: what was asked for and what came
    of it, to be shown when a check fails."""

    settings: Settings
    draw: random.Random
    expected: dict[frozenset[str], Rows]
    said: list[str] = field(default_factory=list)

    # --- what goes on ------------------------------------------------------------------------------------------------

    def person(self) -> None:
        """Sometimes somebody deletes a thread that the recent pass brings."""
        if self.draw.random() < 0.3:
            self.said.append("a person deletes")
            threads = tables.threads.c
            execute(
                self.settings, tables.threads.delete().where(threads.account_id == ACCOUNT, threads.id == "recent-t4")
            )

    def pair(self) -> None:
        """Two things at the same time, and what befalls one of them."""
        stop = threading.Event()
        works = [self.draw.choice(WORKS) for _ in range(2)]
        k, moment = self.draw.randint(1, MOST_TRANSACTIONS[self.settings.block_bytes]), self.draw.choice(list(Moment))
        with Transactions(k, moment, self._strike(stop)).watched(), ThreadPoolExecutor(2) as side_by_side:
            doing = [side_by_side.submit(work, self.settings, stop) for work in works]
        ends = [_ending(one.exception() or one.result()) for one in doing]
        self.said.append(
            f"{moment} {k}: " + ", ".join(f"{work.__name__} {end}" for work, end in zip(works, ends, strict=True))
        )

    def _strike(self, stop: threading.Event) -> Strike:
        strikes: list[Strike] = [nothing, die, lambda _: stop.set()]
        if not self.settings.database.startswith("sqlite"):
            strikes.append(end_session(self.settings.database))
        return self.draw.choice(strikes)

    # --- what must hold ----------------------------------------------------------------------------------------------

    def check(self) -> None:
        """What the bookkeeping says is in is in; nothing is taken for a person's deletion that is none."""
        states, found = _states(self.settings, ACCOUNT), _essence(self.settings, ACCOUNT)
        remembered, there = _deleted_by_people(self.settings), _ids(found)
        assert remembered <= GONE, self.said
        assert not remembered & there, self.said
        expected = self.expected.get(_imported(self.settings, ACCOUNT))
        if expected is None or self._is_purged():
            return
        assert _ids(expected) - GONE - DELETED_BY_DELTA <= there, self.said
        if all(seen[-1] == "succeeded" for seen in states.values()):
            assert found in ([] if remembered else [expected]) + [_without(expected, GONE)], self.said

    def settle(self) -> None:
        """Import the rest, or take everything back and import it again; unless it was purged: then it stays."""
        if self._is_purged():
            assert code_of(migrate(self.settings, ACCOUNT, passes=[Pass.DELTA])) == "account_purged", self.said
            return
        if self.draw.random() < 0.5 or code_of(migrate(self.settings, ACCOUNT)) is not None:
            refused = _reset(self.settings, threading.Event())
            assert refused is None or refused.code == "account_not_found", self.said  # nothing ever came of it
            assert _ids(_essence(self.settings, ACCOUNT)) == set(), self.said
        for passes in ([Pass.RECENT, Pass.REMAINING], [Pass.DELTA]):
            result = migrate(self.settings, ACCOUNT, passes=passes)
            assert (code_of(result), adds_up(result)) == (None, True), self.said
        if any(seen[-1] != "succeeded" for seen in _states(self.settings, ACCOUNT).values()):
            assert code_of(migrate(self.settings, ACCOUNT, again=True)) is None, (
                self.said
            )  # a reading that was broken off
        assert [seen[-1] for seen in _states(self.settings, ACCOUNT).values()] == ["succeeded"] * 3, self.said
        self.check()
        verified = app.verify(self.settings, ACCOUNT, observe=ignore, stop=threading.Event())
        assert verified.findings.difference_count == 0, self.said

    def _is_purged(self) -> bool:
        known = tables.import_accounts.c
        with closing(app.connect(self.settings)) as database, database.read() as connection:
            purged_at = sa.select(known.purged_at).where(known.account_id == ACCOUNT)
            return connection.scalar(purged_at) is not None


# --- what can be asked for -------------------------------------------------------------------------------------------


Work = Callable[[Settings, threading.Event], S3ImportError | None]


def _migrate(settings: Settings, stop: threading.Event) -> S3ImportError | None:
    return migrate(settings, ACCOUNT, stop=stop).error


def _delta(settings: Settings, stop: threading.Event) -> S3ImportError | None:
    return migrate(settings, ACCOUNT, passes=[Pass.DELTA], stop=stop).error


def _again(settings: Settings, stop: threading.Event) -> S3ImportError | None:
    return migrate(settings, ACCOUNT, again=True, stop=stop).error


def _reset(settings: Settings, stop: threading.Event) -> S3ImportError | None:
    return _error_of(lambda: app.reset(settings, ACCOUNT, confirmed=True, force=True, observe=ignore, stop=stop))


def _purge(settings: Settings, stop: threading.Event) -> S3ImportError | None:
    return _error_of(lambda: app.purge(settings, ACCOUNT, confirmed=True, observe=ignore, stop=stop))


def _cancel(settings: Settings, _stop: threading.Event) -> S3ImportError | None:
    return _error_of(lambda: app.cancel(settings, ACCOUNT))


WORKS: tuple[Work, ...] = (_migrate, _migrate, _migrate, _delta, _again, _reset, _reset, _purge, _cancel)


def _error_of(work: Callable[[], object]) -> S3ImportError | None:
    try:
        work()
    except S3ImportError as error:
        return error
    return None


def _ending(end: BaseException | None) -> str:
    """How it ended. Raises: whatever is neither one of our errors nor a death."""
    if end is not None and not isinstance(end, S3ImportError | Killed):
        raise end
    return getattr(end, "code", type(end).__name__) if end else "done"


# --- what can be seen ------------------------------------------------------------------------------------------------


def _essence(settings: Settings, account: str) -> Rows:
    """All rows without the account's id."""
    found = rows(settings, account)
    return {entity.value: [{**row, "account_id": None} for row in found[entity.value]] for entity in ROW_ENTITIES}


def _ids(found: Rows) -> set[str]:
    return {row["id"] for table in found.values() for row in table}


def _states(settings: Settings, account: str) -> dict[str, list[str]]:
    """The states of the runs of each pass, the newest last."""
    runs = tables.import_runs.c
    query = sa.select(runs["pass"], runs.state).where(runs.account_id == account).order_by(runs.number)
    found: dict[str, list[str]] = {}
    with closing(app.connect(settings)) as database, database.read() as connection:
        for row in connection.execute(query):
            found.setdefault(row._mapping["pass"], []).append(row.state)
    return found


def _imported(settings: Settings, account: str) -> frozenset[str]:
    """What the account has behind it: the passes by its status, and deltas; nothing while it is being taken back."""
    known = tables.import_accounts.c
    reset = sa.select(known.account_id).where(known.account_id == account, known.reset_scope.is_not(None))
    status = sa.select(tables.accounts.c.status).where(tables.accounts.c.id == account, ~reset.exists())
    with closing(app.connect(settings)) as database, database.read() as connection:
        status_now = str(connection.scalar(status))
    passes = {"active": {"recent", "remaining"}, "active-recent-only": {"recent"}}.get(status_now, set())
    deltas = {"delta"} if passes and "succeeded" in _states(settings, account).get("delta", ()) else set()
    return frozenset(passes | deltas)


def _without(found: Rows, ids: set[str]) -> Rows:
    return {table: [row for row in of_table if row["id"] not in ids] for table, of_table in found.items()}


def _deleted_by_people(settings: Settings) -> set[str]:
    kept = tables.import_tombstones.c
    query = sa.select(kept.id).where(kept.account_id == ACCOUNT, kept.from_dump.is_(False))
    with closing(app.connect(settings)) as database, database.read() as connection:
        return set(connection.scalars(query))
