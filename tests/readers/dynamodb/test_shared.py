"""An export that is read for several accounts is read once, and gives each what it gives alone."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import pytest

from s3import.core.errors import MigrationFailed
from s3import.core.records import Batch, Entity, Pass, PlannedPart, Position, StoredObject
from s3import.readers.dynamodb.export import ExportSource
from s3import.readers.dynamodb.mapping import parse_mapping
from s3import.readers.dynamodb.shared import Sharing
from s3import.readers.sources.folder import FolderSource
from tests.readers.dynamodb.exports import write_export, write_files
from tests.readers.dynamodb.items import MAPPING, lines, mapping, message, thread

ACCOUNTS = ("acme", "other", "third")


class Counting(FolderSource):
    """A folder that notes which objects are opened."""

    def __init__(self, root: Path) -> None:
        super().__init__(str(root))
        self.opened: list[str] = []

    def open(self, stored: StoredObject, offset: int = 0) -> BinaryIO:
        self.opened.append(stored.key)
        return super().open(stored, offset)


@pytest.fixture
def exports(tmp_path: Path) -> Path:
    """Messages of four accounts in one file, and lines that nobody can read."""
    folder = tmp_path / "exports"
    for table in ("threads", "attachments"):
        write_export(folder, table, [])
    items = [message(n, account=(*ACCOUNTS, "nobody")[n * 7 // 3 % 4], body="x" * (n % 50)) for n in range(400)]
    text = lines(*items[:200]) + b"nonsense\n\n" + lines(*items[200:], {"odd": {"S": "item"}})
    write_files(folder, "messages", [text], export_id="01")
    return folder


@pytest.fixture
def sharing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Sharing:
    """Files are sorted in small blocks."""
    monkeypatch.setattr("s3import.readers.dynamodb.export.BLOCK_BYTES", 3000)
    (tmp_path / "shared").mkdir()
    return Sharing(str(tmp_path / "shared"), frozenset(ACCOUNTS))


def batches(
    stored: FolderSource, account: str, sharing: Sharing | None, start: Position = Position()
) -> Iterator[Batch]:
    source = ExportSource(stored, mapping(), account, recent_days=30, sharing=sharing)
    [part] = source.plan(Pass.RECENT).parts
    whole = PlannedPart(part.entity, part.key, part.stored)
    return source.read_part(whole, start, 4000)


def rows(found: list[Batch]) -> list[tuple[int, str | None, bytes]]:
    return [
        row
        for batch in found
        for row in zip(
            batch.lines.to_pylist(), batch.records["id"].to_pylist(), batch.raw(range(len(batch.lines))), strict=True
        )
    ]


def faults(found: list[Batch]) -> list[tuple[int, str]]:
    return [(batch.lines[fault.row].as_py(), fault.reason.code) for batch in found for fault in batch.faults]


@pytest.mark.parametrize("account", ACCOUNTS)
def test_each_account_gets_what_it_gets_alone(exports: Path, sharing: Sharing, account: str) -> None:
    """The same records with the same lines, text and faults."""
    alone = list(batches(FolderSource(str(exports)), account, None))
    shared = list(batches(FolderSource(str(exports)), account, sharing))
    assert rows(shared) == rows(alone)
    assert faults(shared) == faults(alone) == [(201, "invalid_json")]
    assert shared[-1].last
    assert shared[-1].end == alone[-1].end


def test_a_file_is_read_once(exports: Path, sharing: Sharing) -> None:
    """However many accounts and passes ask, a data file is opened once (twice with its checksum)."""
    stored = Counting(exports)
    for account in ACCOUNTS * 2:
        list(batches(stored, account, sharing))
    assert len([key for key in stored.opened if "/data/" in key]) == 2


def test_one_way_goes_on_where_the_other_was(exports: Path, sharing: Sharing) -> None:
    """A place of one way of reading is one of the other: nothing twice, nothing missing."""
    alone = list(batches(FolderSource(str(exports)), "acme", None))
    whole = rows(alone)
    middle = alone[len(alone) // 2]
    rest = list(batches(FolderSource(str(exports)), "acme", sharing, middle.end))
    assert rows(rest) == [row for row in whole if row[0] > middle.end.line]


def test_two_keys_of_one_attribute(tmp_path: Path, sharing: Sharing) -> None:
    """Entities whose accounts' keys are spelt differently in one attribute of one table are told apart."""
    text = MAPPING.replace('value = "{account}"', 'value = "T#{account}"').replace(
        'table = "threads"', 'table = "messages"'
    )
    known = parse_mapping(text, "m")
    threads = [thread(n, account=f"T#{ACCOUNTS[n % 2]}") for n in range(4)]
    write_export(tmp_path, "messages", [[*threads, *(message(n, account=ACCOUNTS[n % 2]) for n in range(6))]])
    source = ExportSource(FolderSource(str(tmp_path)), known, "other", recent_days=30, sharing=sharing)
    [file] = [export.files[0] for export in source._exports]
    found = [source._read(entity, file, Position(), 4000) for entity in (Entity.THREADS, Entity.MESSAGES)]
    read = [[id_ for batch in each for id_ in batch.records["id"].to_pylist()] for each in found]
    assert read == [["t1", "t3"], ["m1", "m3", "m5"]]


def test_all_accounts_are_found(exports: Path, tmp_path: Path) -> None:
    """Who has items in an export is found while its lines are sorted, and each of them is then read from there."""
    (tmp_path / "all").mkdir()
    everybody = Sharing(str(tmp_path / "all"))
    stored = Counting(exports)
    source = ExportSource(stored, mapping(), "anybody", recent_days=30)
    assert source.accounts(everybody) == {"acme", "other", "third", "nobody"}
    for account in (*ACCOUNTS, "nobody"):
        alone = list(batches(FolderSource(str(exports)), account, None))
        assert rows(list(batches(stored, account, everybody))) == rows(alone)
    assert len([key for key in stored.opened if "/data/" in key]) == 2


def test_an_account_of_odd_items_is_found(tmp_path: Path) -> None:
    """One whose items all hold half a character is among all accounts too."""
    (tmp_path / "all").mkdir()
    text = lines(message(1, body="X")).replace(b'"X"', rb'"\ud800"')
    write_export(tmp_path, "threads", [])
    write_export(tmp_path, "attachments", [])
    write_files(tmp_path, "messages", [text], export_id="odd")
    source = ExportSource(FolderSource(str(tmp_path)), mapping(), "anybody", recent_days=30)
    assert source.accounts(Sharing(str(tmp_path / "all"))) == {"acme"}


def test_a_folder_without_room(exports: Path, sharing: Sharing, monkeypatch: pytest.MonkeyPatch) -> None:
    """A full TMPDIR is said to be full, and what to set."""

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("s3import.readers.dynamodb.shared._append", full)
    with pytest.raises(MigrationFailed, match=r"no room for the items .* set TMPDIR"):
        list(batches(FolderSource(str(exports)), "acme", sharing))


def test_who_did_not_come_to_the_end_is_replaced(exports: Path, sharing: Sharing) -> None:
    """What an interrupted reading left is made anew."""
    shared = list(batches(FolderSource(str(exports)), "acme", sharing))
    for done in Path(sharing.folder).glob("*/done"):
        done.unlink()
    assert rows(list(batches(FolderSource(str(exports)), "acme", sharing))) == rows(shared)
