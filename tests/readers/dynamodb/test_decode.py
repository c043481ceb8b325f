"""Items become records in the same way by columns and line by line: every case goes through both."""

from __future__ import annotations

import datetime as dt
import io
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from s3import.core.records import Batch, Entity, Position
from s3import.readers.dynamodb.decode import read_items
from s3import.readers.dynamodb.mapping import parse_mapping
from s3import.readers.dynamodb.selection import Selection
from s3import.transform.validators import check
from tests.readers.dynamodb.items import MAPPING, attachment, lines, mapping, message, read, thread

NOON = dt.datetime(2026, 9, 21, 14, 13, 20, tzinfo=dt.UTC)


@pytest.fixture(params=["columns", "lines"])
def careful(request: pytest.FixtureRequest) -> bool:
    return bool(request.param == "lines")


def first(batch: Batch) -> dict[str, Any]:
    record: dict[str, Any] = batch.records.to_pylist()[0]
    return record


def reasons(batch: Batch) -> list[tuple[str, str | None]]:
    return [(fault.reason.code, fault.reason.field) for fault in batch.faults]


def test_a_whole_item(careful: bool) -> None:
    """Paths, constants, templates, words, prefixes and times each give their field."""
    call = {"id": "c9", "seconds": 42}
    batch = read(lines(message(updated=1790000000.5, call=call, body="Hi")), careful=careful)
    assert not batch.faults
    record = first(batch)
    assert (record["id"], record["account_id"], record["kind"], record["direction"]) == (
        "m1",
        "acme",
        "email",
        "inbound",
    )
    assert record["created_at"] == NOON
    assert record["updated_at"] == NOON + dt.timedelta(milliseconds=500)
    assert record["telephony"]["duration_seconds"] == 42
    assert record["telephony"]["recording_key"] == "calls/acme/c9.mp3"
    assert record["author"] is None


def test_others_are_left_out(careful: bool) -> None:
    """Items of other accounts, other entities and other shapes are passed over, and lines keep their numbers."""
    others = [message(account="other"), message(sort="T#1"), message(sort=5), {"foo": {"S": "bar"}}]
    batch = read(lines(*others, message(7)), careful=careful)
    assert batch.records["id"].to_pylist() == ["m7"]
    assert batch.lines.to_pylist() == [5]
    assert batch.end.line == 5


@pytest.mark.parametrize(
    "tags", [{"SS": ["a", "b"]}, {"L": [{"S": "a"}, {"S": "b"}]}, {"L": [{"S": "a"}, {"NULL": True}]}, {"NS": ["1"]}]
)
def test_lists_of_texts(tags: dict[str, Any], careful: bool) -> None:
    """Sets of texts and of numbers and lists of scalars become a list of texts."""
    [given] = tags.values()
    expected = [one if isinstance(one, str) else one.get("S") for one in given]
    assert first(read(lines(thread(tags=tags)), Entity.THREADS, careful=careful))["tags"] == expected


@pytest.mark.parametrize("kind", ["SS", "NS"])
def test_sets_have_one_order(kind: str, careful: bool) -> None:
    """A set, which has no order of its own, is by its texts, whatever order it came in; a list stays as it is."""
    sets = [["2", "1", "é", "10"], ["é", "10", "2", "1"]] if kind == "SS" else [["2", "1", "10"], ["10", "2", "1"]]
    tags: list[dict[str, Any]] = [{kind: sets[0]}, {"NULL": True}, {kind: sets[1]}]
    batch = read(lines(*(thread(tags=one) for one in tags)), Entity.THREADS, careful=careful)
    one, none, other = batch.records["tags"].to_pylist()
    assert (one, none, other) == (sorted(sets[0]), None, sorted(sets[0]))
    listed = thread(tags={"L": [{"S": "b"}, {"S": "a"}]})
    assert first(read(lines(listed), Entity.THREADS, careful=careful))["tags"] == ["b", "a"]


@pytest.mark.parametrize(
    "custom",
    [
        {"M": {"plan": {"S": "gold"}, "none": {"NULL": True}, "seats": {"N": "5"}}},
        {"M": {"seats": {"N": "5"}, "plan": {"S": "gold"}, "none": {"NULL": True}}},
        {
            "L": [
                {"M": {"name": {"S": "none"}}},
                {"M": {"name": {"S": "plan"}, "value": {"S": "gold"}}},
                {"M": {"name": {"S": "seats"}, "value": {"N": "5"}}},
            ]
        },
    ],
)
def test_custom_fields(custom: dict[str, Any], careful: bool) -> None:
    """A map, by its names, and a list of maps with name and value, as it is, become pairs of texts."""
    record = first(read(lines(thread(custom=custom)), Entity.THREADS, careful=careful))
    assert [(pair["name"], pair["value"]) for pair in record["custom_fields"]] == [
        ("none", None),
        ("plan", "gold"),
        ("seats", "5"),
    ]


@pytest.mark.parametrize(
    "wrong", [{"B": "AAE="}, {"BS": ["AAE="]}, {"L": []}, {"M": {}}, {"SS": ["a"]}, {"S": 5}, 7, {}]
)
def test_what_is_no_text(wrong: Any, careful: bool) -> None:
    """Binaries, sets, lists and maps in a text field are named, and the record is a reject."""
    item = message()
    item["body"] = wrong
    batch = read(lines(item), careful=careful)
    assert reasons(batch) == [("wrong_type", "body")]


def test_a_fault_names_the_kind() -> None:
    """The sentence says what was found in place of a text, and never the value."""
    [fault] = read(lines(message(body={"B": "c2VjcmV0"}))).faults
    assert fault.reason.message == "must be a text, a number or a boolean, and is binary"


@pytest.mark.parametrize(
    ("number", "expected"),
    [
        ("9223372036854775807", 2**63 - 1),
        ("1E3", 1000),
        ("5.0", 5),
        ("9223372036854775808", "invalid_value"),
        ("99999999999999999999999999999999999999", "invalid_value"),
        ("0.5", "wrong_type"),
        ("1E+125", "invalid_value"),
        ("five", "wrong_type"),
    ],
)
def test_whole_numbers(number: str, expected: int | str, careful: bool) -> None:
    """Numbers are exact to the last of their digits, or a reject."""
    batch = read(lines(attachment(size={"N": number})), Entity.ATTACHMENTS, careful=careful)
    found = batch.faults[0].reason.code if batch.faults else first(batch)["size_bytes"]
    assert found == expected


def test_numbers_as_text(careful: bool) -> None:
    """All 38 digits of a number arrive where its field is a text."""
    digits = "12345678901234567890123456789012345678"
    assert first(read(lines(message(thread={"N": digits})), careful=careful))["thread_id"] == digits


@pytest.mark.parametrize(
    ("updated", "expected"),
    [
        ("1790000000", NOON),
        ("1790000000.0000019", NOON + dt.timedelta(microseconds=1)),
        ("1790000000.99999999999999999999999999", NOON + dt.timedelta(microseconds=999999)),
        ("1.79E9", NOON),
    ],
)
def test_epochs(updated: str, expected: dt.datetime, careful: bool) -> None:
    """Seconds since 1970 are exact, digits finer than a microsecond cut."""
    assert first(read(lines(message(updated={"N": updated})), careful=careful))["updated_at"] == expected


BEYOND_ARITHMETIC = ["1e1000000", "1e9999999999999999999", "-1e-1000001"]


@pytest.mark.parametrize(
    "updated",
    ["-1", "-0.0000001", "7258118400", "7258118400.5", "99999999999999999999", "1E+100", "noon", *BEYOND_ARITHMETIC],
)
@pytest.mark.parametrize("kind", ["N", "S"])
def test_epochs_that_are_none(updated: str, kind: str, careful: bool) -> None:
    """An instant outside of the years 1970 to 2199, however far, and what is no number, is a reject."""
    batch = read(lines(message(updated={kind: updated})), careful=careful)
    [reject] = check(batch, Entity.MESSAGES, "acme").rejects
    assert [(reason.code, reason.field) for reason in reject.reasons] == [("invalid_timestamp", "updated_at")]


@pytest.mark.parametrize(
    ("how", "given", "expected"),
    [
        ('path = "sort", after = "M#"', "M#1790000000000", NOON),
        ('template = "{sort}000"', "1790000000", NOON),
        ('constant = "1790000000000"', "M#", NOON),
        ('path = "sort", words = "status"', "OPEN", None),
        ('path = "sort", after = "T#"', "M#1790000000000", None),
    ],
)
def test_epochs_in_texts(how: str, given: str, expected: dt.datetime | None, careful: bool) -> None:
    """A number may be part of a text, such as a sort key, or be made of several values; else it is a reject."""
    text = MAPPING.replace('path = "created", time', f"{how}, time").replace(', prefix = "M#"', "")
    selected = parse_mapping(text.replace('{ path = "sort", after = "M#" }', '"sort"'), "m").of(Entity.MESSAGES)
    assert selected is not None
    read_ = io.BytesIO(lines(message(sort=given))).read
    [batch] = read_items(read_, Selection(selected, "acme"), Position(), block_bytes=1 << 20, careful=careful)
    assert batch.records["created_at"].to_pylist() == [expected]
    assert (expected is None) == bool(batch.faults)


def test_a_prefix_that_is_not_there(careful: bool) -> None:
    """A value without the prefix that it should lose is a reject, for without it two could be the same."""
    batch = read(lines(attachment(1), attachment(2, key="a.txt")), Entity.ATTACHMENTS, careful=careful)
    assert reasons(batch) == [("invalid_value", "key")]
    assert batch.records["key"].to_pylist() == ["a.txt", None]


@pytest.mark.parametrize(
    ("line", "code"),
    [
        (b"nonsense\n", "invalid_json"),
        (b"[]\n", "not_an_object"),
        (b'{"Keys":{}}\n', "not_an_object"),
        (b'{"Item":5}\n', "not_an_object"),
        (b'{"Item":{"account":{"S":"\xff"}}}\n', "invalid_utf8"),
    ],
)
def test_lines_that_are_no_item(line: bytes, code: str, careful: bool) -> None:
    """A line that cannot be read is set aside, and it alone."""
    batch = read(lines(message(1)) + line + lines(message(2)), careful=careful)
    assert reasons(batch) == [(code, None)]
    assert batch.records["id"].to_pylist() == ["m1", None, "m2"]


def test_a_duplicate_attribute(careful: bool) -> None:
    """An attribute that is there twice is a reject where the mapping uses it."""
    text = lines(message()).replace(b'"thread":{"S":"t1"}', b'"thread":{"S":"t1"},"thread":{"S":"t2"}')
    assert reasons(read(text, careful=careful)) == [("duplicate_key", "thread_id")]


def test_a_lone_surrogate(careful: bool) -> None:
    """Half a character is replaced in free text, and counted."""
    batch = read(lines(message(body="X")).replace(b'"X"', rb'"\ud800"'), careful=careful)
    assert first(batch)["body"] == "\N{REPLACEMENT CHARACTER}"
    assert batch.sanitised == {0}


def test_unknown_attributes_are_named(careful: bool) -> None:
    """The names of attributes that the mapping does not use are reported."""
    assert read(lines(message(mood="fine")), careful=careful).ignored_fields == {"messages.mood"}


UNKNOWN = st.sampled_from(
    (
        {"S": "{"},
        {"S": '{"x":{"S":"{}'},
        {"N": "1"},
        {"M": {}},
        {"M": {"x": {"S": "1"}, "y": {"M": {}}}},
        {"L": [{"S": "{}"}, {"M": {}}]},
        {"NULL": True},
        {"SS": ["{"]},
    )
)
BODIES = st.sampled_from(({"S": "Hi"}, {"S": "a { b }"}, {"S": "ends with {"}, {"S": "{}"}, {"NULL": True}))
CALLS = st.dictionaries(st.sampled_from(("id", "who", "{x")), UNKNOWN | st.just({"S": "c"}), max_size=3)
ITEMS = st.builds(
    lambda number, account, body, call, more: {
        **message(number, account, body=body, **({"call": {"M": call}} if call is not None else {})),
        **{f"more {name}": value for name, value in more.items()},
    },
    number=st.integers(0, 9),
    account=st.sampled_from(("acme", "acme", "other")),
    body=BODIES,
    call=st.none() | CALLS,
    more=st.dictionaries(st.sampled_from("abc"), UNKNOWN, max_size=3),
)


@given(st.lists(ITEMS, max_size=12), st.booleans(), st.sampled_from((1, 600, 1 << 20)), st.booleans())
def test_every_unknown_attribute_is_named(
    items: list[dict[str, Any]], is_careful: bool, block_bytes: int, is_spaced: bool
) -> None:
    """Of all of the account's items, wherever they lie and whatever was read before, and of no others."""
    messages = mapping().of(Entity.MESSAGES)
    assert messages
    text = lines(*items).replace(b'{"', b'{ "') if is_spaced else lines(*items)
    reading = io.BytesIO(text).read
    batches = read_items(reading, Selection(messages, "acme"), Position(), block_bytes=block_bytes, careful=is_careful)
    named = frozenset().union(*(batch.ignored_fields for batch in batches))
    mine = [item for item in items if item["account"] == {"S": "A#acme"}]
    expected = {f"messages.{name}" for item in mine for name in item if name.startswith("more ")}
    expected |= {f"messages.call.{name}" for item in mine for name in item.get("call", {"M": {}})["M"] if name != "id"}
    assert named == expected


def test_kinds_that_come_late() -> None:
    """What the first items did not have is found in later blocks all the same."""
    for body, expected in ((None, None), ("text", "text"), (5, "5"), (True, "true")):
        batch = read(lines(message(1), message(2, body=body)))
        assert not batch.faults
        assert batch.records["body"].to_pylist() == [None, expected]


@pytest.mark.parametrize(
    "first", [{"uid": {"S": "u"}}, message(1, sort=None), message(1, sort=5), message(1, account="other"), thread(1)]
)
def test_the_first_items_say_nothing_of_others(first: dict[str, Any]) -> None:
    """Items are found whatever was read before: no key, another kind of one, another account or entity."""
    messages = mapping().of(Entity.MESSAGES)
    assert messages
    text = io.BytesIO(lines(first, message(2), first, message(3)))
    batches = read_items(text.read, Selection(messages, "acme"), Position(), block_bytes=1)
    assert [id_ for batch in batches for id_ in batch.records["id"].to_pylist()] == ["m2", "m3"]


VALUES = st.recursive(
    st.one_of(
        st.builds(lambda text: {"S": text}, st.text(max_size=5)),
        st.sampled_from(
            [{"N": "1"}, {"N": "1.5"}, {"N": "1790000000000"}, {"BOOL": True}, {"NULL": True}, {"B": "AA=="}]
        ),
        st.builds(lambda texts: {"SS": texts}, st.lists(st.text(max_size=3), min_size=1, max_size=2)),
    ),
    lambda inner: st.one_of(
        st.builds(lambda values: {"L": values}, st.lists(inner, max_size=2)),
        st.builds(
            lambda values: {"M": values}, st.dictionaries(st.sampled_from(["id", "seconds", "name", "value"]), inner)
        ),
    ),
    max_leaves=4,
)


@given(
    st.lists(
        st.dictionaries(st.sampled_from(["created", "updated", "body", "call", "inbound", "thread"]), VALUES),
        max_size=6,
    )
)
def test_both_paths_agree_on_messages(changes: list[dict[str, Any]]) -> None:
    """Whatever the attributes hold, columns and lines give the same rows and the same faults."""
    text = lines(message(0), *({**message(number), **change} for number, change in enumerate(changes, 1)))
    fast, careful = read(text), read(text, careful=True)
    assert fast.records.equals(careful.records)
    assert fast.lines.equals(careful.lines)
    assert set(fast.faults) == set(careful.faults)


@given(st.lists(st.dictionaries(st.sampled_from(["tags", "custom", "customer", "status"]), VALUES), max_size=6))
def test_both_paths_agree_on_threads(changes: list[dict[str, Any]]) -> None:
    """The same of lists and maps."""
    text = lines(thread(0), *({**thread(number), **change} for number, change in enumerate(changes, 1)))
    fast, careful = read(text, Entity.THREADS), read(text, Entity.THREADS, careful=True)
    assert fast.records.equals(careful.records)
    assert set(fast.faults) == set(careful.faults)
