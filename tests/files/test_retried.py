"""Files that failed, tried again; and copies that are taken back."""

from __future__ import annotations

import threading

import pytest

from s3import.core.errors import NotImported, RunIsAlive
from s3import.core.settings import Settings
from s3import.files import Retried
from tests import commands as app
from tests.files.dumps import RECENT, FolderPlace, attachment, call, dump_of, fill, settings_for, states, told_last
from tests.importing.dumps import ACCOUNT
from tests.importing.moving import migrate
from tests.server.workers.fleets import ask

pytestmark = pytest.mark.integration


@pytest.fixture
def settings(source_folder: FolderPlace, target_folder: FolderPlace, database_url: str) -> Settings:
    """Imported with two missing files, a missing recording and one file that differs."""
    records = [attachment(0), attachment(1, b"1"), attachment(2, b"2")]
    fill(source_folder, dump_of(records, {"files/2": b"not"}, [call(6)]))
    settings = settings_for(source_folder, target_folder, database_url)
    assert migrate(settings, passes=RECENT).rejected == 4
    return settings


def retry(settings: Settings) -> Retried:
    return app.retry_files(settings, ACCOUNT, observe=lambda _: None, stop=threading.Event())


def seen(settings: Settings) -> tuple[dict[str, int], dict[str, int], list[tuple[str, str]]]:
    """The status's files and reject codes, and who is listed among the rejects, and why."""
    shown = app.status_document(settings, ACCOUNT)["passes"]["recent"]
    listed = [(one["id"], one["reasons"][0]["code"]) for one in app.rejects(settings, ACCOUNT, RECENT)]
    return shown["files"], shown["rejects"]["by_code"], listed


def test_what_is_there_by_now_is_copied_and_no_reject_any_more(
    settings: Settings, source_folder: FolderPlace, target_folder: FolderPlace
) -> None:
    """States, counts and rejects follow; what fails for another reason says so."""
    assert seen(settings)[1] == {"file_differs": 1, "file_missing": 3}
    fill(source_folder, {"files/0": b"0", "files/1": b"other", "files/call-6.wav": b"ring"})
    assert retry(settings) == Retried(ACCOUNT, copied=2, failed=2)
    files, codes, listed = seen(settings)
    assert files == {"total": 4, "copied": 2, "failed": 2, "bytes": 5}
    assert codes == {"file_differs": 2}
    assert listed == [("a1", "file_differs"), ("a2", "file_differs")]
    assert target_folder.keys() == ["attachments/a0/note.txt", "recordings/m6/call-6.wav"]


def test_the_diary_tells_of_another_try(settings: Settings) -> None:
    """Of the account as a whole, whatever became of the files."""
    retry(settings)
    assert told_last(settings) == ("files_retried", None)


def test_nothing_is_tried_while_a_pass_is_due(settings: Settings, source_folder: FolderPlace) -> None:
    """A pass that is queued may bring the very same files."""
    fill(source_folder, {key.replace("recent", "remaining"): body for key, body in dump_of([], {}).items()})
    assert ask(settings) == [None]
    with pytest.raises(RunIsAlive):
        retry(settings)


def test_nothing_is_tried_where_no_files_were_to_be_copied(
    source_folder: FolderPlace, target_folder: FolderPlace, sqlite_url: str
) -> None:
    """The error says what to do about it."""
    fill(source_folder, dump_of([attachment(0)], {}))
    settings = settings_for(source_folder, target_folder, sqlite_url, files_to=None)
    migrate(settings, passes=RECENT)
    with pytest.raises(NotImported, match="--files-to"):
        retry(settings)


def test_a_reset_takes_copies_away(settings: Settings, source_folder: FolderPlace, target_folder: FolderPlace) -> None:
    """Attachments and recordings; what other people laid there stays."""
    fill(source_folder, {"files/0": b"0", "files/call-6.wav": b"ring"})
    retry(settings)
    target_folder.put("attachments/other/x.txt", b"not ours")
    app.reset(settings, ACCOUNT, confirmed=True, force=False, observe=lambda _: None, stop=threading.Event())
    assert target_folder.keys() == ["attachments/other/x.txt"]
    assert states(settings) == {}
