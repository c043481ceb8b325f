"""Whatever type a Parquet writer chose for a field: the contract's value, or a fault of that row."""

from __future__ import annotations

import datetime as dt
import io
import json
import uuid
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from s3import.core.records import ROW_ENTITIES, SCHEMAS, TIMESTAMP, Batch, Entity, Position
from s3import.readers.formats.parquet import read_parquet
from s3import.transform.validators import check
from tests.records import ACCOUNT, right

THREADS, MESSAGES, ATTACHMENTS = ROW_ENTITIES
TEXT = pa.string()


def read(entity: Entity, field: str, column: pa.Array, **options: Any) -> Batch:
    """The batch of a file with just this column, which has gone through Parquet."""
    sink = io.BytesIO()
    pq.write_table(pa.table({field: column}), sink, **options)
    [batch] = read_parquet(sink, entity, Position(), object_name="part.parquet", batch_bytes=1 << 20)
    assert batch.records.select([field]).validate(full=True) is None
    return batch


def values(entity: Entity, field: str, column: pa.Array, **options: Any) -> list[Any]:
    """The column's values, none of which has a fault."""
    batch = read(entity, field, column, **options)
    assert batch.faults == ()
    return list(batch.records[field].to_pylist())


def faults(entity: Entity, field: str, column: pa.Array) -> list[tuple[int, str, str | None]]:
    """Rows, codes and fields of what could not be taken."""
    return [(fault.row, fault.reason.code, fault.reason.field) for fault in read(entity, field, column).faults]


# --- text -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "kind",
    [
        TEXT,
        pa.large_string(),
        pa.string_view(),
        pa.binary(),
        pa.large_binary(),
        pa.binary_view(),
        pa.dictionary(pa.int32(), TEXT),
        pa.dictionary(pa.int8(), pa.large_string()),
        pa.dictionary(pa.int32(), pa.binary()),
    ],
    ids=str,
)
def test_reads_text_of_any_type(kind: pa.DataType) -> None:
    """Text is text, however it is encoded or declared."""
    plain = pa.array(["ü", None, "", "a\x00b", "ü"])
    column = plain.dictionary_encode().cast(kind) if pa.types.is_dictionary(kind) else plain.cast(kind)
    assert values(THREADS, "subject", column) == ["ü", None, "", "a\x00b", "ü"]


def test_reads_text_of_fixed_size() -> None:
    """Binary of a fixed size is text too; a UUID is written as it usually is."""
    assert values(THREADS, "id", pa.array([b"ab", None], pa.binary(2))) == ["ab", None]
    given = [uuid.UUID(int=5), None, uuid.UUID(int=2**127)]
    column = pa.array([each and each.bytes for each in given], pa.uuid())
    assert values(THREADS, "id", column) == [each and str(each) for each in given]
    assert values(THREADS, "id", pa.array([None], pa.uuid())) == [None]


def test_reads_the_text_within_an_extension() -> None:
    """A logical type that only adds meaning to text is text, in a reject as well."""
    batch = read(THREADS, "subject", pa.array(["{}", None], pa.json_()))
    assert batch.records["subject"].to_pylist() == ["{}", None]
    assert batch.raw([0]) == [b'{"subject":"{}"}']


def test_shows_dictionaries_as_their_values() -> None:
    """A reject shows a value, not its number in a dictionary."""
    batch = read(THREADS, "subject", pa.array(["a", "b", "a"]).dictionary_encode())
    assert batch.raw([2, 1]) == [b'{"subject":"a"}', b'{"subject":"b"}']


@pytest.mark.parametrize("kind", [pa.binary(), TEXT, pa.large_binary()], ids=str)
def test_refuses_text_that_is_no_utf8(kind: pa.DataType) -> None:
    """Bytes that are no UTF-8 are a fault of their row; the other rows are read."""
    binary = pa.array([b"a", b"\xff\xfe", None, b"\xc3"], pa.large_binary())
    column = binary.cast(pa.binary()).view(TEXT) if kind == TEXT else binary.cast(kind)
    batch = read(THREADS, "subject", column)
    assert batch.records["subject"].to_pylist() == ["a", None, None, None]
    assert [(fault.row, fault.reason.code) for fault in batch.faults] == [(1, "invalid_utf8"), (3, "invalid_utf8")]
    assert json.loads(batch.raw([1])[0]) == {"subject": "\ufffd\ufffd"}


@pytest.mark.parametrize("noted", [True, False], ids=["dictionaries", "text"])
@pytest.mark.parametrize("kind", [TEXT, pa.large_string(), pa.binary(), pa.large_binary()], ids=str)
@pytest.mark.parametrize("nested", [False, True])
def test_refuses_values_of_a_dictionary_that_are_no_utf8(kind: pa.DataType, noted: bool, nested: bool) -> None:
    """They are a fault of each row that has one, as in any other column."""
    large = kind in (pa.large_string(), pa.large_binary())
    binary = pa.array([b"a", b"\xff\xfe", b"\xc3"], pa.large_binary() if large else pa.binary())
    indices = pa.array([0, 1, None, 2, 1], pa.int32())
    column: pa.Array = pa.DictionaryArray.from_arrays(indices, binary.view(kind))
    field, entity = ("telephony", MESSAGES) if nested else ("subject", THREADS)
    if nested:
        column = pa.StructArray.from_arrays([column], ["transcript"])
    batch = read(entity, field, column, store_schema=noted)
    found = batch.records[field].to_pylist()
    assert [one["transcript"] if nested else one for one in found] == ["a", None, None, None, None]
    codes = [(fault.row, fault.reason.code) for fault in batch.faults]
    assert codes == [(row, "invalid_utf8") for row in (1, 3, 4)]
    shown = json.loads(batch.raw([1])[0])[field]
    assert (shown["transcript"] if nested else shown) == "\ufffd\ufffd"


@pytest.mark.parametrize(
    "column",
    [
        pa.array([1, None]),
        pa.array([True, None]),
        pa.array([1.5, None]),
        pa.array([dt.date(2024, 1, 1), None]),
        pa.array([["a"], None]),
        pa.array([{"a": "b"}, None]),
        pa.array([Decimal("1.5"), None]),
    ],
    ids=lambda column: str(column.type),
)
def test_refuses_what_is_no_text(column: pa.Array) -> None:
    """A column of another type is a fault of every row in which it is not null."""
    assert faults(THREADS, "subject", column) == [(0, "wrong_type", "subject")]


def test_reads_a_column_without_a_type() -> None:
    """A column of nothing but nulls may have no type at all."""
    for entity, field in [(THREADS, "subject"), (THREADS, "tags"), (THREADS, "customer"), (ATTACHMENTS, "size_bytes")]:
        assert values(entity, field, pa.nulls(2)) == [None, None]


# --- timestamps -----------------------------------------------------------------------------------------------------

INSTANT = dt.datetime(2024, 5, 6, 7, 8, 9, tzinfo=dt.UTC)


@pytest.mark.parametrize("zone", [None, "UTC", "Europe/Berlin", "+05:30"])
@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
def test_reads_timestamps_of_any_unit(unit: str, zone: str | None) -> None:
    """A timestamp is an instant, whatever its unit and its zone; without a zone it is in UTC."""
    column = pa.array([int(INSTANT.timestamp()), None]).cast(pa.timestamp("s", zone)).cast(pa.timestamp(unit, zone))
    assert values(THREADS, "created_at", column) == [INSTANT, None]


def test_cuts_nanoseconds() -> None:
    """Digits finer than a microsecond are cut, not rounded."""
    column = pa.array([1_999, 1_000_000_999], pa.timestamp("ns"))
    assert [each.microsecond for each in values(THREADS, "created_at", column)] == [1, 0]


def test_reads_int96() -> None:
    """The old encoding of timestamps is read too, without wrapping around in the year 2262."""
    column = pa.array([INSTANT, dt.datetime(2300, 1, 1, tzinfo=dt.UTC)], TIMESTAMP)
    found = values(THREADS, "created_at", column, use_deprecated_int96_timestamps=True)
    assert found[0] == INSTANT
    assert found[1].year >= 2200


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
def test_leaves_wrong_years_to_the_validators(unit: str) -> None:
    """An instant outside of 1970 to 2199 stays outside, up to the ends of what the unit holds."""
    first = {"s": 7_258_118_400, "ms": 7_258_118_400_000, "us": 7_258_118_400_000_000, "ns": 7_258_118_400_000_000_000}
    ticks = [0, -1, -(2**63) + 1, 2**63 - 1, first[unit], first[unit] - 1]
    kind = pa.timestamp(unit, "UTC")
    # Seconds become milliseconds in Parquet, so the ends of seconds are those of milliseconds.
    bounds = 2**63 // 1000 - 1 if unit == "s" else 2**63 - 1
    column = pa.array([max(-bounds, min(bounds, tick)) for tick in ticks]).cast(kind)
    table = pa.Table.from_pylist([right(THREADS)] * 6).drop("created_at").append_column("created_at", column)
    sink = io.BytesIO()
    pq.write_table(table, sink)
    [batch] = read_parquet(sink, THREADS, Position(), object_name="p", batch_bytes=1 << 20)
    checked = check(batch, THREADS, ACCOUNT)
    assert checked.rows.to_pylist() == [0, 5]
    assert {reason.code for reject in checked.rejects for reason in reject.reasons} == {"invalid_timestamp"}


def test_leaves_timestamps_as_text_to_the_validators() -> None:
    """Timestamps as strings are delivered as they stand."""
    assert values(THREADS, "created_at", pa.array(["2024-05-06T07:08:09Z", "x"])) == ["2024-05-06T07:08:09Z", "x"]


@pytest.mark.parametrize("column", [pa.array([dt.date(2024, 1, 1)]), pa.array([1]), pa.array([dt.time(1)])], ids=str)
def test_refuses_what_is_no_instant(column: pa.Array) -> None:
    """A date, a number or a time of day is no timestamp."""
    assert faults(THREADS, "updated_at", column) == [(0, "wrong_type", "updated_at")]


def test_shows_timestamps_that_python_has_not() -> None:
    """A reject shows its instant with all digits, in years that are wrong too."""
    batch = read(THREADS, "created_at", pa.array([1, 2**62], pa.timestamp("ns", "Europe/Berlin")))
    assert json.loads(batch.raw([0])[0]) == {"created_at": "1970-01-01T00:00:00.000000001Z"}
    assert batch.raw([1])[0].startswith(b'{"created_at":"2116-')


# --- whole numbers --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "kind",
    [
        *(pa.int8(), pa.int16(), pa.int32(), pa.int64(), pa.uint8(), pa.uint16(), pa.uint32(), pa.uint64()),
        *(pa.float16(), pa.float32(), pa.float64()),
        *(pa.decimal128(20, 0), pa.decimal128(20, 4), pa.decimal256(50, 2)),
    ],
    ids=str,
)
def test_reads_whole_numbers_of_any_type(kind: pa.DataType) -> None:
    """A whole number is one, whatever its width and however it is written."""
    whole = [Decimal(7), None, Decimal(0)]
    column = pa.array(whole, kind) if pa.types.is_decimal(kind) else pa.array([7, None, 0]).cast(kind)
    assert values(ATTACHMENTS, "size_bytes", column) == [7, None, 0]


@pytest.mark.parametrize(
    ("column", "code"),
    [
        (pa.array([1, 2**63], pa.uint64()), "invalid_value"),
        (pa.array([1.0, 1.5]), "wrong_type"),
        (pa.array([1.0, float("nan")]), "wrong_type"),
        (pa.array([1.0, float("inf")]), "wrong_type"),
        (pa.array([1.0, 1e300]), "invalid_value"),
        (pa.array([Decimal("1.00"), Decimal("1.01")]), "wrong_type"),
        (pa.array([Decimal(1), Decimal(10**30)]), "invalid_value"),
    ],
    ids=str,
)
def test_refuses_numbers_that_are_not_whole_or_too_large(column: pa.Array, code: str) -> None:
    """Only the row with the wrong number has a fault."""
    batch = read(ATTACHMENTS, "size_bytes", column)
    assert [(fault.row, fault.reason.code) for fault in batch.faults] == [(1, code)]
    assert batch.records["size_bytes"].to_pylist() == [1, None]
    assert batch.raw([1])[0].startswith(b"{")


@pytest.mark.parametrize("column", [pa.array([True, None]), pa.array(["1", None]), pa.array([[1], None])], ids=str)
def test_refuses_what_is_no_number(column: pa.Array) -> None:
    """Text, truth and lists are no numbers."""
    assert faults(ATTACHMENTS, "size_bytes", column) == [(0, "wrong_type", "size_bytes")]


# --- lists and objects ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "kind",
    [
        pa.list_(TEXT),
        pa.large_list(pa.large_string()),
        pa.list_view(TEXT),
        pa.large_list_view(TEXT),
        pa.list_(pa.binary()),
    ],
    ids=str,
)
def test_reads_lists_of_any_type(kind: pa.DataType) -> None:
    """A list of text is one, whatever its layout; null, empty and null within stay apart."""
    lists = [["a", "b"], None, [], [None, "c"]]
    binary = [each and [text and text.encode() for text in each] for each in lists]
    column = pa.array(binary if pa.types.is_binary(kind.value_type) else lists, kind)
    assert values(THREADS, "tags", column) == lists


def test_reads_lists_of_fixed_size_and_of_dictionaries() -> None:
    """Rarer layouts are lists as well."""
    assert values(THREADS, "tags", pa.array([["a"], None, ["b"]], pa.list_(TEXT, 1))) == [["a"], None, ["b"]]
    encoded = pa.ListArray.from_arrays([0, 2, 3], pa.array(["a", "b", "a"]).dictionary_encode())
    assert values(THREADS, "tags", encoded) == [["a", "b"], ["a"]]


def test_refuses_elements_that_are_no_text() -> None:
    """Each row with such an element has one fault; a list without elements is right in any type."""
    assert faults(THREADS, "tags", pa.array([[], None, [1, 2], [3]])) == [
        (2, "wrong_type", "tags"),
        (3, "wrong_type", "tags"),
    ]
    assert faults(THREADS, "tags", pa.array([[b"a"], [b"\xff", b"\xff"]])) == [(1, "invalid_utf8", "tags")]
    assert faults(THREADS, "tags", pa.array(["a", None])) == [(0, "wrong_type", "tags")]


@pytest.mark.parametrize("key", [TEXT, pa.binary()], ids=str)
def test_reads_custom_fields_from_a_map(key: pa.DataType) -> None:
    """A map of names to values is a list of custom fields."""
    names = [b"n", b"m"] if key == pa.binary() else ["n", "m"]
    column = pa.array([[(names[0], "v"), (names[1], None)], None, []], pa.map_(key, TEXT))
    pairs = [{"name": "n", "value": "v"}, {"name": "m", "value": None}]
    assert values(THREADS, "custom_fields", column) == [pairs, None, []]


def test_refuses_custom_fields_of_other_types() -> None:
    """A custom field is an object of two texts; each row that has another has its fault."""
    assert faults(THREADS, "custom_fields", pa.array([["a"], None])) == [(0, "wrong_type", "custom_fields")]
    assert faults(THREADS, "custom_fields", pa.array([[{"name": "n", "value": 5}], [{"name": "n"}]])) == [
        (0, "wrong_type", "custom_fields.value")
    ]
    assert faults(THREADS, "tags", pa.array([[("a", "b")]], pa.map_(TEXT, TEXT))) == [(0, "wrong_type", "tags")]


def test_reads_objects_of_any_types() -> None:
    """The fields of an object are read like columns of their own."""
    call = {"duration_seconds": 5.0, "from": b"+1", "call_id": None}
    [found, nothing] = values(MESSAGES, "telephony", pa.array([call, None]))
    assert {name: value for name, value in found.items() if value is not None} == {"duration_seconds": 5, "from": "+1"}
    assert nothing is None


def test_refuses_what_is_no_object() -> None:
    """A flat column is no object, and a field of an object may be wrong on its own."""
    assert faults(THREADS, "customer", pa.array(["Ann", None])) == [(0, "wrong_type", "customer")]
    assert faults(THREADS, "customer", pa.array([[{"id": "u"}], None])) == [(0, "wrong_type", "customer")]
    assert faults(MESSAGES, "telephony", pa.array([{"duration_seconds": 1.5}, {"duration_seconds": 2.0}])) == [
        (0, "wrong_type", "telephony.duration_seconds")
    ]


# --- any record -----------------------------------------------------------------------------------------------------

WORDS = st.text(st.characters(codec="utf-8"), max_size=4) | st.none()
ANY_THREAD = st.fixed_dictionaries(
    {
        "id": WORDS,
        "tags": st.lists(WORDS, max_size=3) | st.none(),
        "custom_fields": st.lists(st.fixed_dictionaries({"name": WORDS, "value": WORDS}), max_size=2) | st.none(),
        "customer": st.fixed_dictionaries(dict.fromkeys(("id", "name", "email", "phone"), WORDS)) | st.none(),
    }
)


@given(st.lists(ANY_THREAD, min_size=1, max_size=8), st.integers(1, 8), st.integers(0, 7))
def test_any_records_survive(threads: list[dict[str, Any]], row_group_size: int, start: int) -> None:
    """Records written with the contract's own types come back as they were, from any row on."""
    sink = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(threads, schema=SCHEMAS[THREADS]), sink, row_group_size=row_group_size)
    batches = read_parquet(sink, THREADS, Position(start, start), object_name="p", batch_bytes=1 << 20)
    found = [record for batch in batches for record in batch.records.select(list(threads[0])).to_pylist()]
    assert found == threads[start:]
