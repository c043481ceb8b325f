"""Files in a folder, safe from a power cut."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from s3import.files.file import Content
from s3import.files.folder_target import FolderTarget
from s3import.files.labels import label


def test_new_folders_are_on_the_disk_before_a_file_counts_as_stored(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each new folder's name, too, up to one that was there."""
    synced: list[str] = []
    sync = os.fsync

    def watched(descriptor: int) -> None:
        synced.append(str(Path(f"/proc/self/fd/{descriptor}").readlink()))
        sync(descriptor)

    monkeypatch.setattr(os, "fsync", watched)
    target = FolderTarget(tmp_path / "new" / "acme")
    target.put("attachments/a0/note.txt", Content(iter([b"hello"]), label("note.txt", None)))
    folders = ["", "new", "new/acme", "new/acme/attachments", "new/acme/attachments/a0"]
    assert [str(tmp_path / folder) for folder in folders] == [one for one in synced if ".unfinished" not in one]
    synced.clear()
    target.put("attachments/a0/other.txt", Content(iter([b"hello"]), label("other.txt", None)))
    assert len(synced) == 2
