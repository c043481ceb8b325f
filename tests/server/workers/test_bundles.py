"""Small parts go together: a handful of them to a message and a claim, and the result is that of one by one."""

from __future__ import annotations

import random
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from s3import.core.clock import clock
from s3import.core.errors import Interrupted
from s3import.core.records import Entity, Pass
from s3import.core.settings import Settings
from s3import.core.tables import import_parts
from s3import.importing import part_claims
from s3import.importing.part_claims import Bundle, Capacity, claim_parts, new_token, renew_parts
from s3import.importing.parts import PartImporter
from s3import.importing.retries import Retries
from tests import commands as app
from tests.importing.dumps import ACCOUNT, account_document, lines, records, write
from tests.importing.moving import execute, migrate, settings_for, snapshot
from tests.importing.strikes import Moment, Transactions
from tests.server.workers.fleets import (
    FakeQueue,
    Fleet,
    Killed,
    ask,
    die,
    error_codes,
    fleet,
    let_time_pass,
    scalars,
    spread_dump,
    states,
)

pytestmark = pytest.mark.integration

ONE_EACH = Capacity(per_account=1)
PARTS = 20
RECENT = [Pass.RECENT]


@pytest.fixture
def settings(tmp_path: Path, sqlite_url: str) -> Settings:
    """A recent pass of 20 small parts for each entity."""
    return prepared(tmp_path, sqlite_url)


def prepared(folder: Path, database_url: str, parts: int = PARTS) -> Settings:
    write(spread_dump(parts=parts, count=1), folder)
    return settings_for(folder, database_url, lease_seconds=60.0, block_bytes=300)


def planned(workers: Fleet) -> None:
    """Ask for the recent pass and have it planned."""
    ask(workers.settings, passes=RECENT)
    workers.sweep()
    workers.deliver()


def bundles_sent(queue: FakeQueue) -> list[Bundle]:
    return [bundle for _, bundle in queue.sent if bundle is not None]


def parts_left(settings: Settings, *conditions: sa.ColumnElement[bool]) -> list[int]:
    """The numbers of parts that are not done."""
    left = sa.select(import_parts.c.number).where(import_parts.c.done.is_(False), *conditions)
    return list(scalars(settings, left.order_by(import_parts.c.number)))


def test_small_parts_are_brought_by_few_messages(settings: Settings) -> None:
    """One brings a handful of them; those of one entity only, as parents come before their children."""
    with fleet(settings, capacity=Capacity(per_account=2)) as workers:
        planned(workers)
        workers.deliver_all()
    sent = bundles_sent(workers.queue)
    assert states(settings) == ["succeeded"]
    assert len(sent) < 3 * PARTS / 2
    assert all((bundle.first - 1) // PARTS == (bundle.last - 1) // PARTS for bundle in sent)


def test_there_is_a_share_for_everybody(settings: Settings) -> None:
    """What waits is dealt among as many as may work on it, the last of it one by one."""
    with fleet(settings, capacity=Capacity(per_account=4)) as workers:
        planned(workers)
        sizes = [bundle.last - bundle.first + 1 for bundle in bundles_sent(workers.queue)]
        assert sizes == [PARTS // 4] * 4
        workers.deliver_all()
        last = [bundle for bundle in bundles_sent(workers.queue) if bundle.last == PARTS]
    assert states(settings) == ["succeeded"]
    assert last


def test_no_bundle_is_larger_than_a_handful(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many parts wait."""
    monkeypatch.setattr(part_claims, "MOST_PARTS", 3)
    with fleet(settings, capacity=ONE_EACH) as workers:
        planned(workers)
        workers.deliver_all()
    assert {bundle.last - bundle.first + 1 for bundle in bundles_sent(workers.queue)} == {3, 2}


def test_a_large_part_goes_by_itself(tmp_path: Path, sqlite_url: str) -> None:
    """Bytes decide: what would keep a worker busy for long is not shared with others."""
    sizes = [10, 10, 700_000, 700_000, 10, 10]
    dump = {"account.json": account_document()}
    for number, size in enumerate(sizes):
        record = {**next(iter(records(Entity.THREADS, 1, ACCOUNT, f"{number}-"))), "subject": "x" * size}
        dump[f"recent/threads/part-{number}.jsonl"] = lines([record])
    write(dump, tmp_path)
    settings = settings_for(tmp_path, sqlite_url, lease_seconds=60.0, block_bytes=300)
    with fleet(settings, capacity=ONE_EACH) as workers:
        planned(workers)
        workers.deliver_all()
    assert states(settings) == ["succeeded"]
    assert [(bundle.first, bundle.last) for bundle in bundles_sent(workers.queue)] == [(1, 3), (4, 6)]


@pytest.mark.parametrize("k", [2, 14, 31])
def test_a_dead_worker_costs_a_batch(settings: Settings, k: int) -> None:
    """Whichever part of its bundle it was at, others go on behind what was committed."""
    with Transactions(k, Moment.WITHIN, die).watched(), fleet(settings, capacity=ONE_EACH) as workers:
        ask(settings, passes=RECENT)
        with pytest.raises(Killed):
            workers.work()
        workers.work()
    assert snapshot(settings) == _alone()


@cache
def _alone() -> dict[str, Any]:
    """What one process leaves of the same dump."""
    with tempfile.TemporaryDirectory() as folder:
        settings = prepared(Path(folder), f"sqlite:///{folder}/alone.db")
        migrate(settings, passes=RECENT)
        return snapshot(settings)


def test_a_part_in_a_bundle_that_kills_its_workers_ends_the_run(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The run's failure names that part, and none of those that went with it."""
    _have_workers_die_at(monkeypatch, {"threads/part-13.jsonl"})
    with fleet(settings, retries=Retries(limit=2), capacity=ONE_EACH) as workers:
        ask(settings, passes=RECENT)
        for _ in range(3):
            with pytest.raises(Killed):
                workers.work()
        workers.work()
    assert error_codes(settings) == ["worker_lost"]
    assert "threads/part-13.jsonl" in app.status_document(settings, ACCOUNT)["passes"]["recent"]["error"]["message"]


def test_workers_that_die_at_one_part_after_the_other_end_no_run(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Parts that only went with others were not tried: each of many deaths is some other part's."""
    keys = {f"threads/part-{number}.jsonl" for number in range(PARTS)}
    once = _have_workers_die_at(monkeypatch, keys)
    with fleet(settings, retries=Retries(limit=2), capacity=ONE_EACH) as workers:
        ask(settings, passes=RECENT)
        while once:
            with pytest.raises(Killed):
                workers.work()
            once.difference_update(_died_at)
        workers.work()
    assert states(settings) == ["succeeded"]


_died_at: list[str] = []


def _have_workers_die_at(monkeypatch: pytest.MonkeyPatch, keys: set[str]) -> set[str]:
    """Each worker dies that begins with a part whose key is in the set."""
    import_part = PartImporter.import_part
    _died_at.clear()

    def dying(self: PartImporter, run: Any, part: Any) -> None:
        if part.planned.key in keys:
            _died_at.append(part.planned.key)
            raise Killed
        import_part(self, run, part)

    monkeypatch.setattr(PartImporter, "import_part", dying)
    return keys


def test_a_worker_that_is_asked_to_go_gives_the_rest_back(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """What it has not begun with is on offer again at once, without any lease having to end."""
    import_part = PartImporter.import_part
    with fleet(settings, capacity=ONE_EACH) as workers:
        planned(workers)

        def stopping(self: PartImporter, run: Any, part: Any) -> None:
            if part.number == 5:
                raise Interrupted("asked to go")
            import_part(self, run, part)

        with monkeypatch.context() as patched:
            patched.setattr(PartImporter, "import_part", stopping)
            workers.deliver(worker=0)
        assert parts_left(settings)[0] == 5
        workers.deliver_all()
    assert states(settings) == ["succeeded"]


def test_a_late_worker_keeps_and_writes_nothing_that_others_have(settings: Settings) -> None:
    """Its lease ended, and some of its parts were offered anew: it renews what nobody took, and gives that back when it
    meets the first that somebody did."""
    with fleet(settings, 2, capacity=ONE_EACH) as workers:
        planned(workers)
        run_id, bundle = workers.queue.take()
        assert bundle is not None
        database = app.connect(settings)
        token = new_token()
        with database.begin() as connection:
            taken = claim_parts(connection, run_id, bundle, token=token, holder="late", lease_seconds=60.0)
        assert taken is not None
        let_time_pass(settings)
        workers.sweep()
        let_time_pass(settings, 13.0)
        parts = import_parts.c
        rest = sa.and_(parts.number > 5, parts.number <= bundle.last)
        execute(settings, import_parts.update().where(rest).values(token=token, lease_until=None))  # not offered anew
        with database.begin() as connection:
            assert renew_parts(connection, taken, 60.0)
        database.close()
        kept = parts_left(settings, parts.token == token, parts.lease_until > clock())
        assert kept == list(range(6, bundle.last + 1))
        workers.deliver_all()
        assert parts_left(settings, parts.number <= 5) == []


def test_a_message_that_comes_twice_is_one_claim(settings: Settings) -> None:
    """Nor does an old one take what is on offer by a newer."""
    with fleet(settings, 2, capacity=ONE_EACH) as workers:
        planned(workers)
        old = workers.queue.take()
        let_time_pass(settings)
        workers.sweep()
        workers.deliver(old)
        assert len(parts_left(settings)) == 3 * PARTS
        newer = workers.queue.take()
        workers.deliver(newer)
        left = parts_left(settings)
        workers.deliver(newer)
        assert parts_left(settings) == left


@hypothesis_settings(max_examples=8, deadline=None)
@given(seed=st.integers(0, 2**32), loses=st.sampled_from([0.0, 0.4]), repeats=st.sampled_from([0.0, 0.5]))
def test_whatever_the_queue_does_the_result_is_the_same(
    empty: tuple[Settings, dict[str, Any]], seed: int, loses: float, repeats: float
) -> None:
    """Bundles lost, repeated and in any order: tables, counts and rejects equal those of an undisturbed run."""
    settings, undisturbed = empty
    queue = FakeQueue(random.Random(seed), loses, repeats)
    capacity = Capacity(per_account=2, in_all=3)
    with _copied(settings) as copy, fleet(copy, 3, queue=queue, capacity=capacity) as workers:
        ask(copy, passes=RECENT)
        workers.work()
        assert snapshot(copy) == undisturbed
        assert any(before.last != before.first for before, _ in pairwise(bundles_sent(queue)))


@pytest.fixture(scope="module")
def empty(tmp_path_factory: pytest.TempPathFactory, sqlite_file: Path) -> tuple[Settings, dict[str, Any]]:
    """A dump, an SQLite file with empty tables to be copied, and what one process makes of them."""
    settings = prepared(tmp_path_factory.mktemp("bundles"), f"sqlite:///{sqlite_file}", parts=8)
    with _copied(settings) as copy:
        migrate(copy, passes=RECENT)
        return settings, snapshot(copy)


@contextmanager
def _copied(settings: Settings) -> Iterator[Settings]:
    """The settings with a database of their own."""
    with tempfile.TemporaryDirectory() as folder:
        copy = shutil.copy(settings.database.removeprefix("sqlite:///"), folder)
        yield replace(settings, database=f"sqlite:///{copy}")


@pytest.mark.parametrize("url", ["postgres_url", "mariadb_url"])
def test_workers_share_bundles_on_every_database(tmp_path: Path, request: pytest.FixtureRequest, url: str) -> None:
    """The result is that of a single process."""
    settings = prepared(tmp_path, request.getfixturevalue(url))
    with fleet(settings, 3, capacity=Capacity(per_account=2)) as workers:
        ask(settings, passes=RECENT)
        workers.work()
    assert snapshot(settings) == _alone()
