"""What a validation says of a dump."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest

from s3import.core.errors import ConfigurationError, DumpNotFound, Interrupted
from s3import.core.records import Entity, Pass
from s3import.core.settings import Settings
from s3import.operations import spill
from s3import.operations.validate import named_files
from tests import commands as app
from tests.importing.dumps import (
    ACCOUNT,
    Dump,
    account_document,
    deletion,
    lines,
    manifest,
    records,
    simple_dump,
    write,
)
from tests.importing.moving import ignore
from tests.operations.validate.validating import codes, rejects, validate, validated
from tests.records import right

THREADS, MESSAGES, ATTACHMENTS = (f"recent/{entity}/part-0.jsonl" for entity in ("threads", "messages", "attachments"))


def with_files(dump: Dump) -> Dump:
    """The dump with the one file that its attachments name."""
    return {**dump, "files/note.txt": b"a note"}


def test_a_right_dump_is_right(tmp_path: Path) -> None:
    """Nothing is wrong with it, and nothing is left unsaid."""
    document = validated(with_files(simple_dump()), tmp_path).document()
    assert document["valid"] is True
    assert document["passes"]["recent"]["counts"]["messages"] == {
        "read": 3,
        "accepted": 3,
        "rejected": 0,
        "sanitised": 0,
    }
    assert document["files"] == {"named": 6, "file_missing": 0, "file_differs": 0}
    assert (document["repeated_ids"], document["not_checked"], document["other_folders"]) == ({}, [], [])


def test_needs_no_settings_of_a_database(tmp_path: Path) -> None:
    """A mapping of DynamoDB or a database of the environment has nothing to do with it."""
    folder = write(with_files(simple_dump()), tmp_path)
    assert validate(folder, mapping="nowhere.toml", database="postgresql://nobody@127.0.0.1:1/none").rejected == 0


# --- whose dump it is ---------------------------------------------------------------------------------------------


def test_the_account_is_the_one_of_account_json(tmp_path: Path) -> None:
    """Without --account the dump itself says whose it is."""
    assert validate(write(simple_dump(), tmp_path), None).account_id == ACCOUNT


def test_the_account_is_the_one_of_a_manifest(tmp_path: Path) -> None:
    """Where there is no account.json a manifest tells."""
    dump = simple_dump()
    del dump["account.json"]
    dump["remaining/manifest.json"] = manifest(dump, Pass.REMAINING)
    assert validate(write(dump, tmp_path), None).account_id == ACCOUNT


@pytest.mark.parametrize("document", [None, b"{", b"[]", b'{"id": 1}', b'{"id": ""}'])
def test_an_account_that_nothing_names_has_to_be_given(document: bytes | None, tmp_path: Path) -> None:
    """Whatever account.json is instead of one."""
    dump = simple_dump() | ({} if document is None else {"account.json": document})
    if document is None:
        del dump["account.json"]
    with pytest.raises(ConfigurationError, match="--account"):
        validate(write(dump, tmp_path), None)


def test_a_place_with_several_accounts_needs_one(tmp_path: Path) -> None:
    """``{account}`` in the path stands for the account that is given."""
    write(with_files(simple_dump()), tmp_path)
    assert validate(f"{tmp_path}/{{account}}", ACCOUNT).rejected == 0
    with pytest.raises(ConfigurationError, match="--account"):
        validate(f"{tmp_path}/{{account}}", None)


def test_a_folder_without_passes_is_no_dump(tmp_path: Path) -> None:
    """Where none of the passes has an object there is nothing to validate."""
    with pytest.raises(DumpNotFound, match="recent, remaining, delta"):
        validated({"recents/threads/part-0.jsonl": b""}, tmp_path)


# --- what ends a pass or a part -----------------------------------------------------------------------------------


def test_a_wrong_manifest_does_not_hide_the_other_pass(tmp_path: Path) -> None:
    """Each pass is checked, whatever is wrong with another one."""
    dump = simple_dump()
    dump["recent/manifest.json"] = manifest(dump, Pass.RECENT, "another")
    dump["remaining/threads/part-1.jsonl"] = b"{\n"
    report = validated(dump, tmp_path)
    assert [error.code for error in report.failures] == ["invalid_manifest"]
    assert codes(report, Pass.REMAINING)["invalid_json"] == 1
    assert any("parents in the remaining pass" in text for text in report.not_checked)


@pytest.mark.parametrize(
    ("change", "code"),
    [({"bytes": 1}, "part_differs"), ({"sha256": 64 * "0"}, "part_differs"), ({"rows": 7}, "part_differs")],
    ids=["bytes", "sha256", "rows"],
)
def test_a_part_is_what_its_manifest_says(change: dict[str, Any], code: str, tmp_path: Path) -> None:
    """Size, checksum and number of records are compared where they are given."""
    dump = simple_dump()
    dump["recent/manifest.json"] = manifest(dump, Pass.RECENT, **change)
    assert {error.code for error in validated(dump, tmp_path).failures} == {code}


def test_children_of_a_part_that_cannot_be_read_are_no_orphans(tmp_path: Path) -> None:
    """A damaged part of threads is told of once, not again with each of its messages."""
    report = validated(
        {**with_files(simple_dump()), "recent/threads/part-0.jsonl.gz": b"no gzip", THREADS: b""}, tmp_path
    )
    assert [error.code for error in report.failures] == ["part_unreadable"]
    assert codes(report) == {}
    assert any("a part of its threads could not be read" in text for text in report.not_checked)


def test_an_account_document_that_is_none_is_told_of(tmp_path: Path) -> None:
    """As an import would refuse it."""
    report = validated({**simple_dump(), "account.json": b"{}"}, tmp_path)
    assert [error.code for error in report.failures] == ["invalid_account_json"]


def test_a_channel_has_a_brand_of_the_account(tmp_path: Path) -> None:
    """A channel of account.json names one of the brands there."""
    channels = [{"id": "c1", "brand_id": "b9"}]
    report = validated({**simple_dump(), "account.json": account_document(channels=channels)}, tmp_path)
    assert [error.code for error in report.failures] == ["invalid_account_json"]


def test_can_be_interrupted(tmp_path: Path) -> None:
    """Between two batches."""
    stop = threading.Event()
    stop.set()
    folder = write(simple_dump(), tmp_path)
    with pytest.raises(Interrupted):
        app.validate(Settings(), str(folder), ACCOUNT, observe=ignore, stop=stop)


# --- brands, parents, ids -----------------------------------------------------------------------------------------


def test_brands_that_account_json_does_not_name_are_not_checked(tmp_path: Path) -> None:
    """They may have been created otherwise."""
    report = validated({**with_files(simple_dump()), "account.json": b'{"id": "acme"}'}, tmp_path)
    assert report.rejected == 0
    assert report.not_checked == ["brands and channels: there is no account.json that names them"]


def test_orphans_of_orphans_are_found(tmp_path: Path) -> None:
    """A message without its thread is rejected, and so is the attachment of that message."""
    dump = {**with_files(simple_dump()), THREADS: lines(records(Entity.THREADS, 2, prefix="recent-"))}
    report = validated(dump, tmp_path)
    assert rejects(report) == [
        ("recent", "messages/part-0.jsonl", 3, "recent-m2", (("unknown_thread", "thread_id"),)),
        ("recent", "attachments/part-0.jsonl", 3, "recent-a2", (("unknown_message", "message_id"),)),
    ]


def test_parents_may_be_in_an_earlier_pass_only(tmp_path: Path) -> None:
    """The remaining pass may belong to the recent one, not the other way round."""
    thread, message = right(Entity.THREADS, id="t"), right(Entity.MESSAGES, thread_id="t")
    empty = {"account.json": account_document()}
    later = {"recent/threads/a.jsonl": lines([thread]), "remaining/messages/a.jsonl": lines([message])}
    earlier = {"remaining/threads/a.jsonl": lines([thread]), "recent/messages/a.jsonl": lines([message])}
    assert validated({**empty, **later}, tmp_path / "1").rejected == 0
    assert codes(validated({**empty, **earlier}, tmp_path / "2")) == {"unknown_thread": 1}


def test_half_a_dump_has_parents_elsewhere(tmp_path: Path) -> None:
    """Of a dump without its recent pass nobody knows whether parents are missing."""
    dump = {"account.json": account_document(), "remaining/messages/a.jsonl": lines([right(Entity.MESSAGES)])}
    report = validated(dump, tmp_path)
    assert report.rejected == 0
    assert "recent pass, which is not here" in report.not_checked[0]


def test_ids_that_occur_twice_are_named(tmp_path: Path) -> None:
    """Of the two halves, not of deltas, which repeat ids by their nature; they are no fault."""
    again = lines(records(Entity.THREADS, 1, prefix="recent-"))
    dump = {**with_files(simple_dump()), "remaining/threads/part-1.jsonl": again, "delta/threads/a.jsonl": 2 * again}
    report = validated(dump, tmp_path)
    assert report.repeated == {Entity.THREADS: (1, ["recent-t0"])}
    assert report.document()["valid"] is True


def test_deletions_are_weighed(tmp_path: Path) -> None:
    """A deletion takes a record away, is older than it, or names none; a child of what it took is held back."""
    tombstones = [
        deletion(Entity.THREADS, "recent-t0"),
        deletion(Entity.MESSAGES, "recent-m1", "2024-01-01T00:00:00Z"),
        deletion(Entity.THREADS, "nobody"),
        {"entity": "threads"},
    ]
    children = [right(Entity.MESSAGES, id=f"late-{id_}", thread_id=id_) for id_ in ("recent-t0", "nobody")]
    dump = {
        **with_files(simple_dump()),
        "recent/deletions/a.jsonl": lines(tombstones),
        "remaining/messages/late.jsonl": lines(children),
    }
    report = validated(dump, tmp_path)
    assert report.document()["deletions"] == {"effective": 1, "outdated": 1, "of_nothing": 1}
    assert codes(report) == {"missing_field": 1}
    assert codes(report, Pass.REMAINING) == {}


@pytest.mark.parametrize("rows_held", [1, 5, 1000])
def test_finds_the_same_however_much_it_holds_in_memory(
    rows_held: int, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """What does not fit lies on disk, and the answers stay the same."""
    monkeypatch.setattr(spill, "ROWS_HELD", rows_held)
    dump = with_files(simple_dump(12))
    dump[THREADS] = lines(records(Entity.THREADS, 9, prefix="recent-"))
    dump["remaining/threads/part-1.jsonl"] = lines(records(Entity.THREADS, 2, prefix="recent-"))
    report = validated(dump, tmp_path)
    assert codes(report) == {"unknown_message": 3, "unknown_thread": 3}
    assert report.repeated == {Entity.THREADS: (2, ["recent-t0", "recent-t1"])}


def test_shows_the_first_rejects_of_many(tmp_path: Path) -> None:
    """In the order of their places, whichever part is read first; the number counts all."""
    orphans = {f"recent/messages/p{part}.jsonl": lines(120 * [right(Entity.MESSAGES, thread_id="x")]) for part in "ba"}
    report = validated({"account.json": account_document(), **orphans}, tmp_path)
    assert codes(report) == {"unknown_thread": 240}
    assert [found[1:3] for found in rejects(report)] == [("messages/pa.jsonl", line) for line in range(1, 101)]


# --- files --------------------------------------------------------------------------------------------------------


def attachment(**fields: Any) -> Dump:
    """A dump with one attachment of these fields."""
    dump = with_files(simple_dump(1))
    dump[ATTACHMENTS] = lines([right(Entity.ATTACHMENTS, message_id="recent-m0", **fields)])
    return {**dump, "a.txt": b"abc", "files/b/c.txt": b"abcd"}


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"key": "files/note.txt", "size_bytes": 6}, None),
        ({"key": "files/note.txt", "size_bytes": 7}, "file_differs"),
        ({"key": "files/none.txt", "size_bytes": 7}, "file_missing"),
        ({"key": "a.txt", "size_bytes": 3}, None),
        ({"key": "a.txt", "size_bytes": 4}, "file_differs"),
        ({"key": "b.txt"}, "file_missing"),
        ({"key": "files/b/c.txt"}, None),
        ({"key": "files//b/./c.txt"}, None),
        ({"key": "files/b"}, "file_missing"),
        ({"key": None, "url": "https://example.org/a"}, None),
    ],
    ids=str,
)
def test_a_file_lies_at_its_key(fields: dict[str, Any], code: str | None, tmp_path: Path) -> None:
    """A file is there, as large as its record says."""
    report = validated(attachment(**fields), tmp_path)
    assert codes(report) == ({} if code is None else {code: 1})
    assert report.document()["passes"]["recent"]["counts"]["attachments"]["accepted"] == 1


def test_the_file_of_a_recording_lies_at_its_key(tmp_path: Path) -> None:
    """Below the source, as that of an attachment."""
    keys = ("files/note.txt", "files/call.ogg", "../call.ogg")
    calls = [
        right(Entity.MESSAGES, id=f"call-{key}", thread_id="recent-t0", kind="call", telephony={"recording_key": key})
        for key in keys
    ]
    report = validated({**with_files(simple_dump(1)), "recent/messages/calls.jsonl": lines(calls)}, tmp_path)
    assert [(found[3], found[4]) for found in rejects(report)] == [
        (f"call-{key}", (("file_missing", "telephony.recording_key"),)) for key in keys[1:]
    ]


def test_files_may_lie_in_very_many_folders(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Then the source is listed once as a whole."""
    monkeypatch.setattr(named_files, "MAX_FOLDERS", 1)
    dump = attachment(key="other/there.txt") | {"other/there.txt": b""}
    assert validated(dump, tmp_path).rejected == 0


def test_a_folder_that_nothing_is_read_from_is_named(tmp_path: Path) -> None:
    """A folder that should have been a pass shows."""
    dump = {**with_files(simple_dump()), "recents/threads/a.jsonl": b""}
    assert validated(dump, tmp_path).other_folders == ["recents"]
