"""What survives whom: files under kills, deletions and other processes, on every database."""

from __future__ import annotations

import signal
import threading
from dataclasses import replace

import pytest
import sqlalchemy as sa

from s3import import status
from s3import.core import tables
from s3import.core.errors import LeaseLost
from s3import.core.events import Event, FilesAdvanced
from s3import.core.records import Entity, Pass
from s3import.core.settings import Settings
from s3import.files import ledger
from s3import.files.file import Copied, File, Stored
from s3import.importing import queueing
from s3import.writers import open_database
from tests.faults import FaultyProxy, Meanwhile, Passed
from tests.files.dumps import (
    RECENT,
    BucketPlace,
    FolderPlace,
    attachment,
    call,
    dump_of,
    files_of,
    fill,
    settings_for,
    states,
)
from tests.importing import children
from tests.importing.moving import code_of, execute, migrate, snapshot
from tests.importing.strikes import Moment, Transactions, end_session, kill_process

pytestmark = pytest.mark.integration

COPIED_AT, FAILED_AT = 12, 13  # the transactions that write down what was copied, and what failed
BODIES = {f"files/{number}": b"%d" % number for number in range(6)}


@pytest.fixture
def settings(source_folder: FolderPlace, target_folder: FolderPlace, database_url: str) -> Settings:
    """A dump with six files, two recordings of which one is missing, and an empty database."""
    fill(
        source_folder,
        dump_of([attachment(n) for n in range(6)], {**BODIES, "files/call-6.wav": b"ring"}, [call(6), call(7)]),
    )
    return settings_for(source_folder, target_folder, database_url)


def copied(settings: Settings) -> dict[str, tuple[str, str | None]]:
    return {name: state for name, state in states(settings).items() if state[0] == "copied"}


def test_the_ledger_is_the_same_on_every_database(settings: Settings, target_folder: FolderPlace) -> None:
    """States, counts and rejects, and the files themselves."""
    result = migrate(settings, passes=RECENT)
    assert files_of(result) == {"total": 8, "copied": 7, "failed": 1, "bytes": 10}
    assert len(copied(settings)) == 6
    assert len(target_folder.keys()) == 7
    assert [one["id"] for one in snapshot(settings)["rejects"]] == ["m7"]


@pytest.mark.integration
@pytest.mark.parametrize(("moment", "k"), [(Moment.COMMIT, COPIED_AT), (Moment.ANSWER, FAILED_AT)])
def test_a_kill_while_files_are_copied_costs_nothing(
    settings: Settings, target_folder: FolderPlace, moment: Moment, k: int
) -> None:
    """Killed at the transaction that settles files: the same command ends as one that nobody disturbed."""
    child = children.start(settings, k=k, moment=moment, strike=kill_process)
    assert children.exit_code(child) == -signal.SIGKILL
    result = migrate(settings, passes=RECENT)
    assert files_of(result) == {"total": 8, "copied": 7, "failed": 1, "bytes": 10}
    assert (len(copied(settings)), len(target_folder.keys())) == (6, 7)


@pytest.mark.parametrize("k", [COPIED_AT, FAILED_AT])
@pytest.mark.parametrize("database_url", ["postgresql", "mariadb"], indirect=True)
def test_files_are_counted_once_though_the_answer_gets_lost(settings: Settings, k: int) -> None:
    """The commit went through, the connection broke: trying again changes nothing."""
    with Transactions(k, Moment.ANSWER, end_session(settings.database)).watched() as watched:
        result = migrate(settings, passes=RECENT)
    assert files_of(result) == {"total": 8, "copied": 7, "failed": 1, "bytes": 10}
    assert watched.count > FAILED_AT + 1  # the one that was struck came again


def test_an_interrupted_copy_goes_on_where_it_was(settings: Settings, target_folder: FolderPlace) -> None:
    """The run that is stopped keeps what it copied, and remembers where files go."""
    stop = threading.Event()

    def watch(event: Event) -> None:
        if isinstance(event, FilesAdvanced):
            stop.set()

    result = migrate(settings, passes=RECENT, observe=watch, stop=stop)
    assert code_of(result) == "interrupted"
    again = migrate(replace(settings, files_to=None), passes=RECENT)
    assert files_of(again) == {"total": 8, "copied": 7, "failed": 1, "bytes": 10}


@pytest.mark.parametrize(
    ("statement", "code"),
    [
        (tables.messages.delete().where(tables.messages.c.id == "m3"), None),
        (tables.accounts.delete(), "account_deleted"),
    ],
    ids=["row", "account"],
)
def test_what_is_deleted_while_its_file_is_on_the_way_stays_deleted(
    database_url: str,
    source_bucket: BucketPlace,
    target_folder: FolderPlace,
    monkeypatch: pytest.MonkeyPatch,
    statement: sa.Executable,
    code: str | None,
) -> None:
    """A row does not come back and is not counted; an account ends its run, and nothing of it is left."""
    fill(source_bucket, dump_of([attachment(n) for n in range(6)], BODIES))
    settings = settings_for(source_bucket, target_folder, database_url)
    fault = Meanwhile(lambda: execute(settings, statement), Passed())
    chosen = lambda method, path: method == "GET" and path.endswith("files/3")  # noqa: E731
    with FaultyProxy(source_bucket.bucket.endpoint_url, [fault], chosen=chosen) as proxy:
        monkeypatch.setenv("AWS_ENDPOINT_URL", proxy.url)
        result = migrate(settings, passes=RECENT)
    assert code_of(result) == code
    assert "a3" not in states(settings)
    assert files_of(result)["copied"] == (5 if code is None else 0)


def test_a_worker_that_lost_the_run_settles_nothing(settings: Settings) -> None:
    """A state only changes for whoever holds the run, and for the run that the file belongs to."""
    migrate(settings, passes=RECENT)
    execute(settings, tables.attachments.update().values(state="pending"))
    with open_database(settings.database).begin() as connection:
        run, _ = queueing.enqueue(connection, "acme", Pass.REMAINING, "/dumps")
        claim = status.claim(connection, run, source="/dumps", holder=status.Holder("first", 0))
        assert claim is not None
        connection.execute(tables.import_runs.update().values(token=tables.import_runs.c.token + 1))
    with pytest.raises(LeaseLost), open_database(settings.database).begin() as connection:
        ledger.require_held(connection, claim)
    file = File(Entity.ATTACHMENTS, "a0", "note.txt", "files/0")
    with open_database(settings.database).begin() as connection:
        done, _ = ledger.move(connection, "acme", claim.run_id, [Copied(file, "k", Stored(1, "e"))], [], "pending")
    assert done == []
