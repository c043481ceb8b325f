"""What AWS's *Export to S3* wrote: exports found by their manifests, checked, with the files that make them up."""

from __future__ import annotations

import base64
import binascii
import datetime as dt
import hashlib
import posixpath
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from s3import.core.errors import InvalidManifest, PartDiffers, PartMissing
from s3import.core.records import StoredObject
from s3import.readers.formats.documents import Node
from s3import.readers.sources.checksum import Checksum
from s3import.readers.sources.source import Source

COPY_AGAIN = "copy the export again as a whole"
SUMMARY, FILES, STARTED = "manifest-summary.json", "manifest-files.json", "_started"
CHECKSUMS = (".md5", ".checksum")  # as it is, and as it is documented
JSON_FORMAT = "DYNAMODB_JSON"
BOTH_IMAGES = "NEW_AND_OLD_IMAGES"
VIEWS = ("NEW_IMAGE", BOTH_IMAGES)
EMPTY_GZIP_BYTES = 20


@dataclass(frozen=True, slots=True)
class ExportedFile:
    """One file of an export, and what the manifest says of it."""

    stored: StoredObject
    item_count: int
    checksum: Checksum

    @property
    def may_have_items(self) -> bool:
        """Whether it must be read: where it is called empty it is, only if it has no room for any."""
        return self.item_count > 0 or self.stored.size_bytes > EMPTY_GZIP_BYTES


@dataclass(frozen=True, slots=True)
class Export:
    """One export. A full one holds the table at `until`, an incremental one what was written from `since` to `until`;
    `key` is that of its summary; `tells_old`: of each item that was there before a write, it has how that was."""

    key: str
    table_name: str
    since: dt.datetime | None
    until: dt.datetime
    files: tuple[ExportedFile, ...]
    tells_old: bool = False


@dataclass(frozen=True, slots=True)
class FoundExports:
    """The complete exports below a source in the order of time, and the folders of those that lack their summary."""

    exports: tuple[Export, ...]
    incomplete: tuple[str, ...]


def find_exports(source: Source) -> FoundExports:
    """Every export below the source.

    Raises: InvalidManifest, PartMissing, PartDiffers, naming the document; what `source` raises.
    """
    listing = {stored.key: stored for stored in source.list("")}
    summaries = [key for key in listing if posixpath.basename(key) == SUMMARY]
    exports = sorted((_export(source, listing, key) for key in summaries), key=lambda one: (one.until, one.key))
    incomplete = {folder for key in listing if (folder := _folder(key)) is not None} - set(map(_folder, summaries))
    return FoundExports(tuple(exports), tuple(sorted(incomplete)))


def _folder(key: str) -> str | None:
    """The folder of the export that an object is part of; None where its name does not tell that. What AWS writes
    beside these folders, the data of all incremental exports, is none."""
    found = re.match(r"(.*/)?AWSDynamoDB/(?!data/)[^/]+(?=/)", key)
    if found:
        return found[0]
    return posixpath.dirname(key) if posixpath.basename(key) in (SUMMARY, FILES, STARTED) else None


def windows_after(exports: Iterable[Export], table_name: str, full: Export | None) -> tuple[Export, ...]:
    """A table's incremental exports that begin where the full one ends or later reach (all, without one), in the order
    of time: what was written before it is in it."""
    mine = (export for export in exports if export.table_name == table_name and export.since is not None)
    return tuple(export for export in mine if full is None or export.until > full.until)


def gaps_between(full: Export | None, windows: Iterable[Export]) -> Iterator[tuple[dt.datetime, dt.datetime]]:
    """The times that no window covers, from the end of the full export (else of the first window) on."""
    covered = full.until if full else None
    for export in windows:
        if covered is not None and export.since is not None and export.since > covered:
            yield covered, export.since
        covered = max(export.until, covered) if covered is not None else export.until


def _export(source: Source, listing: Mapping[str, StoredObject], key: str) -> Export:
    summary = Node.parse(_checked_document(source, listing, key), f"{source.uri}: {key}", InvalidManifest)
    if summary.text("outputFormat") not in (JSON_FORMAT, None):
        raise InvalidManifest(
            f"{summary.document}: the export is in {summary.text('outputFormat')}, which is not read; export the table "
            f"again with --export-format {JSON_FORMAT}"
        )
    since, until = _instant(summary, "exportFromTime"), _instant(summary, "exportToTime", "exportTime")
    if until is None:
        raise summary.fault("exportTime", "is missing")
    view = summary.text("outputView")
    if since is not None and view not in (None, *VIEWS):
        raise InvalidManifest(
            f"{summary.document}: the export has {view}, by which a write without images looks like a deletion; export "
            f"the table again with {BOTH_IMAGES}"
        )
    table_name = summary.required_text("tableArn").rpartition("table/")[2]
    files = tuple(_files(source, listing, key, summary))
    return Export(key, table_name, since, until, files, view == BOTH_IMAGES)


def _files(source: Source, listing: Mapping[str, StoredObject], key: str, summary: Node) -> Iterator[ExportedFile]:
    folder = posixpath.dirname(key)
    files_key = posixpath.join(folder, FILES)
    text = _checked_document(source, listing, files_key)
    written_in = posixpath.dirname(summary.text("manifestFilesS3Key") or "")
    total = 0
    for number, line in enumerate(filter(None, text.split(b"\n")), 1):
        node = Node.parse(line, f"{source.uri}: {files_key}, line {number}", InvalidManifest)
        count = node.count("itemCount") or 0
        total += count
        yield ExportedFile(_stored(node, listing, folder, written_in), count, _md5(node))
    if total != summary.count("itemCount"):
        raise InvalidManifest(
            f"{summary.document} says {summary.count('itemCount')} items, {FILES} {total} in all; copy the export "
            "again as a whole"
        )


def _stored(node: Node, listing: Mapping[str, StoredObject], folder: str, written_in: str) -> StoredObject:
    """The file where it lies now: an export may have been copied elsewhere, as a whole."""
    written = node.required_text("dataFileS3Key")
    relative = posixpath.relpath(f"/{written}", f"/{written_in}")
    key = posixpath.normpath(posixpath.join(folder, relative))
    if key not in listing:
        unpacked = key.removesuffix(".gz")
        remedy = "put it there, or point --source at the folder that holds the whole export"
        if unpacked in listing:
            remedy = f"{unpacked} is there, unpacked, which is not read: {COPY_AGAIN}"
        raise PartMissing(f"{node.document} names {written}, which is not there as {key}; {remedy}")
    return listing[key]


def _md5(node: Node) -> Checksum:
    try:
        digest = base64.b64decode(node.required_text("md5Checksum"), validate=True)
    except binascii.Error as error:
        raise node.fault("md5Checksum", "must be an MD5 in base64") from error
    return Checksum("md5", digest.hex(), COPY_AGAIN)


def _checked_document(source: Source, listing: Mapping[str, StoredObject], key: str) -> bytes:
    """A manifest, held against its checksum where there is one."""
    text = source.read(key) if key in listing else None
    if text is None:
        raise PartMissing(f"{source.uri}: {key} is not there; {COPY_AGAIN}")
    for stem in {key, key.removesuffix(".json")}:
        for ending in CHECKSUMS:
            said = source.read(stem + ending) if stem + ending in listing else None
            if said is not None and said.strip() not in _digests(text):
                raise PartDiffers(f"{source.uri}: {key} is not what {stem}{ending} says; copy the export again")
    return text


def _digests(text: bytes) -> Iterable[bytes]:
    digest = hashlib.md5(text, usedforsecurity=False).digest()
    return base64.b64encode(digest), digest.hex().encode()


def _instant(node: Node, *names: str) -> dt.datetime | None:
    for name in names:
        text = node.text(name)
        if text is not None:
            try:
                instant = dt.datetime.fromisoformat(text)
            except ValueError:
                raise node.fault(name, "must be an RFC 3339 timestamp") from None
            return instant if instant.tzinfo else instant.replace(tzinfo=dt.UTC)
    return None
