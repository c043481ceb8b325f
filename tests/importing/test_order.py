"""A part that has the database to itself: its batches go in side by side, and are committed in their order."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pytest
import sqlalchemy as sa

from s3import.core import tables
from s3import.core.errors import DatabaseRefused
from s3import.core.events import Event, Retrying
from s3import.core.records import Entity, Pass
from s3import.core.settings import Settings
from s3import.importing import parts
from s3import.writers import open_database
from s3import.writers.postgres import PostgresWriter
from tests.importing.children import exit_code, start
from tests.importing.dumps import Record, account_document, lines, records, write
from tests.importing.moving import code_of, counts, ids, migrate, rows, settings_for, snapshot
from tests.importing.strikes import Moment, Transactions, end_session, kill_process

pytestmark = pytest.mark.integration

THREADS, MESSAGES = "recent/threads/part-0.jsonl", "recent/messages/part-0.jsonl"
PATIENCE_SECONDS = 20.0  # for what has to happen
ALONE_SECONDS = 0.3  # for what must not happen: somebody else's batch while one goes in

Load = Callable[[], bool]


@pytest.fixture
def settings(tmp_path: Path, postgres_url: str) -> Settings:
    """Two connections, and a batch for each thread of `dump`."""
    return settings_for(tmp_path, postgres_url, workers=2, block_bytes=400)


def dump(*threads: Record) -> dict[str, bytes]:
    """One part, whose threads each fill most of a block."""
    return {"account.json": account_document(), THREADS: lines([{**one, "subject": "x" * 150} for one in threads])}


def on_load(monkeypatch: pytest.MonkeyPatch, table: sa.Table, act: Callable[[list[str], Load], bool]) -> None:
    """Whenever rows are to be loaded into the table, call `act` with their ids and what loads them."""
    load = PostgresWriter.load

    def loading(writer: PostgresWriter, connection: sa.Connection, target: sa.Table, some: pa.Table) -> bool:
        if target is not table:
            return load(writer, connection, target, some)
        return act(some["id"].to_pylist(), lambda: load(writer, connection, target, some))

    monkeypatch.setattr(PostgresWriter, "load", loading)


def first_is_met(monkeypatch: pytest.MonkeyPatch, seconds: float) -> list[bool]:
    """Hold the first batch of threads for at most so long: whether rows of another came meanwhile, once it is known."""
    met, other = list[bool](), threading.Event()

    def act(_ids: list[str], load: Load) -> bool:
        if met or other.is_set():
            return load()
        if not first.acquire(blocking=False):
            other.set()
            return load()
        met.append(other.wait(seconds))
        return load()

    first = threading.Semaphore(1)
    on_load(monkeypatch, tables.threads, act)
    return met


def test_a_lone_part_uses_both_connections(settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The second batch's rows go in while those of the first do."""
    write(dump(*records(Entity.THREADS, 6)), tmp_path)
    met = first_is_met(monkeypatch, PATIENCE_SECONDS)
    assert code_of(migrate(settings, passes=[Pass.RECENT])) is None
    assert met == [True]
    assert len(ids(settings, tables.threads)) == 6


def test_a_batch_with_an_id_of_the_batch_before_waits_for_it(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Which of two rows wins is decided when the earlier one is in: of equal ones the first line."""
    [thread] = records(Entity.THREADS, 1)
    write(dump(thread, {**thread, "tags": ["second"]}, {**thread, "tags": ["third"]}), tmp_path)
    met = first_is_met(monkeypatch, ALONE_SECONDS)
    result = migrate(settings, passes=[Pass.RECENT])
    assert (code_of(result), met, counts(result)["threads"]) == (None, [False], (1, 2, 0))
    assert rows(settings)["threads"][0]["tags"] == thread.get("tags", [])


@pytest.mark.parametrize("workers", [1, 2])
def test_a_part_takes_no_more_connections_than_there_are_workers(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, workers: int
) -> None:
    """However many parts and batches wait."""
    write(dump(*records(Entity.THREADS, 6)), tmp_path)
    write(
        {f"recent/threads/part-{n}.jsonl": dump(*records(Entity.THREADS, 6, prefix=f"{n}-"))[THREADS] for n in (1, 2)},
        tmp_path,
    )
    at_once, most, lock = 0, 0, threading.Lock()

    def act(_ids: list[str], load: Load) -> bool:
        nonlocal at_once, most
        with lock:
            at_once += 1
            most = max(most, at_once)
        try:
            return load()
        finally:
            with lock:
                at_once -= 1

    on_load(monkeypatch, tables.threads, act)
    alike = settings_for(tmp_path, settings.database, workers=workers, block_bytes=settings.block_bytes)
    assert code_of(migrate(alike, passes=[Pass.RECENT])) is None
    assert 1 <= most <= workers
    assert len(ids(settings, tables.threads)) == 18


def test_what_ends_a_batch_leaves_the_next_undone(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Though its rows are in already; the same command goes on behind the last batch that was committed."""
    write(dump(*records(Entity.THREADS, 4)), tmp_path)
    loaded = threading.Event()

    def act(some: list[str], load: Load) -> bool:
        if some == ["t1"]:
            assert loaded.wait(PATIENCE_SECONDS)
            raise DatabaseRefused("the database refuses this one")
        went_in = load()
        if some == ["t2"]:
            loaded.set()
        return went_in

    with monkeypatch.context() as patch:
        on_load(patch, tables.threads, act)
        failed = migrate(settings, passes=[Pass.RECENT])
    assert (code_of(failed), counts(failed)["threads"]) == ("database_refused", (1, 0, 0))
    assert ids(settings, tables.threads) == ["t0"]
    assert counts(migrate(settings, passes=[Pass.RECENT]))["threads"] == (4, 0, 0)


def test_a_batch_that_is_in_the_way_of_the_batch_before_steps_back(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Somebody deletes a thread of the first batch, then waits for one that the second has locked: no database sees
    that the second waits for the first. Nobody's transaction fails."""
    threads, messages = records(Entity.THREADS, 2), records(Entity.MESSAGES, 2)
    made = {"account.json": account_document(), THREADS: lines(threads)}
    write({**made, MESSAGES: lines([{**one, "body": "x" * 150} for one in messages])}, tmp_path)
    monkeypatch.setattr(parts, "PATIENCE_SECONDS", 0.5)
    locked, deleted = threading.Event(), threading.Event()

    def delete() -> None:
        with open_database(settings.database).begin() as connection:
            for thread in ("t0", "t1"):
                mine = sa.and_(tables.threads.c.account_id == "acme", tables.threads.c.id == thread)
                connection.execute(tables.threads.delete().where(mine))
                deleted.set()

    def act(some: list[str], load: Load) -> bool:
        if some == ["m0"] and not deleted.is_set():
            assert locked.wait(PATIENCE_SECONDS)
            deleting.start()
            assert deleted.wait(PATIENCE_SECONDS)
        went_in = load()
        locked.set()
        return went_in

    deleting, events = threading.Thread(target=delete), list[Event]()
    on_load(monkeypatch, tables.messages, act)
    result = migrate(settings, passes=[Pass.RECENT], observe=events.append)
    deleting.join(PATIENCE_SECONDS)
    assert (deleting.is_alive(), [event for event in events if isinstance(event, Retrying)]) == (False, [])
    assert counts(result)["messages"] == (0, 0, 2)
    assert (ids(settings, tables.threads), ids(settings, tables.messages)) == ([], [])


class Trials:
    """The same lone part for account after account: its batches have repeated ids, and rejects."""

    def __init__(self, settings: Settings, folder: Path) -> None:
        self.settings, self._folder = settings, folder

    def account(self, name: str) -> str:
        """A fresh account with a dump. All names have one length, so that batches are cut alike."""
        threads = [{**one, "subject": "x" * 150} for one in records(Entity.THREADS, 8, name)]
        part = lines([*threads[:4], {**threads[0], "status": "lost"}, *threads[4:], threads[1], threads[7]])
        write({"account.json": account_document(name), THREADS: part}, self._folder, name)
        return name

    def undisturbed(self) -> dict[str, object]:
        """What one connection makes of it, one batch after the other."""
        alone = settings_for(self._folder, self.settings.database, block_bytes=self.settings.block_bytes)
        name = self.account("alone-0")
        assert code_of(migrate(alone, name, passes=[Pass.RECENT])) is None
        return snapshot(alone, name)


@pytest.mark.parametrize("moment", Moment)
@pytest.mark.parametrize("k", [7, 10])
def test_a_run_that_is_killed_with_two_batches_under_way_resumes_to_the_same_result(
    settings: Settings, tmp_path: Path, moment: Moment, k: int
) -> None:
    """Only what was committed in its turn is there, and goes on from there."""
    trials = Trials(settings, tmp_path)
    name = trials.account("killed0")
    died = start(settings, name, k=k - 4 if moment is Moment.WITHIN else k, moment=moment, strike=kill_process)
    assert exit_code(died) == -signal.SIGKILL
    assert code_of(migrate(settings, name, passes=[Pass.RECENT])) is None
    assert snapshot(settings, name) == trials.undisturbed()


@pytest.mark.parametrize("moment", Moment)
@pytest.mark.parametrize("k", [7, 10])
def test_a_connection_that_is_lost_with_two_batches_under_way_changes_nothing(
    settings: Settings, tmp_path: Path, moment: Moment, k: int
) -> None:
    """The other batch waits for the one that is tried again."""
    trials = Trials(settings, tmp_path)
    name = trials.account("broken0")
    strike = end_session(settings.database)
    with Transactions(k - 4 if moment is Moment.WITHIN else k, moment, strike).watched():
        assert code_of(migrate(settings, name, passes=[Pass.RECENT])) is None
    assert snapshot(settings, name) == trials.undisturbed()
