"""Files of rows that were imported without a place to copy them to."""

from __future__ import annotations

import threading
from dataclasses import replace
from pathlib import Path

import pytest

from s3import.core.errors import ConfigurationError, Interrupted, NotImported
from s3import.core.events import Event, FilesAdvanced, Observer
from s3import.core.records import Pass
from s3import.core.settings import Settings
from s3import.files import Retried, copying
from tests import commands as app
from tests.files.dumps import RECENT, FolderPlace, attachment, call, dump_of, fill, settings_for, states, told_last
from tests.files.test_owners import delta, listed, shown
from tests.importing import dumps
from tests.importing.dumps import ACCOUNT
from tests.importing.moving import migrate

pytestmark = pytest.mark.integration


@pytest.fixture
def settings(source_folder: FolderPlace, target_folder: FolderPlace, database_url: str) -> Settings:
    """Both passes and a delta from another source, imported with their files referenced only; some are missing."""
    fill(source_folder, dump_of([attachment(0), attachment(1)], {"files/0": b"0"}, [call(6), call(7)]))
    fill(source_folder, {"remaining/attachments/part-0.jsonl": dumps.lines([attachment(2, b"22")])})
    fill(source_folder, {"files/2": b"22", "files/3": b"of the dump", "files/call-6.wav": b"ring"})
    other = FolderPlace(source_folder.root.parent.parent / "deltas")
    fill(other, delta([attachment(3)], {"files/3": b"of the delta"}))
    settings = settings_for(source_folder, target_folder, database_url)
    referenced = replace(settings, files_to=None)
    migrate(referenced)
    assert migrate(replace(referenced, source=other.uri), passes=[Pass.DELTA]).error is None
    return settings


def copy(settings: Settings, observe: Observer = lambda _: None, stop: threading.Event | None = None) -> Retried:
    return app.copy_files(settings, ACCOUNT, observe=observe, stop=stop or threading.Event())


def test_files_of_imported_rows_are_copied(settings: Settings, target_folder: FolderPlace) -> None:
    """Each from the source of its own pass; states, counts and rejects are as if they had been copied at once."""
    assert copy(settings) == Retried(ACCOUNT, copied=4, failed=2)
    assert {row_id: state for row_id, (state, _) in states(settings).items()} == {
        "a0": "copied",
        "a1": "failed",
        "a2": "copied",
        "a3": "copied",
    }
    assert target_folder.get("attachments/a3/note.txt") == b"of the delta"
    assert target_folder.get("recordings/m6/call-6.wav") == b"ring"
    assert [shown(settings, pass_)[0] for pass_ in ("recent", "remaining", "delta")] == [
        (4, 2, 2),
        (1, 1, 0),
        (1, 1, 0),
    ]
    assert listed(settings) == [
        ("recent", "messages/part-0.jsonl", 8, "m7", "file_missing"),
        ("recent", "attachments/part-0.jsonl", 2, "a1", "file_missing"),
    ]
    assert all('"id":"' in one["raw"] for one in app.rejects(settings, ACCOUNT, RECENT))


def test_the_diary_tells_of_a_later_copy(settings: Settings) -> None:
    """Of the account as a whole, not of a pass."""
    copy(settings)
    assert told_last(settings) == ("files_copied", None)


def test_files_are_copied_once(settings: Settings, source_folder: FolderPlace) -> None:
    """A second time nothing is left to do; what failed is for another command, which finds the place by itself."""
    copy(settings)
    assert copy(replace(settings, files_to=None)) == Retried(ACCOUNT)
    fill(source_folder, {"files/1": b"1"})
    again = app.retry_files(replace(settings, files_to=None), ACCOUNT, observe=lambda _: None, stop=threading.Event())
    assert again == Retried(ACCOUNT, copied=1, failed=1)
    assert [one[3] for one in listed(settings)] == ["m7"]


def test_an_interrupted_copy_goes_on(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is copied twice, nothing counted twice."""
    stop, seen = threading.Event(), []

    def watch(event: Event) -> None:
        if isinstance(event, FilesAdvanced):
            seen.append(event)
            stop.set()

    monkeypatch.setattr(copying, "SETTLE_SECONDS", 0.0)
    with pytest.raises(Interrupted):
        copy(replace(settings, files_in_flight=1), watch, stop)
    done = sum(shown(settings, pass_)[0][1] for pass_ in ("recent", "remaining", "delta"))
    assert seen
    assert done < 4
    assert copy(settings).copied == 4 - done
    assert [shown(settings, pass_)[0] for pass_ in ("recent", "remaining", "delta")] == [
        (4, 2, 2),
        (1, 1, 0),
        (1, 1, 0),
    ]


def test_rows_whose_records_are_gone_are_copied_too(settings: Settings, source_folder: FolderPlace) -> None:
    """They count with the last pass, and are found at --source; what of them fails is listed behind the last line."""
    fill(source_folder, {"recent/attachments/part-0.jsonl": b""})
    copied = copy(settings)
    assert (copied.copied, copied.failed) == (4, 2)
    assert [(one[0], one[2], one[3]) for one in listed(settings)] == [("recent", 8, "m7"), ("delta", 2, "a1")]


def test_without_a_place_nothing_is_copied(settings: Settings) -> None:
    """The command is wrong, and says what is missing."""
    with pytest.raises(ConfigurationError, match="--files-to"):
        copy(replace(settings, files_to=None))


def test_nothing_is_copied_of_an_account_that_was_not_imported(
    source_folder: FolderPlace, target_folder: FolderPlace, sqlite_url: str, tmp_path: Path
) -> None:
    """Nobody knows where its files are."""
    fill(source_folder, dump_of([attachment(0)], {}))
    settings = settings_for(source_folder, target_folder, sqlite_url)
    migrate(replace(settings, files_to=None), passes=RECENT)
    migrate(replace(settings, files_to=None, source=str(tmp_path)), passes=RECENT)
    app.reset(settings, ACCOUNT, confirmed=True, force=False, observe=lambda _: None, stop=threading.Event())
    with pytest.raises(NotImported, match="migrate"):
        copy(settings)
