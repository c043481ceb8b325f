"""An export that is read for several accounts is read once, and gives each what it gives alone."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import pytest

from s3import.readers import read_part
from s3import.readers.dump import plan_pass
from s3import.readers.folder import FolderSource
from s3import.readers.items.export import ExportSource
from s3import.readers.items.shared import Sharing
from s3import.records import Batch, Pass, PlannedPart, Position, StoredObject
from tests.items.exports import write_export, write_files
from tests.items.items import lines, mapping, message

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
    items = [message(n, account=(*ACCOUNTS, "nobody")[n * n % 4], body="x" * (n % 50)) for n in range(400)]
    text = lines(*items[:200]) + b"nonsense\n\n" + lines(*items[200:], {"odd": {"S": "item"}})
    write_files(folder, "messages", [text], export_id="01")
    return folder


@pytest.fixture
def sharing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Sharing:
    """Files are sorted in small blocks."""
    monkeypatch.setattr("s3import.readers.items.export.BLOCK_BYTES", 3000)
    (tmp_path / "shared").mkdir()
    return Sharing(str(tmp_path / "shared"), ACCOUNTS)


def batches(
    stored: FolderSource, account: str, sharing: Sharing | None, start: Position = Position()
) -> Iterator[Batch]:
    source = ExportSource(stored, mapping(), account, recent_days=30, sharing=sharing)
    [part] = plan_pass(source, account, Pass.RECENT).parts
    whole = PlannedPart(part.entity, part.key, part.stored)
    return read_part(source, whole, start, block_bytes=4000)


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


def test_who_did_not_come_to_the_end_is_replaced(exports: Path, sharing: Sharing) -> None:
    """What an interrupted reading left is made anew."""
    shared = list(batches(FolderSource(str(exports)), "acme", sharing))
    for done in Path(sharing.folder).glob("*/done"):
        done.unlink()
    assert rows(list(batches(FolderSource(str(exports)), "acme", sharing))) == rows(shared)
