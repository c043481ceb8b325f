"""Whatever the bytes, both paths tell the same story, and every line that is not blank is one row of it."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from s3import.core.records import SCHEMAS, Entity
from tests.readers.formats.reading import read, seen

NAMES = ["id", "tags", "customer", "custom_fields", "status", "created_at", "author", "telephony", "name", "value"]
NAMES += ["type", "size_bytes", "duration_seconds", "x", "", "\0"]

any_text = st.text(st.characters(codec=None), max_size=8)  # lone surrogates included
scalars = st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats() | any_text
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(NAMES) | any_text, inner, max_size=4),
    max_leaves=8,
)
texts = st.text(max_size=12)
customers = st.fixed_dictionaries({}, optional=dict.fromkeys(("id", "name", "email", "x"), st.none() | texts))
custom_fields = st.lists(st.fixed_dictionaries({"name": texts}, optional={"value": st.none() | texts}), max_size=3)
good_threads = st.fixed_dictionaries(
    {"id": texts, "status": texts},
    optional={"tags": st.lists(texts, max_size=3), "customer": customers, "custom_fields": custom_fields},
)
odd_records = st.dictionaries(st.sampled_from(NAMES), values, max_size=5)
line_ends = st.sampled_from([b"\n", b"\n", b"\n", b"\r\n", b"\n\n", b" \n", b"\r", b""])
tokens = st.sampled_from([b"1", b'"id"', b"null", b"NaN", b"{}", b'{"id":"a"}', b"\xef\xbb\xbf"])
fragments = tokens | st.sampled_from(
    [b"{", b"}", b"[", b"]", b'"', b":", b",", b"\n", b"\r", b" ", b"\x0b", b"\\", b"\\u", b"\\ud800", b"\0", b"\xff"]
)


@st.composite
def damaged_lines(draw: st.DrawFn) -> bytes:
    """The JSON of a record, sometimes with bytes cut out of it or put into it."""
    record: dict[str, Any] = draw(good_threads | odd_records)
    line = json.dumps(
        record, ensure_ascii=draw(st.booleans()), separators=draw(st.sampled_from([(",", ":"), (", ", ": ")]))
    )
    text = line.encode("utf-8", "surrogatepass")
    if draw(st.integers(0, 3)):
        return text
    at = draw(st.integers(0, len(text)))
    return text[:at] + draw(fragments) + text[at + draw(st.integers(0, 3)) :]


parts = st.lists(st.tuples(damaged_lines(), line_ends), max_size=6).map(lambda lines: b"".join(map(b"".join, lines)))


def _same_on_both_paths(text: bytes, entity: Entity, block_bytes: int) -> None:
    fast = read(text, entity, block_bytes=block_bytes)
    careful = read(text, entity, block_bytes=block_bytes, careful=True)
    assert seen(fast, entity) == seen(careful, entity)
    assert [batch.faults for batch in fast] == [batch.faults for batch in careful]
    for one, other in zip(fast, careful, strict=True):
        rows = range(len(one.lines))
        assert (one.start, one.end, one.raw(rows)) == (other.start, other.end, other.raw(rows))


@given(st.lists(fragments | st.binary(max_size=4), max_size=40).map(b"".join), st.integers(1, 60))
def test_any_bytes_read_the_same_on_both_paths(text: bytes, block_bytes: int) -> None:
    """Bytes of any kind become rows, and never anything else, on either path."""
    _same_on_both_paths(text, Entity.THREADS, block_bytes)


@given(parts, st.sampled_from(Entity), st.sampled_from([40, 1 << 20]))
def test_damaged_records_read_the_same_on_both_paths(text: bytes, entity: Entity, block_bytes: int) -> None:
    """Records good, odd and damaged, side by side, are judged alike on either path."""
    _same_on_both_paths(text, entity, block_bytes)


@given(parts)
def test_every_line_that_is_not_blank_is_one_row(text: bytes) -> None:
    """Nothing is dropped and nothing comes twice: the rows are the lines, in order."""
    text = text.removeprefix(b"\xef\xbb\xbf")
    batches = read(text, block_bytes=100)
    raw = [line for batch in batches for line in batch.raw(range(len(batch.lines)))]
    assert raw == [line.removesuffix(b"\r") for line in text.split(b"\n") if line.strip()]


@given(st.lists(good_threads, min_size=1, max_size=5))
def test_good_records_come_through_as_they_are(records: list[dict[str, Any]]) -> None:
    """What was written is what is read."""
    (batch,) = read(b"".join(json.dumps(record).encode() + b"\n" for record in records))
    assert batch.faults == ()
    for row, record in zip(batch.records.to_pylist(), records, strict=True):
        assert {name: row[name] for name in ("id", "status")} == {name: record[name] for name in ("id", "status")}
        assert row["tags"] == record.get("tags")
        assert row["customer"] == _with_nulls(record.get("customer"), "customer")


def _with_nulls(members: dict[str, Any] | None, column: str) -> dict[str, Any] | None:
    names = [member.name for member in SCHEMAS[Entity.THREADS].field(column).type]
    return None if members is None else {name: members.get(name) for name in names}
