"""Parts are read in one way, whatever kind of dump they belong to."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from s3import.core.errors import PartDiffers
from s3import.core.records import Entity, Pass, PlannedPart, StoredObject
from s3import.readers.dump.objects import open_dump
from s3import.readers.dynamodb.export import ExportSource
from s3import.readers.reading import CheckedBatch, read_checked, require_expected_rows
from s3import.readers.sources.folder import FolderSource
from s3import.readers.sources.source import DumpSource
from tests.readers.dynamodb.exports import write_export
from tests.readers.dynamodb.items import mapping, message
from tests.records import right

LINES = 20


def dump_of_objects(folder: Path) -> DumpSource:
    """Messages m0, m1, … in a file of lines."""
    path = folder / "recent" / "messages" / "a.jsonl"
    path.parent.mkdir(parents=True)
    path.write_text("".join(json.dumps(right(Entity.MESSAGES, id=f"m{n}")) + "\n" for n in range(LINES)))
    return open_dump(str(folder), "acme")


def dump_of_items(folder: Path) -> DumpSource:
    """The same messages in an export of a table."""
    for table in ("threads", "attachments"):
        write_export(folder, table, [])
    write_export(folder, "messages", [[message(n) for n in range(LINES)]])
    return ExportSource(FolderSource(str(folder)), mapping(), "acme", recent_days=30)


def batches(source: DumpSource, part: PlannedPart) -> list[CheckedBatch]:
    return list(read_checked(source, part, "acme", block_bytes=700))


@pytest.mark.parametrize("dump", [dump_of_objects, dump_of_items])
def test_any_dump_gives_checked_batches(dump: Callable[[Path], DumpSource], tmp_path: Path) -> None:
    """Records come checked, bytes are counted once, and reading goes on behind any batch."""
    source = dump(tmp_path)
    [part] = (one for one in source.plan(Pass.RECENT).parts if one.entity is Entity.MESSAGES)
    whole = PlannedPart(part.entity, part.key, part.stored)  # of whatever pass
    found = batches(source, whole)
    assert len(found) > 2
    assert [id_ for one in found for id_ in one.checked.accepted["id"].to_pylist()] == [f"m{n}" for n in range(LINES)]
    assert sum(one.new_bytes for one in found) == part.stored.size_bytes
    rest = list(read_checked(source, whole, "acme", block_bytes=700, start=found[1].batch.end))
    assert [one.batch.end for one in rest] == [one.batch.end for one in found[2:]]


def test_too_few_or_too_many_records_are_a_fault() -> None:
    """A part that holds another number of records than its manifest says is not taken for whole."""
    stored = StoredObject("recent/threads/a.jsonl", 1, "1")
    require_expected_rows(Pass.RECENT, PlannedPart(Entity.THREADS, "threads/a.jsonl", stored), 7)
    with pytest.raises(PartDiffers, match=r"recent/threads/a\.jsonl holds 7 records, its manifest says 8"):
        require_expected_rows(Pass.RECENT, PlannedPart(Entity.THREADS, "threads/a.jsonl", stored, 8), 7)
