"""Never do two processes work on one account: who is alive is left alone, who is dead or paused is taken over."""

from __future__ import annotations

import dataclasses
import os
import signal
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from s3import.core import tables
from s3import.core.events import Event, Waiting
from s3import.core.settings import Settings
from s3import.writers import open_database
from tests.cli.commands import s3import
from tests.importing.children import exit_code, start
from tests.importing.dumps import seeded_dump, write
from tests.importing.moving import code_of, execute, migrate, settings_for, snapshot, undisturbed
from tests.importing.strikes import Moment, Strike, Transactions, end_session, kill_process, linger, pause_process

pytestmark = pytest.mark.integration

DONE, SOME_REJECTED, ALIVE = 0, 3, 4
CLAIM = 3  # the number of the transaction that claims the run; the schema and the account's status are read before
ANY_BATCH = 8
SEED = 5
LEASED: dict[str, Any] = {"lease_seconds": 15.0, "heartbeat_seconds": 0.1}


@pytest.fixture
def prepared(database_url: str, tmp_path: Path) -> Settings:
    """Settings whose database has its tables already, and a dump."""
    return _prepare(settings_for(tmp_path, database_url), tmp_path)


@pytest.fixture
def on_sqlite(settings: Settings, tmp_path: Path) -> Settings:
    """As `prepared`, where one kind of database is enough."""
    return _prepare(settings, tmp_path)


def _prepare(settings: Settings, folder: Path) -> Settings:
    write(seeded_dump(SEED, "contested--"), folder, "contested--")
    return settings


def test_one_of_several_does_the_work(prepared: Settings) -> None:
    """Of three that start at once one imports the account; the others say that it is at work, or come too late."""
    settings = dataclasses.replace(prepared, **LEASED)
    children = [start(settings, "contested--", k=ANY_BATCH, moment=Moment.ANSWER, strike=linger) for _ in range(3)]
    statuses = [exit_code(child) or DONE for child in children]
    assert (statuses.count(SOME_REJECTED), set(statuses) <= {SOME_REJECTED, ALIVE, DONE}) == (1, True)
    assert _contested(prepared) == undisturbed(prepared, SEED)


def test_a_dead_holder_is_waited_for_and_taken_over(prepared: Settings) -> None:
    """Once its lease is over; whoever watches is told about the wait, and how long it will be."""
    leased = dataclasses.replace(prepared, lease_seconds=60.0)
    assert exit_code(_struck(leased, ANY_BATCH, kill_process)) == -signal.SIGKILL
    waits: list[float] = []

    def let_it_end(event: Event) -> None:
        if isinstance(event, Waiting):
            waits.append(event.seconds)
            execute(leased, sa.update(tables.import_runs).values(lease_until=0.0))

    assert code_of(migrate(leased, "contested--", observe=let_it_end)) is None
    assert [0 < seconds <= 60 for seconds in waits] == [True]
    assert _contested(prepared) == undisturbed(prepared, SEED)


@pytest.mark.integration
def test_the_same_command_takes_a_dead_run_over_within_20_seconds(on_sqlite: Settings) -> None:
    """With the lease as it is by default, all but some seconds of which have passed; it says what it waits for."""
    default = dataclasses.replace(on_sqlite, lease_seconds=Settings().lease_seconds)
    assert exit_code(_struck(default, ANY_BATCH, kill_process)) == -signal.SIGKILL
    assert default.lease_seconds < 20
    _let_the_lease_end_in(4.0, default)
    done = s3import(
        "migrate", "--account", "contested--", S3IMPORT_SOURCE=str(default.source), S3IMPORT_DATABASE=default.database
    )
    assert (done.status, "waiting up to" in done.err) == (SOME_REJECTED, True), done.err


@pytest.mark.parametrize("k", [CLAIM, ANY_BATCH])
def test_a_paused_process_that_comes_back_writes_nothing(prepared: Settings, k: int) -> None:
    """Paused past its lease: another one completes, the first sees it and leaves."""
    _comes_back(prepared, k)


@pytest.mark.parametrize("k", [CLAIM + 1, CLAIM + 2, CLAIM + 3])
def test_a_process_that_was_paused_before_its_first_batch_writes_nothing(on_sqlite: Settings, k: int) -> None:
    """Between any two of the transactions that follow the claim, too."""
    _comes_back(on_sqlite, k)


def _comes_back(settings: Settings, k: int) -> None:
    paused = _struck(settings, k, pause_process)
    with _paused(paused):
        assert code_of(migrate(settings, "contested--")) is None
        completed = _contested(settings)
    assert (exit_code(paused), completed) == (ALIVE, undisturbed(settings, SEED))
    assert _contested(settings) == completed


@pytest.mark.parametrize("moment", [Moment.WITHIN, Moment.COMMIT])
def test_a_process_paused_within_a_transaction_stands_in_nobodys_way(
    postgres_url: str, tmp_path: Path, moment: Moment
) -> None:
    """Its locks go with its session, which the one that takes over ends."""
    settings = _prepare(settings_for(tmp_path, postgres_url), tmp_path)
    paused = _struck(settings, ANY_BATCH, pause_process, moment)
    with _paused(paused):
        assert code_of(migrate(settings, "contested--")) is None
    assert exit_code(paused) == ALIVE
    assert _contested(settings) == undisturbed(settings, SEED)


def test_a_process_paused_with_its_account_locked_stands_in_nobodys_way(postgres_url: str, tmp_path: Path) -> None:
    """As it has at the end of a pass: whoever takes over ends its session before asking for the lock."""
    settings = _prepare(settings_for(tmp_path, postgres_url, retry_seconds=0.0), tmp_path)
    assert exit_code(_struck(settings, ANY_BATCH, kill_process)) == -signal.SIGKILL
    with closing(open_database(postgres_url)) as database, database.read() as connection:
        holder = connection.scalar(sa.select(tables.import_runs.c.holder))
    paused = sa.create_engine(sa.make_url(postgres_url), connect_args={"application_name": holder})
    with paused.connect() as connection:
        connection.execute(sa.select(tables.accounts).with_for_update())
        assert code_of(migrate(settings, "contested--")) is None
        connection.invalidate()
    paused.dispose()


def test_what_somebody_else_finished_meanwhile_is_not_done_again(on_sqlite: Settings) -> None:
    """Also where both passes were finished between two looks at the run."""
    leased = dataclasses.replace(on_sqlite, lease_seconds=15.0)
    assert exit_code(_struck(leased, ANY_BATCH, kill_process)) == -signal.SIGKILL

    def overtake(event: Event) -> None:
        if isinstance(event, Waiting):
            execute(leased, sa.update(tables.import_runs).values(lease_until=0.0))
            assert code_of(migrate(leased, "contested--")) is None

    result = migrate(leased, "contested--", observe=overtake)
    assert (code_of(result), result.imported, result.document["account_status"]) == (None, (), "active")
    assert _contested(leased) == undisturbed(leased, SEED)


def test_a_claim_whose_answer_was_lost_is_not_waited_for(postgres_url: str, tmp_path: Path) -> None:
    """The process that claimed the run finds its own claim when it tries again."""
    settings = _prepare(settings_for(tmp_path, postgres_url, **LEASED), tmp_path)
    events: list[Event] = []
    with Transactions(CLAIM, Moment.ANSWER, end_session(postgres_url)).watched():
        assert code_of(migrate(settings, "contested--", observe=events.append)) is None
    assert not [event for event in events if isinstance(event, Waiting)]
    assert _contested(settings) == undisturbed(settings, SEED)


def _struck(settings: Settings, k: int, strike: Any, moment: Moment = Moment.ANSWER) -> BaseProcess:
    return start(settings, "contested--", k=k, moment=moment, strike=strike)


def _let_the_lease_end_in(seconds: float, settings: Settings) -> None:
    passed = tables.import_runs.c.lease_until - (settings.lease_seconds - seconds)
    execute(settings, sa.update(tables.import_runs).values(lease_until=passed))


def _contested(settings: Settings) -> dict[str, Any]:
    return snapshot(settings, "contested--")


@contextmanager
def _paused(child: BaseProcess) -> Iterator[None]:
    """The block runs while the child stands still; then it goes on."""
    pid = child.pid or 0
    deadline = time.monotonic() + 120
    while Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "T":
        assert time.monotonic() < deadline
        time.sleep(0.01)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


class _EveryAnswer(Transactions):
    """Strikes between every commit and its answer, but for those of the strike itself."""

    def __init__(self, strike: Strike) -> None:
        super().__init__(0, Moment.ANSWER, self._once_at_a_time)
        self._inner, self._striking = strike, False

    def _is_due(self) -> bool:
        return not self._striking

    def _once_at_a_time(self, connection: Any) -> None:
        self._striking = True
        self._inner(connection)
        self._striking = False


@pytest.mark.parametrize("server", ["postgres_url", "mariadb_url"])
def test_whoever_was_fenced_out_does_not_go_on_under_its_successors_token(
    request: pytest.FixtureRequest, server: str, tmp_path: Path
) -> None:
    """A batch is in, its answer lost, and before it can be asked for somebody else has taken the run over."""
    url = request.getfixturevalue(server)
    prepared = _prepare(settings_for(tmp_path, url), tmp_path)
    stolen: list[int] = []

    def steal(connection: Any) -> None:
        parts, runs = tables.import_parts.c, tables.import_runs.c
        half_done = sa.and_(parts.account_id == "contested--", parts.position > 0, parts.done.is_(False))
        if stolen or not _rows(prepared, sa.select(parts.number).where(half_done)):
            return
        taken = sa.update(tables.import_runs).where(runs.account_id == "contested--").values(token=runs.token + 1)
        fenced = sa.update(tables.import_parts).where(parts.account_id == "contested--", parts.done.is_(False))
        execute(prepared, taken, fenced.values(token=parts.token + 1))
        stolen.extend(_positions(prepared))
        end_session(url)(connection)

    with _EveryAnswer(steal).watched():
        assert code_of(migrate(prepared, "contested--")) == "lease_lost"
    assert stolen == _positions(prepared)


def _positions(settings: Settings) -> list[int]:
    parts = tables.import_parts.c
    query = sa.select(parts.position).where(parts.account_id == "contested--").order_by(parts.run_id, parts.number)
    return [row.position for row in _rows(settings, query)]


def _rows(settings: Settings, query: sa.Select[Any]) -> list[Any]:
    with closing(open_database(settings.database)) as database, database.read() as connection:
        return list(connection.execute(query).all())
