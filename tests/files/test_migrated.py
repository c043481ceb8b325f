"""The files of a pass, from wherever the dump lies to wherever they go."""

from __future__ import annotations

from pathlib import Path

import pytest

from s3import.core.records import Pass
from tests import commands as app
from tests.files.dumps import (
    RECENT,
    BucketPlace,
    FolderPlace,
    Place,
    attachment,
    call,
    dump_of,
    files_of,
    fill,
    settings_for,
    states,
)
from tests.importing.dumps import ACCOUNT, simple_dump
from tests.importing.moving import counts, migrate, rows

pytestmark = pytest.mark.integration

LARGE = bytes(range(256)) * 8192  # 2 MiB


def test_files_are_copied_and_their_rows_say_where(source: Place, target: Place, sqlite_url: str) -> None:
    """Small and large, with and without a promise of size and checksum: every byte arrives, and nothing else."""
    bodies = {0: b"hello", 1: LARGE, 2: b"", 3: b"no promise", 4: b"only a size"}
    records = [attachment(number, body) for number, body in bodies.items() if number < 3]
    records += [attachment(3), attachment(4, size_bytes=11)]
    fill(source, dump_of(records, {f"files/{number}": body for number, body in bodies.items()}))
    settings = settings_for(source, target, sqlite_url)
    result = migrate(settings, passes=RECENT)
    total = sum(map(len, bodies.values()))
    assert result.error is None
    assert files_of(result) == {"total": 5, "copied": 5, "failed": 0, "bytes": total}
    assert states(settings) == {f"a{n}": ("copied", f"attachments/a{n}/note.txt") for n in bodies}
    assert {key: target.get(key) for key in target.keys()} == {  # noqa: SIM118 - a place is no dictionary
        f"attachments/a{n}/note.txt": body for n, body in bodies.items()
    }


def test_files_that_are_not_right_are_rejects(source: Place, target: Place, sqlite_url: str) -> None:
    """Missing, of another size, with another checksum: rows are in, states failed, the pass succeeds."""
    right = attachment(0, b"right")
    wrong = [attachment(1), attachment(2, b"x", size_bytes=9), attachment(3, b"other")]
    fill(source, dump_of([right, *wrong], {"files/0": b"right", "files/2": b"x", "files/3": b"wrong"}))
    settings = settings_for(source, target, sqlite_url)
    result = migrate(settings, passes=RECENT)
    assert (result.error, result.rejected, counts(result)["attachments"]) == (None, 3, (4, 0, 0))
    assert files_of(result) == {"total": 4, "copied": 1, "failed": 3, "bytes": 5}
    assert result.document["passes"]["recent"]["rejects"]["by_code"] == {"file_differs": 2, "file_missing": 1}
    assert states(settings) == {"a0": ("copied", "attachments/a0/note.txt")} | {
        f"a{n}": ("failed", None) for n in (1, 2, 3)
    }
    assert target.keys() == ["attachments/a0/note.txt"]
    listed = {one["id"]: one for one in app.rejects(settings, ACCOUNT, RECENT)}
    assert [(one["line"], one["reasons"][0]["code"]) for one in listed.values()] == [
        (2, "file_missing"),
        (3, "file_differs"),
        (4, "file_differs"),
    ]
    assert listed["a1"]["part"] == "attachments/part-0.jsonl"
    assert '"id":"a1"' in listed["a1"]["raw"]


def test_recordings_are_copied_like_files(source: Place, target: Place, sqlite_url: str) -> None:
    """The recording of a call lies below its message's id; one that is missing is a reject of the message."""
    fill(source, dump_of([], {"files/call-0.wav": b"ring"}, [call(0), call(1)]))
    settings = settings_for(source, target, sqlite_url)
    result = migrate(settings, passes=RECENT)
    assert (result.error, target.keys()) == (None, ["recordings/m0/call-0.wav"])
    assert files_of(result) == {"total": 2, "copied": 1, "failed": 1, "bytes": 4}
    [reject] = app.rejects(settings, ACCOUNT, RECENT)
    assert (reject["entity"], reject["id"], reject["reasons"][0]["field"]) == (
        "messages",
        "m1",
        "telephony.recording_key",
    )
    assert {row["id"]: row["recording_key"] for row in rows(settings)["messages"] if row["recording_key"]} == {
        "m0": "files/call-0.wav",
        "m1": "files/call-1.wav",
    }


@pytest.mark.parametrize("key", ["../other/secret", "/etc/hostname", "files/../../other/secret", ".."])
def test_a_recording_outside_of_the_source_is_never_read(
    source_folder: FolderPlace, target_folder: FolderPlace, sqlite_url: str, key: str
) -> None:
    """A key that leaves the source names no file, whatever lies there."""
    fill(source_folder, dump_of([], {}, [call(0, telephony={"recording_key": key})]))
    secret = source_folder.root.parent / "other" / "secret"
    secret.parent.mkdir()
    secret.write_bytes(b"secret")
    settings = settings_for(source_folder, target_folder, sqlite_url)
    assert files_of(migrate(settings, passes=RECENT))["failed"] == 1
    assert target_folder.keys() == []


def test_without_a_place_files_stay_referenced(
    source_folder: FolderPlace, target_folder: FolderPlace, sqlite_url: str
) -> None:
    """Nobody asked for copies: no state but `referenced`, no files in the status."""
    fill(source_folder, dump_of([attachment(0, b"x")], {"files/0": b"x"}, [call(1)]))
    settings = settings_for(source_folder, target_folder, sqlite_url, files_to=None)
    result = migrate(settings, passes=RECENT)
    assert states(settings) == {"a0": ("referenced", None)}
    assert files_of(result) == {"total": 0, "copied": 0, "failed": 0, "bytes": 0}


def test_each_pass_copies_its_own(source_folder: FolderPlace, target_folder: FolderPlace, sqlite_url: str) -> None:
    """The remaining pass counts its files, not those that came before it."""
    fill(source_folder, {**simple_dump(3), "files/note.txt": b"the same for all"})
    result = migrate(settings_for(source_folder, target_folder, sqlite_url))
    passes = result.document["passes"]
    assert [passes[name.value]["files"]["copied"] for name in (Pass.RECENT, Pass.REMAINING)] == [3, 3]
    assert len(target_folder.keys()) == 6


def test_without_a_placeholder_accounts_do_not_meet(
    source_folder: FolderPlace, target_folder: FolderPlace, sqlite_url: str, tmp_path: Path
) -> None:
    """A place without {account} gets a folder for each account, and storage keys begin with it."""
    fill(source_folder, dump_of([attachment(0, b"x")], {"files/0": b"x"}))
    settings = settings_for(source_folder, target_folder, sqlite_url, files_to=str(tmp_path / "all"))
    migrate(settings, passes=RECENT)
    assert states(settings) == {"a0": ("copied", "acme/attachments/a0/note.txt")}
    assert (tmp_path / "all" / "acme" / "attachments" / "a0" / "note.txt").read_bytes() == b"x"


def test_objects_in_s3_are_labelled_safely(source: Place, target_bucket: BucketPlace, sqlite_url: str) -> None:
    """A page is downloaded, never shown; a picture keeps its type; the name is in the header, not in the key."""
    page = attachment(0, b"<script>", filename="../ü.html", content_type="text/html")
    picture = attachment(1, b"png", filename="cat.png", content_type="image/png")
    fill(source, dump_of([page, picture], {"files/0": b"<script>", "files/1": b"png"}))
    migrate(settings_for(source, target_bucket, sqlite_url), passes=RECENT)
    found = [target_bucket.head(key) for key in target_bucket.keys()]  # noqa: SIM118 - a place is no dictionary
    assert target_bucket.keys() == ["attachments/a0/_.html", "attachments/a1/cat.png"]
    assert [(one or {})["ContentType"] for one in found] == ["application/octet-stream", "image/png"]
    assert [(one or {})["ContentDisposition"] for one in found] == [
        "attachment; filename=\"_.html\"; filename*=UTF-8''%C3%BC.html",
        "inline; filename=\"cat.png\"; filename*=UTF-8''cat.png",
    ]
