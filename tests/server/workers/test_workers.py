"""Workers share an account, die, are asked to go, and keep to what they were granted."""

from __future__ import annotations

import datetime as dt
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from s3import.core.clock import clock
from s3import.core.errors import SourceUnavailable
from s3import.core.limits import RejectLimit
from s3import.core.records import Pass
from s3import.core.settings import Settings
from s3import.core.tables import accounts, import_parts, import_rejects, import_runs
from s3import.importing import backlog, part_claims
from s3import.importing.offers import look_after
from s3import.importing.part_claims import Capacity
from s3import.importing.retries import Retries
from s3import.readers.sources.source import DumpSource
from tests import commands as app
from tests.importing.dumps import ACCOUNT, write
from tests.importing.moving import execute, migrate, rows, settings_for, snapshot
from tests.importing.strikes import Moment, Transactions, end_session, nothing
from tests.server.workers.conftest import prepared
from tests.server.workers.fleets import (
    FEW_SECONDS,
    Call,
    Fleet,
    Killed,
    ask,
    die,
    error_codes,
    fleet,
    holders,
    let_time_pass,
    scalars,
    spread_dump,
    states,
    undisturbed,
)

pytestmark = pytest.mark.integration

NOW = dt.datetime(2026, 1, 2, tzinfo=dt.UTC)
ONE_TRY = Retries(limit=1)
TWO_TRIES = Retries(limit=2)


def test_many_workers_share_one_account(settings: Settings, tmp_path: Path) -> None:
    """Each imports some of the parts, and the result is that of a single process."""
    with fleet(settings, 3) as workers:
        ask(settings)
        workers.work()
    assert len(holders(settings)) == 3
    assert snapshot(settings) == undisturbed()


def test_a_small_pass_is_one_transaction_of_a_worker(settings: Settings, tmp_path: Path) -> None:
    """As without workers: whoever plans it has imported it, and what it leaves is what all of them leave."""
    whole = replace(settings, block_bytes=1 << 20)
    with fleet(whole, 1) as workers, Transactions(0, Moment.COMMIT, nothing).watched() as transactions:
        ask(whole)
        workers.work()
    assert transactions.count <= 12  # the tables, requests, offers, two claims, the account.json, two passes
    assert snapshot(settings) == undisturbed()


@pytest.mark.parametrize("k", [1, 2, 5, 9])
def test_a_dead_worker_costs_its_batch(settings: Settings, tmp_path: Path, k: int) -> None:
    """Another one takes the part over at its checkpoint; nothing is there twice, nothing is missing."""
    with Transactions(k, Moment.WITHIN, die).watched(), fleet(settings) as workers:
        ask(settings)
        with pytest.raises(Killed):
            workers.work()
        workers.work()
    assert snapshot(settings) == undisturbed()


def test_a_part_that_kills_its_workers_ends_the_run(settings: Settings) -> None:
    """After as many of them as there are tries the run has failed, and says of which part."""
    with fleet(settings, retries=TWO_TRIES, capacity=Capacity(per_account=1)) as workers:
        ask(settings, passes=[Pass.RECENT])
        workers.sweep()
        workers.deliver()  # plans
        for _ in range(TWO_TRIES.limit):
            _die_of(settings, workers.queue.take(), Transactions(1, Moment.WITHIN, die))
            workers.sweep()
        workers.deliver()
    assert error_codes(settings) == ["worker_lost"]
    assert "threads/part-" in app.status_document(settings, ACCOUNT)["passes"]["recent"]["error"]["message"]


def test_a_part_may_kill_any_number_of_workers_that_get_on(settings: Settings, tmp_path: Path) -> None:
    """Each checkpoint has the count begin anew."""
    write(spread_dump(count=40), tmp_path)
    settings = replace(settings, block_bytes=300)
    with fleet(settings, retries=TWO_TRIES, capacity=Capacity(per_account=1)) as workers:
        ask(settings, passes=[Pass.RECENT])
        workers.sweep()
        workers.deliver()  # plans
        for _ in range(TWO_TRIES.limit + 1):
            _die_of(settings, workers.queue.take(), Transactions(2, Moment.WITHIN, die))
            workers.sweep()
        workers.work()
    assert states(settings) == ["succeeded"]


@pytest.mark.parametrize("url", ["postgres_url", "mariadb_url"])
def test_a_part_costs_the_same_however_many_there_are(
    tmp_path: Path, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, url: str
) -> None:
    """Nobody reads all parts of a run for each of them."""
    monkeypatch.setattr(part_claims, "MOST_PARTS", 2)
    write(spread_dump(parts=40, count=1), tmp_path)
    settings = settings_for(tmp_path, request.getfixturevalue(url), lease_seconds=60.0, block_bytes=300)
    fetched: list[int] = []

    def note(connection: object, cursor: Any, statement: str, *_: object) -> None:
        if statement.startswith("SELECT") and "import_parts" in statement:
            fetched.append(cursor.rowcount)

    with fleet(settings, capacity=Capacity(per_account=4)) as workers:
        ask(settings, passes=[Pass.RECENT])
        workers.sweep()
        workers.deliver()  # plans
        sa.event.listen(sa.Engine, "after_cursor_execute", note)
        try:
            for _ in range(10):
                workers.deliver()
        finally:
            sa.event.remove(sa.Engine, "after_cursor_execute", note)
    assert fetched
    assert max(fetched) <= 8


def _die_of(settings: Settings, call: Call, transactions: Transactions) -> None:
    """Another worker takes the call and dies of it; its lease ends."""
    with pytest.raises(Killed), transactions.watched(), fleet(settings, 1) as doomed:
        doomed.deliver(call)
    let_time_pass(settings)


def test_a_lost_run_resumes_when_it_is_asked_for_again(settings: Settings, tmp_path: Path) -> None:
    """The tries begin anew, and the checkpoints still count."""
    test_a_part_that_kills_its_workers_ends_the_run(settings)
    with fleet(settings) as workers:
        ask(settings)
        workers.work()
    assert snapshot(settings) == undisturbed()


def test_planning_that_kills_its_workers_ends_the_run(settings: Settings) -> None:
    """A run that nobody lives to plan fails as well."""
    with fleet(settings, retries=ONE_TRY) as workers:
        ask(settings, passes=[Pass.RECENT])
        workers.sweep()
        _die_of(settings, workers.queue.take(), Transactions(3, Moment.COMMIT, die))
        workers.sweep()
    assert error_codes(settings) == ["worker_lost"]


def test_a_worker_that_is_asked_to_go_gives_its_part_back(settings: Settings) -> None:
    """Another one gets it at once, without any lease having to end, and nobody counts it as a failure."""
    with fleet(settings) as workers:
        ask(settings, passes=[Pass.RECENT])
        workers.sweep()
        workers.deliver()
        workers.stops[0].set()
        workers.deliver(worker=0)
        while workers.queue.waiting:
            workers.deliver(worker=1)
    assert states(settings) == ["succeeded"]


def test_a_failure_that_may_pass_is_tried_again_later(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """The run waits, longer each time, and fails with its reason when the tries are used up."""

    def gone(uri: str, account_id: str) -> DumpSource:
        raise SourceUnavailable("the source is away")

    monkeypatch.setattr("tests.server.workers.fleets.source_opener", lambda settings, workers: gone)
    execute(
        settings, accounts.insert().values(id=ACCOUNT, name="Acme", status="migrating", created_at=NOW, updated_at=NOW)
    )
    with fleet(settings, retries=Retries(limit=2, first_seconds=20)) as workers:
        ask(settings, passes=[Pass.RECENT])
        for waited_seconds in (0, 19):  # too early for the second try
            let_time_pass(settings, waited_seconds)
            workers.sweep()
            workers.deliver_all()
            assert states(settings) == ["queued"]
        let_time_pass(settings, 2)
        workers.sweep()
        workers.deliver_all()
    assert (states(settings), error_codes(settings)) == (["failed"], ["source_unavailable"])


def test_rejects_count_over_all_machines(settings: Settings) -> None:
    """No worker sees more than a few of them, and still the limit ends the run."""
    with fleet(settings, 3, limit=RejectLimit(count=4)) as workers:
        ask(settings, passes=[Pass.RECENT])
        workers.work()
    assert error_codes(settings) == ["too_many_rejects"]


def test_a_deleted_account_ends_its_run(settings: Settings) -> None:
    """The run is cancelled and nothing of the account is left or comes back."""
    with fleet(settings) as workers:
        ask(settings, passes=[Pass.RECENT])
        workers.sweep()
        workers.deliver()
        workers.deliver()
        execute(settings, accounts.delete())
        workers.work()
    assert (states(settings), error_codes(settings)) == (["cancelled"], ["account_deleted"])
    assert not any(rows(settings).values())


def test_a_cancelled_run_stops_and_can_go_on(settings: Settings, tmp_path: Path) -> None:
    """Calls on their way do nothing; asked for again, the run goes on at its checkpoints."""
    with fleet(settings) as workers:
        ask(settings)
        workers.sweep()
        workers.deliver()
        workers.deliver()
        app.cancel(settings, ACCOUNT)
        workers.deliver_all()
        assert states(settings) == ["cancelled", "cancelled"]
        ask(settings)
        workers.work()
    assert snapshot(settings) == undisturbed()


def test_without_workers_the_command_takes_a_spread_run_over(settings: Settings, tmp_path: Path) -> None:
    """Once nobody has looked after it for as long as a lease lasts, `s3import migrate` goes on with it."""
    with fleet(settings) as workers:
        ask(settings)
        workers.sweep()
        workers.deliver()
        workers.deliver()
    let_time_pass(settings)
    migrate(settings)
    assert snapshot(settings) == undisturbed()


# --- what they were granted -----------------------------------------------------------------------------------------


def test_no_more_is_at_work_than_granted(settings: Settings, tmp_path: Path) -> None:
    """Neither of one account nor in all, whatever is done in whatever order."""
    names = ["acme", "bolt", "cask"]
    for name in names:
        write(spread_dump(account=name), tmp_path, name)
    with fleet(settings, capacity=Capacity(per_account=2, in_all=4)) as workers:
        ask(settings, *names)
        most = _deliver_watching(workers)
    assert states(settings) == ["succeeded"] * 6
    assert most == (2, 4)


def _deliver_watching(workers: Fleet) -> tuple[int, int]:
    """Work; the most bundles that were out for one account and in all."""
    of_one, in_all = 0, 0
    while True:
        workers.sweep()
        if not workers.queue.waiting:
            return of_one, in_all
        while workers.queue.waiting:
            out = _bundles_out(workers.settings)
            of_one, in_all = max(of_one, *out, 0), max(in_all, sum(out))
            workers.deliver()
        let_time_pass(workers.settings, FEW_SECONDS)


def _bundles_out(settings: Settings) -> list[int]:
    parts = import_parts.c
    out = sa.select(sa.func.count(sa.distinct(parts.token))).where(parts.done.is_(False), parts.lease_until > clock())
    return list(scalars(settings, out.group_by(parts.run_id))) or [0]


@pytest.mark.parametrize("url", ["postgres_url", "mariadb_url"])
def test_many_who_offer_at_once_grant_no_more(tmp_path: Path, request: pytest.FixtureRequest, url: str) -> None:
    """Room for five is filled by five, however many machines see it at the same moment."""
    settings = prepared(tmp_path, request.getfixturevalue(url))
    names = [f"account-{number}" for number in range(12)]
    ask(settings, *names, passes=[Pass.RECENT])
    with fleet(settings, 6, capacity=Capacity(in_all=5)) as workers:
        together = threading.Barrier(6)

        def sweep(worker: int) -> None:
            together.wait()
            workers.workers[worker].sweep()

        with ThreadPoolExecutor(6) as threads:
            list(threads.map(sweep, range(6)))
        assert len(set(workers.queue.sent)) == len(workers.queue.sent) == 5


def test_a_run_is_looked_after_by_one_at_a_time(settings: Settings) -> None:
    """However many machines sweep, a spread run costs one look every few seconds."""
    with fleet(settings, 3) as workers:
        ask(settings, passes=[Pass.RECENT])
        workers.sweep()
        workers.deliver()
        let_time_pass(settings, FEW_SECONDS)
        database = app.connect(settings)
        with database.begin() as connection:
            looked = [look_after(connection, settings.lease_seconds, 10) for _ in range(3)]
        database.close()
    assert [len(run_ids) for run_ids in looked] == [1, 0, 0]


def test_the_longest_waiting_are_due_first(settings: Settings) -> None:
    """Accounts are worked through in the order in which they were asked for, each with both its passes."""
    names = ["zulu", "acme", "mike"]
    ask(settings, *names)
    execute(settings, import_runs.update().where(import_runs.c.account_id == "mike").values(not_before=clock() + 60))
    database = app.connect(settings)
    with database.read() as connection:
        assert [run.account_id for run in backlog.due(connection, 10)] == ["zulu", "acme"]
    database.close()


def test_workers_keep_no_more_texts_than_a_run_may_have(tmp_path: Path, database_url: str) -> None:
    """However many of them reject at one moment, knowing nothing of each other."""
    write(spread_dump(parts=4, count=1), tmp_path)
    settings = settings_for(tmp_path, database_url, lease_seconds=60.0, block_bytes=300, keep_raw=5)
    with fleet(settings, 4, capacity=Capacity(per_account=4)) as workers:
        ask(settings, passes=[Pass.RECENT])
        workers.sweep()
        workers.deliver()  # plans
        while states(settings) == ["running"]:
            with ThreadPoolExecutor(4) as pool:
                calls = [workers.queue.take() for _ in range(len(workers.queue.waiting))]
                list(pool.map(workers.deliver, calls, range(len(calls))))
            workers.sweep()
    texts = scalars(settings, sa.select(import_rejects.c.raw))
    assert (len(texts), sum(text is not None for text in texts)) == (12, 5)


@pytest.mark.parametrize("k", [1, 2])
@pytest.mark.parametrize("planning", [True, False])
def test_a_worker_that_missed_the_answer_to_its_claim_goes_on(
    tmp_path: Path, postgres_url: str, planning: bool, k: int
) -> None:
    """The plan, or the part, is its own: nobody has to wait for a lease to end."""
    write(spread_dump(parts=2), tmp_path)
    settings = settings_for(tmp_path, postgres_url, lease_seconds=60.0, block_bytes=300)
    lost = Transactions(k, Moment.ANSWER, end_session(settings.database))
    with fleet(settings, 1) as workers:
        ask(settings, passes=[Pass.RECENT])
        workers.sweep()
        if not planning:
            workers.deliver()
        with lost.watched(), fleet(settings, 1, queue=workers.queue) as other:
            other.deliver()
            assert lost.count >= k
        workers.deliver_all()
        for _ in range(20):
            workers.sweep()
            workers.deliver_all()
        assert states(settings) == ["succeeded"]
