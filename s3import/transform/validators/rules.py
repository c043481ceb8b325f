"""What a record's fields must be, field by field: each rule yields the rows that break it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from posixpath import normpath

import pyarrow as pa
import pyarrow.compute as pc

from s3import.core.errors import RejectCode
from s3import.core.ids import CONTROL
from s3import.core.records import ID_FIELDS, MAX_ID_LENGTH, REQUIRED, VOCABULARY, Entity, Fault, Reason
from s3import.transform.validators.row_findings import BrokenRule, where
from s3import.transform.validators.text import byte_range

Columns = dict[str, pa.Array]

_RANGES = (rf"\x{{{first:x}}}-\x{{{last:x}}}" for first, last in CONTROL)
_CONTROL = f"[{''.join(_RANGES)}]"
WHOLE_NUMBERS = {"size_bytes": 2**63 - 1, "telephony.duration_seconds": 2**31 - 1}
"""The greatest that each may be; the least is 0."""
REQUIRED_WITHIN = {"custom_fields": "name"}
"""What each element of a list of objects must have."""
ONE_OF = {Entity.ATTACHMENTS: ("key", "url")}
"""Fields of which a record has exactly one."""

# A key is joined to the source's own path, on S3 and on a file system: what one of the two would take for a way out
# is refused on both. A backslash therefore counts as a separator, and a key of single dots and slashes names no file.
WAYS_OUT = (
    r"\A[/\\]"  # absolute
    r"|\A(?:\.?[/\\]+)*\.?\z"  # the source itself, or nothing
    r"|\A[A-Za-z][A-Za-z0-9+.-]*:[/\\]"  # a scheme, or a drive
    r"|\A(?:\.[/\\]+)*\.\.(?:[/\\]|\z)"  # a step up before any step down
)
"""What no `key` begins with. One that steps up later may still leave the source: then it is counted."""
_STEP_UP = r"(?:\A|[/\\])\.\.(?:[/\\]|\z)"


def broken_rules(columns: Columns, entity: Entity, account_id: str, faults: Iterable[Fault]) -> Iterator[BrokenRule]:
    """Every rule of the entity's fields but those of timestamps, with the rows that break it."""
    yield from _required(columns, entity)
    yield from _ids(columns, account_id)
    yield from _words(columns)
    yield from _whole_numbers(columns)
    if entity is Entity.THREADS:
        yield from _tags(columns["tags"])
        yield from _custom_fields(columns["custom_fields"])
    if entity in ONE_OF:
        key, url = ONE_OF[entity]
        yield from _location(columns[key], columns[url], [fault for fault in faults if fault.reason.field == url])


def _required(columns: Columns, entity: Entity) -> Iterator[BrokenRule]:
    for name in REQUIRED[entity]:
        if columns[name].null_count:  # known at once; small parts are many
            yield where(columns[name].is_null(), RejectCode.MISSING_FIELD, name, "is required")


def _ids(columns: Columns, account_id: str) -> Iterator[BrokenRule]:
    for name in sorted(ID_FIELDS & columns.keys() - {"account_id"}):
        yield _invalid_id(name, _not_an_id(columns[name]))
    column = columns.get("account_id")
    if column is None:
        return
    other = pc.not_equal(column, account_id)
    if pc.any(other).as_py():
        invalid = _not_an_id(column)
        yield _invalid_id("account_id", invalid)
        message = "is not the account being imported"
        yield where(pc.and_not(other, invalid), RejectCode.WRONG_ACCOUNT, "account_id", message)


def _invalid_id(name: str, wrong: pa.BooleanArray) -> BrokenRule:
    return where(
        wrong,
        RejectCode.INVALID_ID,
        name,
        f"must have 1 to {MAX_ID_LENGTH} characters, none of them control characters",
    )


def _not_an_id(column: pa.StringArray) -> pa.BooleanArray:
    """Which values are no ids. In printable ASCII, as ids mostly are, the number of bytes says it all."""
    lowest, highest = byte_range(column)
    if lowest >= ord(" ") and highest <= ord("~"):
        return _wrong_length(pc.binary_length(column))
    return pc.or_(_wrong_length(pc.utf8_length(column)), pc.match_substring_regex(column, _CONTROL))


def _wrong_length(lengths: pa.Array) -> pa.BooleanArray:
    return pc.or_(pc.less(lengths, 1), pc.greater(lengths, MAX_ID_LENGTH))


def _words(columns: Columns) -> Iterator[BrokenRule]:
    for field, words in VOCABULARY.items():
        column = _column(columns, field)
        if column is not None:
            wrong = pc.and_not(column.is_valid(), pc.is_in(column, pa.array(words)))
            yield where(wrong, RejectCode.INVALID_VALUE, field, f"must be one of {', '.join(words)}")


def _whole_numbers(columns: Columns) -> Iterator[BrokenRule]:
    for field, greatest in WHOLE_NUMBERS.items():
        column = _column(columns, field)
        if column is not None:
            wrong = pc.or_(pc.less(column, 0), pc.greater(column, greatest))
            yield where(wrong, RejectCode.INVALID_VALUE, field, f"must be a whole number from 0 to {greatest}")


def _column(columns: Columns, field: str) -> pa.Array | None:
    """The column of a dotted path; None where the entity has no such field."""
    parent, _, child = field.partition(".")
    column = columns.get(parent)
    return pc.struct_field(column, child) if column is not None and child else column


def _tags(column: pa.ListArray) -> Iterator[BrokenRule]:
    yield _in_elements(
        column,
        column.flatten().is_null(),
        Reason(RejectCode.WRONG_TYPE, "tags", "must hold strings, none of them null"),
    )


def _custom_fields(column: pa.ListArray) -> Iterator[BrokenRule]:
    elements = column.flatten()
    empty = elements.is_null()
    name = REQUIRED_WITHIN["custom_fields"]
    unnamed = pc.and_not(pc.struct_field(elements, name).is_null(), empty)
    message = "must hold objects, none of them null"
    yield _in_elements(column, empty, Reason(RejectCode.WRONG_TYPE, "custom_fields", message))
    message = "is required in every custom field"
    yield _in_elements(column, unnamed, Reason(RejectCode.MISSING_FIELD, f"custom_fields.{name}", message))


def _in_elements(column: pa.ListArray, wrong: pa.BooleanArray, reason: Reason) -> BrokenRule:
    return BrokenRule(pc.list_parent_indices(column).take(pc.indices_nonzero(wrong)), reason)


def _location(keys: pa.StringArray, urls: pa.StringArray, url_faults: list[Fault]) -> Iterator[BrokenRule]:
    """Exactly one of `key` and `url`, an empty string and a url that the reader refused being one too."""
    has_key, has_url = keys.is_valid(), urls.is_valid()
    if url_faults:
        faulty = pa.array(sorted({fault.row for fault in url_faults}), pa.int64())
        has_url = pc.or_(has_url, pc.is_in(pa.arange(0, len(has_url)), faulty))
    neither = pc.invert(pc.or_(has_key, has_url))
    yield where(neither, RejectCode.MISSING_FIELD, "key", "is required where there is no url")
    both = pc.and_(has_key, has_url)
    yield where(both, RejectCode.INVALID_VALUE, "key", "must not stand beside a url; give one of the two")
    yield where(_leaves_source(keys), RejectCode.INVALID_VALUE, "key", "must name a file within the source")


def _leaves_source(keys: pa.StringArray) -> pa.BooleanArray:
    leaves = pc.match_substring_regex(keys, WAYS_OUT)
    steps_up = pc.match_substring_regex(keys, _STEP_UP)
    if not pc.any(steps_up).as_py():
        return leaves
    inner = (
        normpath(key.replace("\\", "/")) if up else ""
        for key, up in zip(keys.to_pylist(), steps_up.to_pylist(), strict=True)
    )
    return pc.or_(leaves, pa.array([path == "." or path.split("/")[0] == ".." for path in inner]))


def leaves_source(key: str) -> bool:
    """Whether a key names no file within the source."""
    return bool(_leaves_source(pa.array([key]))[0].as_py())
