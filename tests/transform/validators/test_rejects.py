"""How a reject shows the record that was set aside."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from s3import.core.records import MAX_RAW_BYTES, Entity, Reason, Reject
from s3import.transform.validators import make_rejects
from tests.records import batch_of

REASON = Reason("invalid_json", None, "is no JSON")


def reject(raw: bytes, record_id: str | None = None) -> Reject:
    """The reject of a row with this text and id."""
    [only] = make_rejects(batch_of(Entity.THREADS, [{"id": record_id}], raw=[raw]), {0: [REASON]})
    return only


def test_keeps_the_text_as_it_was() -> None:
    """Text that can be stored is kept to the letter."""
    assert reject("{ü}".encode()) == Reject(1, None, (REASON,), "{ü}", False)


def test_shows_what_cannot_be_stored() -> None:
    """U+FFFD stands for NUL and for bytes that are no UTF-8."""
    assert reject(b"a\x00\xffb").raw == "a\ufffd\ufffdb"


@pytest.mark.parametrize(
    ("size", "cut"), [(MAX_RAW_BYTES, False), (MAX_RAW_BYTES + 1, True), (10 * MAX_RAW_BYTES, True)]
)
def test_keeps_64_kib(size: int, cut: bool) -> None:
    """Longer text is cut, and says so."""
    only = reject(b"x" * size)
    assert (len(only.raw), only.raw_truncated) == (MAX_RAW_BYTES, cut)


def test_cuts_between_characters() -> None:
    """No character is cut in two."""
    assert reject("é".encode() * MAX_RAW_BYTES).raw == "é" * (MAX_RAW_BYTES // 2)
    assert reject(b"x" + "é".encode() * MAX_RAW_BYTES).raw == "x" + "é" * (MAX_RAW_BYTES // 2 - 1)


@pytest.mark.parametrize(("given", "shown"), [("k1", "k1"), (None, None), ("a\x00", "a\ufffd"), ("é" * 300, "é" * 255)])
def test_shows_the_id(given: str | None, shown: str | None) -> None:
    """The id is shown where there is one, as far as an id may go."""
    assert reject(b"", given).id == shown


def test_keeps_the_order_of_the_rows() -> None:
    """Rejects come in the order of their lines, each with its own text and reasons."""
    batch = batch_of(Entity.THREADS, [{"id": str(row)} for row in range(4)])
    other = Reason("missing_field", "id", "is required")
    rejects = make_rejects(batch, {3: [REASON], 1: [other, REASON]})
    assert [(each.line, each.id, each.reasons) for each in rejects] == [(2, "1", (other, REASON)), (4, "3", (REASON,))]


def test_asks_for_no_text_where_nothing_is_wrong() -> None:
    """A batch without rejects never looks for its raw text."""
    assert make_rejects(batch_of(Entity.THREADS, [{}], raw=[]), {}) == []


@given(st.binary(max_size=50), st.integers(0, 3))
def test_any_bytes_can_be_stored(text: bytes, repeated: int) -> None:
    """Whatever a line held, what is kept is valid UTF-8 without NUL and within its bound."""
    only = reject(text * 10_000**repeated if len(text) * 10_000**repeated < 10**6 else text)
    assert "\x00" not in only.raw
    assert len(only.raw.encode()) <= MAX_RAW_BYTES
