"""Ids and what names them, in bounded memory: children without a parent, ids that occur twice, files without an object.

All of it lies in spills by the range of a key, so that each question is answered range by range.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice

import pyarrow as pa
import pyarrow.compute as pc

from s3import.core.records import TEXT, TIMESTAMP, StoredObject, one_array
from s3import.operations.spill import Spill, spans
from s3import.transform.fingerprints import key_ranges_of

OBJECTS_AT_ONCE = 10_000

KNOWN = pa.schema(
    [("key_range", pa.int16()), ("id", TEXT), ("at", TIMESTAMP), ("is_record", pa.bool_()), ("is_half", pa.bool_())]
)
"""An id that children may name. `at`: what decides which version is newer; `is_record`: else only a deletion names it;
`is_half`: whether it is in one of the two halves of the dump."""

CHILDREN = pa.schema(
    [
        ("key_range", pa.int16()),
        ("parent", TEXT),
        ("id", TEXT),
        ("at", TIMESTAMP),
        ("file_key", TEXT),
        ("file_bytes", pa.int64()),
        ("part", pa.int32()),
        ("line", pa.int64()),
    ]
)
"""A right record, by the range of its parent's id; `file_key`, `file_bytes`: what it says of a file."""

FILES = pa.schema(
    [
        ("key_range", pa.int16()),
        ("file_key", TEXT),
        ("file_bytes", pa.int64()),
        ("id", TEXT),
        ("place", pa.int8()),
        ("part", pa.int32()),
        ("line", pa.int64()),
    ]
)
"""A file that a record names; `place`: which pass and entity, as whoever adds it numbers them."""

OBJECTS = pa.schema([("key_range", pa.int16()), ("file_key", TEXT), ("size_bytes", pa.int64())])
"""An object of the source."""


def known(ids: pa.Array, at: pa.Array, *, is_record: bool, is_half: bool) -> pa.Table:
    """Rows of `KNOWN`."""
    words = [pa.repeat(word, len(ids)) for word in (is_record, is_half)]
    return pa.table([key_ranges_of(ids), ids, at, *words], schema=KNOWN)


def divided(children: Spill, parents: Spill) -> Iterator[tuple[pa.Table, pa.Table]]:
    """The children with a parent and those without one, range by range."""
    for span in spans(children, parents):
        rows = children.rows(*span)
        has_parent = pc.is_in(rows["parent"], one_array(parents.rows(*span)["id"]))
        yield rows.filter(has_parent), rows.filter(pc.invert(has_parent))


def repeated(ids: Spill, most: int) -> tuple[int, list[str]]:
    """How many ids stand for more than one record of the two halves, and the first of them, at most `most`."""
    number, first = 0, list[str]()
    for span in spans(ids):
        rows = ids.rows(*span).filter(pc.field("is_record") & pc.field("is_half"))
        counted = rows.group_by("id").aggregate([([], "count_all")])
        found = counted.filter(pc.field("count_all") > 1)["id"]
        number += len(found)
        first = sorted([*first, *found.to_pylist()])[:most] if len(found) else first
    return number, first


def newest(ids: Spill, span: tuple[int, int]) -> pa.Table:
    """Of a span of ids each that is a record's once, with the instant ``at_max`` of its newest version."""
    return ids.rows(*span).filter(pc.field("is_record")).group_by("id").aggregate([("at", "max")])


def objects(stored: Iterable[StoredObject]) -> Spill:
    """The objects of a listing."""
    spill, listing = Spill(OBJECTS), iter(stored)
    while page := list(islice(listing, OBJECTS_AT_ONCE)):
        keys = pa.array([one.key for one in page], TEXT)
        spill.add(pa.table([key_ranges_of(keys), keys, [one.size_bytes for one in page]], schema=OBJECTS))
    return spill


def absent_and_different(files: Spill, listed: Spill) -> Iterator[tuple[pa.Table, pa.Table]]:
    """The files without an object and those whose object has another size (``size_bytes``), range by range."""
    for span in spans(files, listed):
        rows = files.rows(*span)
        found = rows.join(listed.rows(*span).select(["file_key", "size_bytes"]), "file_key", join_type="left outer")
        absent = pc.field("size_bytes").is_null()
        yield found.filter(absent), found.filter(~absent & (pc.field("size_bytes") != pc.field("file_bytes")))
