"""A wrong checksum is found before the first byte is used, a right one costs no second look."""

from __future__ import annotations

import hashlib
import tempfile
from pathlib import Path

import pytest

from s3import.core.errors import MigrationFailed, PartDiffers, SourceChanged
from s3import.core.records import Entity, PlannedPart
from s3import.readers.sources.checksum import open_part
from s3import.readers.sources.source import Source
from tests.readers.sources.conftest import BucketPlace, FolderPlace, Place

BODY = b"one\ntwo\n" * 1000
SHA256 = hashlib.sha256(BODY).hexdigest()


def part(source: Source, sha256: str | None) -> PlannedPart:
    (stored,) = source.list("recent/threads/")
    return PlannedPart(Entity.THREADS, "threads/a.jsonl", stored, expected_sha256=sha256)


@pytest.mark.parametrize("sha256", [None, SHA256])
def test_reads_a_right_part(place: Place, sha256: str | None) -> None:
    """With a right checksum, or none, the part is there from any offset and as a random file."""
    place.put("recent/threads/a.jsonl", BODY)
    source = place.source()
    with open_part(source, part(source, sha256), 5) as stream:
        assert b"".join(iter(lambda: stream.read(3000), b"")) == BODY[5:]
    with open_part(source, part(source, sha256), random=True) as file:
        file.seek(-4, 2)
        assert file.read(10) == BODY[-4:]


def test_finds_a_wrong_part_before_it_is_read(place: Place) -> None:
    """With a wrong checksum there is no stream at all, and the message gives both."""
    place.put("recent/threads/a.jsonl", BODY)
    source = place.source()
    with pytest.raises(PartDiffers, match=f"threads/a.jsonl is {SHA256}, the manifest says 000"):
        open_part(source, part(source, "0" * 64))


def test_finds_an_object_replaced_since_it_was_planned(place: Place) -> None:
    """An object of another version is not taken for one with a wrong checksum."""
    place.put("recent/threads/a.jsonl", BODY)
    source = place.source()
    planned = part(source, SHA256)
    place.put("recent/threads/a.jsonl", BODY + b"x")
    with pytest.raises(SourceChanged):
        open_part(source, planned)


def test_a_folder_needs_no_copy(folder: FolderPlace, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file of a folder is hashed where it lies."""
    folder.put("recent/threads/a.jsonl", BODY)
    monkeypatch.setattr(tempfile, "TemporaryFile", None)
    source = folder.source()
    assert open_part(source, part(source, SHA256)).read(3) == b"one"


def test_says_where_the_room_ran_out(bucket: BucketPlace, monkeypatch: pytest.MonkeyPatch) -> None:
    """A full temporary folder is named, with the setting that gives another."""
    bucket.put("recent/threads/a.jsonl", BODY)
    source = bucket.source()
    monkeypatch.setattr(tempfile, "TemporaryFile", lambda: Path("/dev/full").open("r+b", buffering=0))  # noqa: SIM115
    with pytest.raises(MigrationFailed, match="set TMPDIR"):
        open_part(source, part(source, SHA256))
