"""The diary tells what happened to an account's runs, and is forgotten with everything else that is kept of them."""

from __future__ import annotations

import datetime as dt
import threading
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
import sqlalchemy as sa

from s3import.core import history
from s3import.core.records import Pass
from s3import.core.settings import Settings
from s3import.core.tables import accounts, import_events, import_runs, import_samples
from s3import.operations.composition import opened
from s3import.writers import open_database
from tests import commands as app
from tests.importing.dumps import ACCOUNT, simple_dump, write
from tests.importing.moving import execute, ignore, migrate, settings_for

pytestmark = pytest.mark.integration

Told = tuple[str, str | None, int | None, str | None]
RECENT = ["asked_for", "claimed", "finished"]


def diary(settings: Settings) -> list[Told]:
    """Event, pass, attempt and code, in their order."""
    events = import_events.c
    query = sa.select(events.event, events["pass"], events.attempt, events.code).order_by(events.id)
    with closing(open_database(settings.database)) as database, database.read() as connection:
        return [tuple(row) for row in connection.execute(query)]


def happened(settings: Settings) -> list[str]:
    return [event for event, *_ in diary(settings)]


@pytest.fixture
def dump(tmp_path: Path, settings: Settings) -> Settings:
    """A dump that nobody has imported yet, and an SQLite database."""
    write(simple_dump(), tmp_path)
    return settings


def test_each_pass_is_asked_for_claimed_and_finished(tmp_path: Path, database_url: str) -> None:
    """In that order, on every database, by the user and the host of the command."""
    write(simple_dump(), tmp_path)
    settings = settings_for(tmp_path, database_url)
    migrate(settings)
    asked = ("asked_for", None, None), ("claimed", 1, None), ("finished", 1, None)
    assert diary(settings) == [(event, pass_, *rest) for pass_ in ("recent", "remaining") for event, *rest in asked]
    with opened(settings) as operations:
        assert {event["actor"] for event in operations.each_event(ACCOUNT)} == {history.actor()}


def test_a_failure_is_told_with_its_code_and_the_next_attempt_resumes(dump: Settings, tmp_path: Path) -> None:
    """The same run is asked for again then."""
    damaged = tmp_path / ACCOUNT / "recent/messages/damaged.jsonl.gz"
    damaged.write_bytes(b"no gzip at all")
    migrate(dump, passes=[Pass.RECENT])
    damaged.unlink()
    (tmp_path / ACCOUNT / "recent/messages/damaged.jsonl").write_bytes(b"")
    migrate(dump, passes=[Pass.RECENT])
    told = diary(dump)
    assert [event for event, *_ in told[:3]] == ["asked_for", "claimed", "failed"]
    assert told[2][3] is not None


def test_who_takes_over_from_a_dead_process_says_so(dump: Settings) -> None:
    """It is not the same as to resume what had failed."""
    migrate(dump, passes=[Pass.RECENT])
    orphaned = {"state": "running", "lease_until": 0.0, "holder": "somebody", "finished_at": None}
    execute(dump, sa.update(import_runs).values(orphaned), sa.update(accounts).values(status="migrating"))
    migrate(dump, passes=[Pass.RECENT])
    assert diary(dump)[len(RECENT) :] == [("taken_over", "recent", 2, None), ("finished", "recent", 2, None)]


def test_a_run_that_is_cancelled_and_asked_for_again_is_resumed(dump: Settings) -> None:
    """Each step is told."""
    migrate(dump, passes=[Pass.RECENT])
    queued = sa.update(import_runs).values(state="queued", finished_at=None)
    execute(dump, queued, sa.update(accounts).values(status="migrating"))
    with opened(dump) as operations:
        operations.cancel_account(ACCOUNT)
    migrate(dump, passes=[Pass.RECENT])
    assert diary(dump)[len(RECENT) :] == [
        ("cancelled", "recent", 1, "cancelled"),
        ("asked_for", "recent", None, None),
        ("resumed", "recent", 2, None),
        ("finished", "recent", 2, None),
    ]


def test_what_is_verified_is_told(dump: Settings) -> None:
    """With a code where something differs."""
    migrate(dump)
    app.verify(dump, ACCOUNT, observe=ignore, stop=threading.Event())
    assert diary(dump)[-1] == ("verified", None, None, None)


def test_a_typing_error_leaves_no_trace(dump: Settings) -> None:
    """A run of an account that never existed is not told of."""
    migrate(dump, account="nobody")
    assert diary(dump) == []


@pytest.mark.parametrize("what", ["reset", "purged"])
def test_an_account_that_is_forgotten_has_that_as_its_only_event(dump: Settings, what: str) -> None:
    """Samples go, too."""
    migrate(dump)
    sample = {"at": dt.datetime(2026, 1, 1, tzinfo=dt.UTC), "stage": "threads", "records": 1}
    run_ids = sa.select(import_runs.c.run_id, *map(sa.literal, sample.values()), sa.literal(2))
    execute(dump, sa.insert(import_samples).from_select(["run_id", *sample, "bytes"], run_ids))
    if what == "reset":
        app.reset(dump, ACCOUNT, confirmed=True, force=True, observe=ignore, stop=threading.Event())
    else:
        app.purge(dump, ACCOUNT, confirmed=True, observe=ignore, stop=threading.Event())
    assert diary(dump) == [(what, None, None, None)]
    with closing(open_database(dump.database)) as database, database.read() as connection:
        assert connection.execute(sa.select(import_samples)).first() is None


def test_the_diary_of_an_account_that_was_deleted_is_not_its_successors(dump: Settings) -> None:
    """Its migration begins anew, and fails here: nothing brings the account back."""
    migrate(dump)
    execute(dump, sa.delete(accounts))
    migrate(dump, passes=[Pass.RECENT])
    assert happened(dump) == ["asked_for", "claimed", "failed"]


def test_a_pass_that_is_read_again_keeps_its_diary(dump: Settings) -> None:
    """Also of the reading that the new one replaces."""
    migrate(dump, passes=[Pass.RECENT])
    migrate(replace(dump), passes=[Pass.RECENT], again=True)
    assert happened(dump) == RECENT * 2


def test_who_acts_is_whom_the_context_names() -> None:
    """A token by its digest, never by itself."""
    with history.acting_as(history.token_name("secret")):
        assert history.actor() == "token 2bb80d53"
    assert "@" in history.actor()
