"""An export to S3 as a source: what it consists of, what is checked, and which pass an item belongs to."""

from __future__ import annotations

import datetime as dt
import gzip
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from s3import.core.errors import (
    DumpNotFound,
    InvalidManifest,
    MigrationFailed,
    PartDiffers,
    PartMissing,
    PartUnreadable,
)
from s3import.core.records import Batch, Entity, Pass, Position, Window
from s3import.readers.dump.account_document import read_account_document
from s3import.readers.dynamodb.export import ExportSource
from s3import.readers.dynamodb.mapping import parse_mapping
from s3import.readers.sources.folder import FolderSource
from tests.readers.dynamodb.exports import call_empty, digest, write_export, write_files
from tests.readers.dynamodb.items import MAPPING, attachment, lines, mapping, message, thread

SINCE = dt.datetime(2026, 9, 1, tzinfo=dt.UTC)
WINDOW = Window(Pass.RECENT, SINCE, SINCE + dt.timedelta(days=30))
OLD_TEXT, OLD_MILLISECONDS = "2026-08-01T00:00:00Z", 1785000000000
NEW_TEXT, NEW_MILLISECONDS = "2026-09-21T14:13:20Z", 1790000000000


def source(root: Path, account: str = "acme", files: Path | None = None) -> ExportSource:
    beside = FolderSource(str(files)) if files else None
    return ExportSource(FolderSource(str(root)), mapping(), account, recent_days=30, companion=beside)


def write(root: Path, threads: Any = (), messages: Any = (), attachments: Any = ()) -> None:
    """A full export of each of the three tables, each in two files."""
    tables = {"threads": threads, "messages": messages, "attachments": attachments}
    for table, items in tables.items():
        write_export(root, table, [items[::2], items[1::2]])


def batches(export: ExportSource, pass_: Pass, entity: Entity, block_bytes: int = 1 << 20) -> Iterable[Batch]:
    for part in export.plan(pass_, lambda: WINDOW).parts:
        if part.entity is entity:
            yield from export.read_part(part, Position(), block_bytes)


def ids(export: ExportSource, pass_: Pass, entity: Entity) -> list[str]:
    return sorted(id_ for batch in batches(export, pass_, entity) for id_ in batch.records["id"].to_pylist())


def test_an_export_without_its_summary(tmp_path: Path) -> None:
    """One that is under way, or was copied in part, is listed among what was skipped."""
    write(tmp_path, threads=[thread(1)])
    folder = write_export(tmp_path, "threads", [[thread(2)]], export_id="another")
    (folder / "manifest-summary.json").unlink()
    [skipped] = source(tmp_path).plan(Pass.RECENT, lambda: WINDOW).skipped_objects
    assert skipped.startswith("AWSDynamoDB/threads-another: an export without manifest-summary.json")


def test_an_account_of_several(tmp_path: Path) -> None:
    """Of a table only the account's items are read, whatever file they lie in."""
    write(tmp_path, messages=[message(n, account=("acme", "other")[n % 3 == 0]) for n in range(7)])
    assert ids(source(tmp_path), Pass.RECENT, Entity.MESSAGES) == ["m1", "m2", "m4", "m5"]


def test_each_item_is_in_one_pass(tmp_path: Path) -> None:
    """Older items remain; a parent is recent with its child, and one without a time remains."""
    write(
        tmp_path,
        threads=[thread(1, created=OLD_TEXT), thread(2, created=OLD_TEXT), thread(3), thread(4, created="noon")],
        messages=[
            message(1, thread="t1"),
            message(2, thread="t2", created=OLD_MILLISECONDS),
            message(3, thread="t5", created=OLD_MILLISECONDS),
        ],
        attachments=[attachment(1, message="m3"), attachment(2, message="m2", created=OLD_TEXT)],
    )
    export = source(tmp_path)
    recent = {entity: ids(export, Pass.RECENT, entity) for entity in tuple(Entity)[:3]}
    remaining = {entity: ids(export, Pass.REMAINING, entity) for entity in tuple(Entity)[:3]}
    assert recent == {Entity.THREADS: ["t1", "t3"], Entity.MESSAGES: ["m1", "m3"], Entity.ATTACHMENTS: ["a1"]}
    assert remaining == {Entity.THREADS: ["t2", "t4"], Entity.MESSAGES: ["m2"], Entity.ATTACHMENTS: ["a2"]}


def test_the_window_is_remembered(tmp_path: Path) -> None:
    """A part carries its window, as text too."""
    write(tmp_path, messages=[message()])
    [part] = source(tmp_path).plan(Pass.REMAINING, lambda: WINDOW).parts
    assert part.window == Window(Pass.REMAINING, WINDOW.since, WINDOW.until)
    assert Window.parse(str(part.window)) == part.window


def test_reading_goes_on_where_it_was(tmp_path: Path) -> None:
    """From the end of any batch the same batches follow, in any process."""
    write(tmp_path, messages=[message(n, body="x" * 100) for n in range(60)])
    [part, _] = source(tmp_path).plan(Pass.RECENT, lambda: WINDOW).parts
    whole = list(source(tmp_path).read_part(part, Position(), 1000))
    again = list(source(tmp_path).read_part(part, whole[2].end, 1000))
    assert [batch.records for batch in again] == [batch.records for batch in whole[3:]]
    assert [batch.end for batch in again] == [batch.end for batch in whole[3:]]


def test_an_unreadable_line_is_rejected_once(tmp_path: Path) -> None:
    """What is no item at all belongs to the first entity of its table, in the remaining pass, with its line."""
    write_files(tmp_path, "threads", [lines(thread(1)) + b"nonsense\n"], export_id="01")
    for table in ("messages", "attachments"):
        write_export(tmp_path, table, [])
    export = source(tmp_path)
    assert ids(export, Pass.RECENT, Entity.THREADS) == ["t1"]
    [batch] = batches(export, Pass.REMAINING, Entity.THREADS)
    assert [fault.reason.code for fault in batch.faults] == ["invalid_json"]
    assert batch.lines.to_pylist() == [2]
    assert batch.raw([0]) == [b"nonsense"]


def test_an_account_without_any_item(tmp_path: Path) -> None:
    """An account of which an export has no item is not there; one thread makes it one that is."""
    write(
        tmp_path, threads=[thread(1, account="other"), thread(2, account="third")], messages=[message(account="other")]
    )
    with pytest.raises(DumpNotFound, match="no item of account acme, in the exports at"):
        ids(source(tmp_path), Pass.RECENT, Entity.THREADS)
    assert ids(source(tmp_path, "third"), Pass.RECENT, Entity.THREADS) == ["t2"]


def _damage_data(folder: Path) -> None:
    [file] = folder.glob("data/*")
    file.write_bytes(file.read_bytes()[:-4] + b"\0\0\0\0")


def _change_manifest(name: str, before: bytes, after: bytes) -> Any:
    def change(folder: Path) -> None:
        text = (folder / name).read_bytes()
        assert before in text
        (folder / name).write_bytes(text.replace(before, after))

    return change


@pytest.mark.parametrize(
    ("damage", "error", "complaint"),
    [
        (_damage_data, PartDiffers, "md5 of .*; copy the export again as a whole, then"),
        (_change_manifest("manifest-summary.json", b'"itemCount":1', b'"itemCount":2'), PartDiffers, "summary.md5"),
        (_change_manifest("manifest-files.json", b'"itemCount":1', b'"itemCount":2'), PartDiffers, "files.md5"),
        (lambda folder: (folder / "manifest-files.json").unlink(), PartMissing, "manifest-files.json"),
        (lambda folder: [f.unlink() for f in folder.glob("data/*")], PartMissing, "0000.json.gz"),
        (lambda folder: (folder / "manifest-summary.json").unlink(), DumpNotFound, "no full export of the table"),
    ],
)
def test_damage_is_found_before_a_row_is_used(
    tmp_path: Path, damage: Any, error: type[MigrationFailed], complaint: str
) -> None:
    """Checksums of manifests and of data files hold before anything is handed out; the message names the object."""
    for table in ("threads", "attachments"):
        write_export(tmp_path, table, [])
    damage(write_export(tmp_path, "messages", [[message()]]))
    with pytest.raises(error, match=complaint):
        ids(source(tmp_path), Pass.RECENT, Entity.MESSAGES)


def test_the_number_of_items_is_held_against_the_manifest(tmp_path: Path) -> None:
    """A file with another number of items than its manifest says fails before its end."""
    folder = write_files(tmp_path, "threads", [lines(thread(1), thread(2))], export_id="01", itemCount=3)
    for table in ("messages", "attachments"):
        write_export(tmp_path, table, [])
    with pytest.raises(InvalidManifest, match="says 3 items"):
        ids(source(tmp_path), Pass.RECENT, Entity.THREADS)
    (folder / "manifest-files.md5").unlink()
    _change_manifest("manifest-files.json", b'"itemCount":2', b'"itemCount":3')(folder)
    with pytest.raises(PartDiffers, match="holds 2 items, its manifest says 3"):
        ids(source(tmp_path), Pass.RECENT, Entity.THREADS)


def test_a_file_that_is_called_empty(tmp_path: Path) -> None:
    """A data file that holds items though its manifest says that it is empty is not passed over."""
    write(tmp_path, threads=[thread(1)], messages=[message(1)])
    call_empty(next(tmp_path.rglob("messages-*")))
    with pytest.raises(PartDiffers, match="holds 1 items, its manifest says 0"):
        ids(source(tmp_path), Pass.RECENT, Entity.MESSAGES)


def test_an_export_of_nothing(tmp_path: Path) -> None:
    """Where all files are empty there is no item of the account either."""
    write(tmp_path)
    with pytest.raises(DumpNotFound, match="no item of account acme"):
        source(tmp_path).plan(Pass.RECENT)


@pytest.mark.parametrize(("account", "found"), [("4711", ["t1"]), ("04711", None), ("4711.0", None), ("acme", None)])
def test_keys_that_are_numbers(tmp_path: Path, account: str, found: list[str] | None) -> None:
    """An account whose id is not how DynamoDB writes a number has no items under a key of numbers."""
    text = MAPPING.replace('value = "{account}" }', 'value = "{account}", number = true }')
    known = parse_mapping(text, "m")
    known = replace(known, entities=known.entities[:1])
    write_export(tmp_path, "threads", [[thread(1, account={"N": "4711"}), thread(2, account={"S": "04711"})]])
    export = ExportSource(FolderSource(str(tmp_path)), known, account, recent_days=30)
    if found:
        assert ids(export, Pass.RECENT, Entity.THREADS) == found
    else:
        with pytest.raises(DumpNotFound, match=f"{account} is not how DynamoDB writes a number"):
            ids(export, Pass.RECENT, Entity.THREADS)


def test_ion_is_refused(tmp_path: Path) -> None:
    """An export in Ion is refused by name, with what to do."""
    write_export(tmp_path, "messages", [], outputFormat="ION")
    with pytest.raises(InvalidManifest, match="is in ION, which is not read; export the table again"):
        source(tmp_path).plan(Pass.RECENT)


def test_two_full_exports_of_a_table(tmp_path: Path) -> None:
    """Which of two is meant is never guessed."""
    write(tmp_path)
    write_export(tmp_path, "messages", [], export_id="02")
    with pytest.raises(InvalidManifest, match="more than one full export of the table messages"):
        source(tmp_path).plan(Pass.RECENT)


def test_a_file_that_is_no_gzip(tmp_path: Path) -> None:
    """A file that cannot be decompressed fails, named, although its checksum is right."""
    write(tmp_path, messages=[message()])
    [file] = (tmp_path / "AWSDynamoDB").glob("messages-*/data/*0.json.gz")
    text = file.read_bytes()[:-8]
    manifest = file.parent.parent / "manifest-files.json"
    manifest.write_bytes(manifest.read_bytes().replace(digest(file.read_bytes()).encode(), digest(text).encode()))
    manifest.with_suffix(".md5").unlink()
    file.write_bytes(text)
    with pytest.raises(PartUnreadable, match=r"0000\.json\.gz"):
        ids(source(tmp_path), Pass.RECENT, Entity.MESSAGES)


@pytest.mark.parametrize("keeps_its_name", [True, False])
def test_a_file_that_was_unpacked(tmp_path: Path, keeps_its_name: bool) -> None:
    """Another name does not help: whoever unpacked it copies the export again."""
    write(tmp_path, messages=[message()])
    [file] = (tmp_path / "AWSDynamoDB").glob("messages-*/data/*0.json.gz")
    text = gzip.decompress(file.read_bytes())
    if keeps_its_name:
        manifest = file.parent.parent / "manifest-files.json"
        manifest.write_bytes(manifest.read_bytes().replace(digest(file.read_bytes()).encode(), digest(text).encode()))
        manifest.with_suffix(".md5").unlink()
        file.write_bytes(text)
    else:
        file.with_suffix("").write_bytes(text)
        file.unlink()
    with pytest.raises((PartUnreadable, PartMissing), match=r"0000\.json.*; [^;]*copy the export again as a whole"):
        ids(source(tmp_path), Pass.RECENT, Entity.MESSAGES)


def test_the_account_document_lies_beside(tmp_path: Path) -> None:
    """account.json comes from where the mapping says, or from nowhere."""
    (tmp_path / "account.json").write_text('{"id": "acme", "name": "Acme"}')
    assert read_account_document(source(tmp_path).companion, "acme") is None
    document = read_account_document(source(tmp_path, files=tmp_path).companion, "acme")
    assert document is not None
    assert document.name == "Acme"
