"""A reset is a state of its account: until one has got to its end, nothing else goes on."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from s3import.core import resets, tables
from s3import.core.errors import (
    AccountDeleted,
    Interrupted,
    LeaseLost,
    ResetAtWork,
    ResetUnfinished,
    S3ImportError,
)
from s3import.core.events import Advanced, Event, Observer, RowsRemoved
from s3import.core.records import Pass
from s3import.core.resets import Scope
from s3import.core.settings import Settings
from s3import.importing import bookkeeping
from s3import.operations import reset as resetting
from s3import.operations.reset import Removed
from tests import commands as app
from tests.importing.dumps import ACCOUNT, lines, simple_dump, write
from tests.importing.moving import code_of, execute, ids, ignore, is_waiting, migrate, rows, settings_for, snapshot
from tests.server.workers.fleets import ask

pytestmark = pytest.mark.integration

ALIVE = {"lease_seconds": 60.0, "heartbeat_seconds": 0.05}


@pytest.fixture(autouse=True)
def small_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pages of two rows, so that there is a half-way."""
    monkeypatch.setattr(resetting, "PAGE_ROWS", 2)
    monkeypatch.setattr(bookkeeping, "PAGE_ROWS", 2)


@pytest.fixture
def failed(database_url: str, tmp_path: Path) -> Settings:
    """An account whose recent pass failed at its last part because of one reject."""
    wrong = {"recent/messages/part-1.jsonl": lines([{"id": "wrong"}])}
    write({**simple_dump(), **wrong}, tmp_path)
    settings = settings_for(tmp_path, database_url)
    assert code_of(migrate(settings, max_rejects="0")) == "too_many_rejects"
    return settings


def reset(
    settings: Settings, *, force: bool = False, observe: Observer = ignore, stop: threading.Event | None = None
) -> Removed:
    """What `s3import reset --yes` does."""
    stop = stop or threading.Event()
    return app.reset(settings, ACCOUNT, confirmed=True, force=force, observe=observe, stop=stop)


def interrupt(settings: Settings, *, force: bool = False) -> None:
    """A reset that is stopped when some threads are gone and others are not."""
    stop = threading.Event()
    with pytest.raises(Interrupted):
        reset(settings, force=force, observe=once(_at_threads, stop.set), stop=stop)
    assert len(ids(settings, tables.threads)) > 0


def once(when: Callable[[Event], bool], act: Callable[[], object]) -> Observer:
    """Act at the first event of a kind."""
    done: list[bool] = []

    def watch(event: Event) -> None:
        if not done and when(event):
            done.append(True)
            act()

    return watch


def _at_threads(event: Event) -> bool:
    return isinstance(event, RowsRemoved) and event.what == "threads"


def _error_of(work: Callable[[], object]) -> S3ImportError | None:
    try:
        work()
    except S3ImportError as error:
        return error
    return None


def _leftovers(settings: Settings) -> dict[str, int]:
    """How many rows of which table of bookkeeping there are."""
    kept = (
        tables.import_runs,
        tables.import_parts,
        tables.import_rejects,
        tables.import_tombstones,
    )
    with closing(app.connect(settings)) as database, database.read() as connection:
        counts = {table.name: connection.scalar(sa.select(sa.func.count()).select_from(table)) or 0 for table in kept}
    return {name: count for name, count in counts.items() if count}


# --- interrupted -----------------------------------------------------------------------------------------------------


def test_an_interrupted_reset_can_only_be_finished(failed: Settings) -> None:
    """No pass, no delta, no request, no proof and no purge goes on, whatever the account's status; then everything
    comes in again, and nobody is said to have deleted anything."""
    interrupt(failed)
    unfinished = ResetUnfinished.code
    assert [code_of(migrate(failed, passes=[pass_])) for pass_ in Pass] == [unfinished] * 3
    assert [type(answer) for answer in ask(failed)] == [ResetUnfinished]
    for work in (_verify, _purge):
        with pytest.raises(ResetUnfinished, match="s3import reset --account acme --yes"):
            work(failed)
    reset(failed)
    assert (ids(failed, tables.threads), _leftovers(failed)) == ([], {})
    result = migrate(failed)
    assert (code_of(result), result.rejected) == (None, 1)
    assert len(ids(failed, tables.threads)) == 6


def test_an_interrupted_reset_of_an_active_account_can_only_be_finished(database_url: str, tmp_path: Path) -> None:
    """Its dumps say what goes, also for the process that finishes it."""
    settings = settings_for(tmp_path, database_url)
    write(simple_dump(), tmp_path)
    migrate(settings)
    before = snapshot(settings)
    made = {**rows(settings)["threads"][0], "id": "made by a person"}
    execute(settings, tables.threads.insert().values(made))
    interrupt(settings, force=True)
    assert code_of(migrate(settings)) == ResetUnfinished.code
    assert app.status_document(settings, ACCOUNT)["passes"]["recent"]["error"]["code"] == "reset"
    reset(settings)
    assert ids(settings, tables.threads) == [made["id"]]
    execute(settings, tables.threads.delete())
    migrate(settings)
    assert snapshot(settings) == before


def _verify(settings: Settings) -> object:
    return app.verify(settings, ACCOUNT, observe=ignore, stop=threading.Event())


def _purge(settings: Settings) -> object:
    return app.purge(settings, ACCOUNT, confirmed=True, observe=ignore, stop=threading.Event())


def test_what_people_delete_meanwhile_is_not_remembered(failed: Settings) -> None:
    """It would go anyway, and comes back with the next migration."""
    interrupt(failed)
    execute(failed, tables.threads.delete())
    reset(failed)
    assert migrate(failed).rejected == 1


def test_an_account_that_goes_meanwhile_ends_the_reset(failed: Settings) -> None:
    """Nothing is left of it, and it can be made and imported anew."""
    gone = once(_at_threads, lambda: execute(failed, tables.accounts.delete()))
    with pytest.raises(AccountDeleted):
        reset(failed, observe=gone)
    assert _leftovers(failed) == {}
    assert len(migrate(failed).imported) == 2


# --- beside others ---------------------------------------------------------------------------------------------------


def test_of_two_resets_one_works(failed: Settings) -> None:
    """The other one says so as soon as the first one has shown a sign of life."""
    settings = settings_for(_folder(failed), failed.database, **ALIVE)
    found: list[S3ImportError | None] = []
    removed = reset(settings, observe=once(_at_threads, lambda: found.append(_error_of(lambda: reset(settings)))))
    assert [type(error) for error in found] == [ResetAtWork]
    assert sum(removed.rows.values()) > 0
    assert _leftovers(settings) == {}


def test_a_migration_beside_a_reset_is_refused(failed: Settings) -> None:
    """As a run that is held by somebody: exit status 4."""
    settings = settings_for(_folder(failed), failed.database, **ALIVE)
    found: list[str | None] = []
    reset(settings, observe=once(_at_threads, lambda: found.append(code_of(migrate(settings)))))
    assert found == [ResetAtWork.code]
    assert len(migrate(settings).imported) == 2


def test_a_reset_that_was_thought_dead_removes_nothing_more(failed: Settings) -> None:
    """Another one has finished it, and a migration has begun meanwhile."""

    def overtake() -> None:
        reset(failed)
        migrate(failed)

    with pytest.raises(LeaseLost):
        reset(failed, observe=once(_at_threads, overtake))
    assert len(ids(failed, tables.threads)) == 6


@pytest.mark.parametrize("finished", [True, False])
def test_a_run_that_was_thought_dead_writes_nothing_beside_a_reset(
    database_url: str, tmp_path: Path, finished: bool
) -> None:
    """Whether the reset has ended by then or not: rows and bookkeeping are gone for good."""
    settings = settings_for(tmp_path, database_url)
    write(simple_dump(), tmp_path)
    work = (lambda: reset(settings)) if finished else (lambda: interrupt(settings))
    result = migrate(settings, observe=once(lambda event: _has_read(event, "messages"), work))
    assert code_of(result) in ("lease_lost", "cancelled")
    reset(settings)
    assert (ids(settings, tables.threads), _leftovers(settings)) == ([], {})
    assert len(migrate(settings).imported) == 2


def _has_read(event: Event, entity: str) -> bool:
    return isinstance(event, Advanced) and event.entity == entity


@pytest.fixture(params=["postgres_url", "mariadb_url"])
def begun(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[Settings, sa.Connection]]:
    """Settings, and a transaction in which a reset has just begun."""
    settings = settings_for(tmp_path, request.getfixturevalue(request.param), lease_seconds=60.0)
    write(simple_dump(), tmp_path)
    migrate(settings)
    execute(settings, tables.accounts.update().values(status="active-recent-only"))
    with closing(app.connect(settings)) as database, database.begin() as connection:
        resets.lock_account(connection, ACCOUNT)
        resets.hold(connection, ACCOUNT, Scope.DUMPS, None, holder="somebody", lease_seconds=60.0)
        yield settings, connection


@pytest.mark.parametrize(
    "asks", [lambda settings: code_of(migrate(settings)), lambda settings: getattr(ask(settings)[0], "code", None)]
)
def test_whoever_begins_a_run_waits_for_whoever_begins_a_reset(
    begun: tuple[Settings, sa.Connection], asks: Callable[[Settings], Any]
) -> None:
    """One of the two is first, and the other one sees it."""
    settings, connection = begun
    with ThreadPoolExecutor(1) as other:
        asking = other.submit(asks, settings)
        while not is_waiting(settings):
            assert not asking.done()
        connection.commit()
        assert asking.result() == ResetAtWork.code


def _folder(settings: Settings) -> str:
    return str(settings.source).removesuffix("/{account}")
