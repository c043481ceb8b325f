"""What can be verified, and where the result is kept."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
import sqlalchemy as sa

from s3import.core.errors import AccountNotFound, Interrupted, NotImported, RunIsAlive
from s3import.core.events import Event
from s3import.core.records import Pass
from s3import.core.settings import Settings
from s3import.core.tables import accounts, import_runs, threads
from tests import commands as app
from tests.importing.dumps import ACCOUNT, simple_dump, write
from tests.importing.moving import code_of, execute, ignore, migrate, settings_for
from tests.operations.verify.verifying import verify

pytestmark = pytest.mark.integration


def test_an_unknown_account_cannot_be_verified(settings: Settings, tmp_path: Path) -> None:
    """Neither in a database without tables nor in one without the account."""
    with pytest.raises(AccountNotFound):
        verify(settings)
    write(simple_dump(), tmp_path)
    migrate(settings)
    execute(settings, sa.delete(accounts))
    with pytest.raises(AccountNotFound):
        verify(settings)


def test_a_pass_must_be_imported_to_its_end(settings: Settings, tmp_path: Path) -> None:
    """What was left half-way is no whole that could be right, and a run that is alive is left to its work."""
    write({**simple_dump(), "remaining/messages/z.jsonl.gz": b"broken"}, tmp_path)
    assert code_of(migrate(settings)) == "part_unreadable"
    with pytest.raises(NotImported, match="remaining"):
        verify(settings)
    remaining = import_runs.c["pass"] == Pass.REMAINING.value
    execute(settings, sa.update(import_runs).where(remaining).values(state="running", lease_until=1e12))
    with pytest.raises(RunIsAlive):
        verify(settings)


def test_the_result_is_kept_with_each_run(database_url: str, tmp_path: Path) -> None:
    """The status document shows the last verification of each pass that it was about; a new run has none."""
    settings = settings_for(tmp_path, database_url)
    write(simple_dump(), tmp_path)
    migrate(settings, passes=(Pass.RECENT,))
    verify(settings)
    migrate(settings)
    passes = app.status_document(settings, ACCOUNT)["passes"]
    assert (passes["recent"]["verified"]["differences"], passes["remaining"].get("verified")) == (0, None)
    execute(settings, sa.update(threads).where(threads.c.id == "recent-t1").values(subject="other"))
    found = verify(settings)
    passes = app.status_document(settings, ACCOUNT)["passes"]
    assert passes["recent"]["verified"] == passes["remaining"]["verified"] == found.summary()
    assert passes["recent"]["verified"]["counts"]["threads"]["different"] == 1


def test_a_run_in_between_spoils_the_result(settings: Settings, tmp_path: Path) -> None:
    """What a pass brings while the first one is being verified is no difference: the result does not count."""
    write(simple_dump(), tmp_path)
    migrate(settings, passes=(Pass.RECENT,))
    importing = iter([migrate])

    def observe(event: Event) -> None:
        for start in importing:
            start(settings)

    with pytest.raises(RunIsAlive, match="run the same command again"):
        app.verify(settings, ACCOUNT, observe=observe, stop=threading.Event())
    assert app.status_document(settings, ACCOUNT)["passes"]["recent"].get("verified") is None


def test_can_be_stopped(settings: Settings, tmp_path: Path) -> None:
    """It ends at the next batch, and keeps no result."""
    write(simple_dump(), tmp_path)
    migrate(settings)
    stop = threading.Event()
    stop.set()
    with pytest.raises(Interrupted):
        app.verify(settings, ACCOUNT, observe=ignore, stop=stop)
    assert app.status_document(settings, ACCOUNT)["passes"]["recent"].get("verified") is None
