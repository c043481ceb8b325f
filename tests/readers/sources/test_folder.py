"""What is peculiar to folders: links, pipes, names that are no text."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from s3import.core.errors import MigrationFailed, PartMissing, SourceChanged, SourceDenied, SourceMissing
from s3import.readers.sources.location import open_source
from tests.readers.sources.conftest import FolderPlace


def test_follows_links_within_the_dump(folder: FolderPlace) -> None:
    """A link to another file of the dump is that file."""
    folder.put("shared.jsonl", b"text")
    folder.put("recent/other")
    (folder.root / "recent/a").symlink_to(folder.root / "shared.jsonl")
    source = folder.source()
    stored = next(source.list("recent/a"))
    assert source.open(stored).read(10) == b"text"


def test_refuses_links_out_of_the_dump(folder: FolderPlace) -> None:
    """A link to a file outside is refused, by listing and by reading."""
    folder.put("recent/b")
    outside = folder.root.parent / "secret"
    outside.write_bytes(b"secret")
    (folder.root / "recent/a").symlink_to(outside)
    with pytest.raises(SourceDenied, match="leads out of"):
        list(folder.source().list("recent/"))
    with pytest.raises(SourceDenied, match="leads out of"):
        folder.source().read("recent/a")


def test_refuses_keys_that_climb_out(folder: FolderPlace) -> None:
    """A key with .. in it reaches nothing outside of the dump."""
    folder.put("recent/b")
    (folder.root.parent / "secret").write_bytes(b"secret")
    with pytest.raises(SourceDenied):
        folder.source().read("../secret")


def test_refuses_links_to_folders(folder: FolderPlace) -> None:
    """A folder that is a link is refused aloud, not passed over."""
    folder.put("elsewhere/a")
    folder.put("recent/b")
    (folder.root / "recent/threads").symlink_to(folder.root / "elsewhere")
    with pytest.raises(SourceDenied, match="no regular file"):
        list(folder.source().list("recent/"))


def test_refuses_pipes(folder: FolderPlace) -> None:
    """A named pipe is refused without waiting for a writer."""
    folder.put("recent/b")
    os.mkfifo(folder.root / "recent/a")
    with pytest.raises(SourceDenied, match="no regular file"):
        folder.source().read("recent/a")


def test_refuses_names_that_are_no_text(folder: FolderPlace) -> None:
    """A name that is not UTF-8 could not be stored or shown: it is refused, escaped."""
    folder.put("recent/b")
    (folder.root / "recent" / os.fsdecode(b"\xff.jsonl")).write_bytes(b"")
    with pytest.raises(MigrationFailed, match=r"\\xff\.jsonl' is not UTF-8; rename"):
        list(folder.source().list("recent/"))


def test_refuses_a_file_as_root(folder: FolderPlace) -> None:
    """A root that is a file is a wrong source, not an empty dump."""
    folder.root.write_bytes(b"")
    with pytest.raises(SourceMissing, match="is not a folder"):
        list(folder.source().list("recent/"))


def test_never_mixes_two_versions(folder: FolderPlace) -> None:
    """A file that is written to while it is read yields no byte of the later version."""
    folder.put("recent/a", b"0123456789")
    source = folder.source()
    (stored,) = source.list("recent/")
    with source.open(stored) as stream:
        assert stream.read(4) == b"0123"
        (folder.root / "recent/a").write_bytes(b"abcdefghijk")
        with pytest.raises(SourceChanged):
            stream.read(4)


def test_closes_what_it_refuses(folder: FolderPlace) -> None:
    """A refused file leaves no descriptor open."""
    folder.put("recent/a", b"1")
    source = folder.source()
    (stored,) = source.list("recent/")
    folder.put("recent/a", b"22")
    before = len(list(Path("/proc/self/fd").iterdir()))
    for _ in range(10):
        with pytest.raises(SourceChanged):
            source.open(stored)
    assert len(list(Path("/proc/self/fd").iterdir())) == before


def test_takes_a_name_too_long_for_what_is_not_there(folder: FolderPlace) -> None:
    """An account id may be longer than a file system's names can be: there is no dump of it."""
    assert list(open_source(folder.uri, "ü" * 255).list("recent/")) == []


def test_a_folder_is_no_document(folder: FolderPlace) -> None:
    """A folder where a document is expected is no document."""
    folder.put("account.json/x")
    assert folder.source().read("account.json") is None


def test_names_a_link_to_nothing(folder: FolderPlace) -> None:
    """A link whose file is gone is told, not passed over."""
    folder.put("recent/b")
    (folder.root / "recent/a").symlink_to(folder.root / "gone")
    with pytest.raises(PartMissing, match="recent/a is not there"):
        list(folder.source().list("recent/"))
