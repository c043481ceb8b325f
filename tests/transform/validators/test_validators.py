"""Which records are right, and every reason why one is not."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from s3import.core.records import ROW_ENTITIES, SCHEMAS, TIMESTAMP, Entity, Fault, Reason, Reject
from s3import.transform.validators import check
from tests.records import ACCOUNT, batch_of, right

THREADS, MESSAGES, ATTACHMENTS = ROW_ENTITIES


def verdict(entity: Entity, /, **fields: Any) -> set[tuple[str, str | None]]:
    """The codes and fields for which the record with these fields is set aside; none when it is right."""
    checked = check(batch_of(entity, [right(entity, **fields)]), entity, ACCOUNT)
    assert len(checked.rejects) + checked.accepted.num_rows == 1
    return {(reason.code, reason.field) for reject in checked.rejects for reason in reject.reasons}


def accepted(entity: Entity, /, **fields: Any) -> dict[str, Any]:
    """The record as it is accepted."""
    [record] = check(batch_of(entity, [right(entity, **fields)]), entity, ACCOUNT).accepted.to_pylist()
    return dict(record)


@pytest.mark.parametrize("entity", ROW_ENTITIES)
def test_accepts_a_record_of_nothing_but_its_required_fields(entity: Entity) -> None:
    """What is optional may be absent: it is null, and a list is empty."""
    record = accepted(entity)
    assert record["updated_at"] is None
    assert record.get("tags", []) == record.get("custom_fields", []) == []


@pytest.mark.parametrize("entity", Entity)
def test_accepts_an_empty_batch(entity: Entity) -> None:
    """A batch without rows gives a table without rows, of the same types."""
    accepted = check(batch_of(entity, []), entity, ACCOUNT).accepted
    assert accepted.num_rows == 0
    instant = "deleted_at" if entity is Entity.DELETIONS else "created_at"
    assert accepted.schema.field(instant).type == TIMESTAMP


@pytest.mark.parametrize(
    ("entity", "field"),
    [(entity, name) for entity in Entity for name in right(entity) if name != "key"],
)
def test_requires_fields(entity: Entity, field: str) -> None:
    """A required field that is absent or null is missing."""
    assert verdict(entity, **{field: None}) == {("missing_field", field)}


@pytest.mark.parametrize(
    "value", ["x", " ", "k1 ", "ü", "a/b", "{}", "x" * 255, "é" * 255, "\U0001f600" * 255, "\u00a0"]
)
def test_accepts_ids(value: str) -> None:
    """An id has 1 to 255 code points; blanks and any script are fine."""
    assert accepted(THREADS, id=value, brand_id=value)["id"] == value


@pytest.mark.parametrize("value", ["", "x" * 256, "é" * 256, "a\x00", "\x1f", "a\nb", "\x7f", "\x80", "ü\x9f"])
def test_refuses_ids(value: str) -> None:
    """An id that is empty, too long or holds a control character is no id."""
    assert verdict(THREADS, id=value, channel_id=value) == {("invalid_id", "id"), ("invalid_id", "channel_id")}


@pytest.mark.parametrize(("value", "code"), [("acme ", "wrong_account"), ("Acme", "wrong_account"), ("", "invalid_id")])
def test_refuses_other_accounts(value: str, code: str) -> None:
    """A record of another account is not imported; an account id that is none is told from another one."""
    assert verdict(MESSAGES, account_id=value) == {(code, "account_id")}


@pytest.mark.parametrize(
    ("field", "entity"),
    [("status", THREADS), ("kind", MESSAGES), ("direction", MESSAGES), ("visibility", MESSAGES)],
)
@pytest.mark.parametrize("word", ["", "Open", "email ", "unknown", "inbound\x00"])
def test_refuses_words_outside_of_the_vocabulary(entity: Entity, field: str, word: str) -> None:
    """A word that is not in the vocabulary is never guessed."""
    assert verdict(entity, **{field: word}) == {("invalid_value", field)}


def test_refuses_unknown_authors() -> None:
    """An author's type is one of four words, or absent."""
    assert verdict(MESSAGES, author={"type": "ghost"}) == {("invalid_value", "author.type")}
    assert accepted(MESSAGES, author={"name": "Ann"})["author"]["type"] is None


@pytest.mark.parametrize(("size", "fits"), [(0, True), (2**63 - 1, True), (-1, False)])
def test_bounds_sizes(size: int, fits: bool) -> None:
    """A size has 63 bits and is not negative."""
    assert verdict(ATTACHMENTS, size_bytes=size) == (set() if fits else {("invalid_value", "size_bytes")})


@pytest.mark.parametrize(("seconds", "fits"), [(0, True), (2**31 - 1, True), (2**31, False), (-1, False)])
def test_bounds_durations(seconds: int, fits: bool) -> None:
    """A duration has 31 bits and is not negative."""
    expected = set() if fits else {("invalid_value", "telephony.duration_seconds")}
    assert verdict(MESSAGES, telephony={"duration_seconds": seconds}) == expected


@pytest.mark.parametrize("fields", [{"key": None, "url": "https://example.com/a"}, {"key": None, "url": ""}])
def test_accepts_a_url_instead_of_a_key(fields: dict[str, str | None]) -> None:
    """An attachment lies at a key or at a url, and an empty string was given too."""
    assert verdict(ATTACHMENTS, **fields) == set()


def test_requires_one_place_of_an_attachment() -> None:
    """An attachment without a place lacks its key; one with two places has a wrong one."""
    assert verdict(ATTACHMENTS, key=None) == {("missing_field", "key")}
    assert verdict(ATTACHMENTS, url="https://example.com/a") == {("invalid_value", "key")}


@pytest.mark.parametrize(
    "key", ["a", "files/a b+c%2F..d/ü", "files//a", "..a/b..", "files/12:30.png", "a\\b", "...", "./a"]
)
def test_accepts_keys_within_the_source(key: str) -> None:
    """A key may be any path below the source, however odd its letters."""
    assert accepted(ATTACHMENTS, key=key)["key"] == key


@pytest.mark.parametrize(
    "key",
    [
        *("", ".", "./", "/", "/etc/passwd", "..", "../a", "a/..", "a/../../b"),
        *("..\\a", "a\\..\\..\\b", "\\\\host\\a", "\\a", "C:\\a"),
        *("s3://other/a", "file:/etc/passwd", "https://example.com/a"),
    ],
)
def test_refuses_keys_that_leave_the_source(key: str) -> None:
    """A key that some storage could take for a way out of the source is refused."""
    assert verdict(ATTACHMENTS, key=key) == {("invalid_value", "key")}


def test_refuses_null_in_lists() -> None:
    """Lists hold no null, and a custom field has a name."""
    assert verdict(THREADS, tags=["a", None, None]) == {("wrong_type", "tags")}
    assert verdict(THREADS, custom_fields=[None, {"name": "a"}]) == {("wrong_type", "custom_fields")}
    assert verdict(THREADS, custom_fields=[{"value": "a"}]) == {("missing_field", "custom_fields.name")}
    assert verdict(THREADS, custom_fields=[{"name": "", "value": None}]) == set()


def test_gives_every_reason_of_a_record_once() -> None:
    """A record with several faults is one reject with all of its reasons, in the order of its fields."""
    record = right(MESSAGES, id="", kind="fax", created_at=None, direction="up", telephony={"duration_seconds": -1})
    [reject] = check(batch_of(MESSAGES, [record]), MESSAGES, ACCOUNT).rejects
    assert [(reason.code, reason.field) for reason in reject.reasons] == [
        ("invalid_id", "id"),
        ("invalid_value", "kind"),
        ("invalid_value", "direction"),
        ("invalid_value", "telephony.duration_seconds"),
        ("missing_field", "created_at"),
    ]


def test_keeps_right_records_apart_from_wrong_ones() -> None:
    """The accepted rows keep their order and know their row; the rejects know their line."""
    records = [right(THREADS, id=id_) for id_ in ("a", "", "b", "", "c")]
    checked = check(batch_of(THREADS, records), THREADS, ACCOUNT)
    assert checked.accepted["id"].to_pylist() == ["a", "b", "c"]
    assert checked.rows.to_pylist() == [0, 2, 4]
    assert [reject.line for reject in checked.rejects] == [2, 4]


# --- what the reader found already ----------------------------------------------------------------------------------


def test_gives_an_unreadable_row_no_other_reason() -> None:
    """A row that could not be read is a reject for that reason alone."""
    reason = Reason("invalid_json", None, "is no JSON")
    batch = batch_of(THREADS, [{}, right(THREADS)], faults=[Fault(0, reason)], raw=[b"{oops", b""])
    assert check(batch, THREADS, ACCOUNT).rejects == (Reject(1, None, (reason,), "{oops", False),)


def test_gives_a_faulty_field_no_second_reason() -> None:
    """A field that the reader refused is not called missing as well; the others are still looked at."""
    reason = Reason("wrong_type", "id", "must be a string")
    batch = batch_of(THREADS, [right(THREADS, id=None, status="?")], faults=[Fault(0, reason)])
    [reject] = check(batch, THREADS, ACCOUNT).rejects
    assert [(each.code, each.field) for each in reject.reasons] == [("wrong_type", "id"), ("invalid_value", "status")]


def test_takes_a_faulty_url_for_a_given_one() -> None:
    """An attachment whose url could not be read does not lack a key."""
    reason = Reason("wrong_type", "url", "must be a string")
    batch = batch_of(ATTACHMENTS, [right(ATTACHMENTS, key=None)], faults=[Fault(0, reason)])
    assert [reject.reasons for reject in check(batch, ATTACHMENTS, ACCOUNT).rejects] == [(reason,)]


# --- repairs --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("entity", "field", "value", "repaired"),
    [
        (THREADS, "subject", "a\x00b", "a\ufffdb"),
        (THREADS, "assignee_id", "\x00", "\ufffd"),
        (
            THREADS,
            "customer",
            {"id": "\x00", "email": "a"},
            {"id": "\ufffd", "name": None, "email": "a", "phone": None},
        ),
        (THREADS, "tags", ["a", "\x00\x00"], ["a", "\ufffd\ufffd"]),
        (THREADS, "custom_fields", [{"name": "n\x00", "value": "\x00"}], [{"name": "n\ufffd", "value": "\ufffd"}]),
        (ATTACHMENTS, "filename", "\x00.txt", "\ufffd.txt"),
    ],
)
def test_repairs_nul_in_free_text(entity: Entity, field: str, value: Any, repaired: Any) -> None:
    """NUL in free text becomes U+FFFD, and the record is imported and counted; its neighbours are untouched."""
    records = [right(entity), right(entity, **{field: value}), right(entity)]
    checked = check(batch_of(entity, records), entity, ACCOUNT)
    assert checked.accepted[field][1].as_py() == repaired
    assert checked.sanitised.to_pylist() == [False, True, False]


def test_counts_what_the_reader_repaired() -> None:
    """A lone surrogate that the reader replaced counts as much as a NUL; a reject counts for nothing."""
    records = [
        right(THREADS, status="?", subject="\x00"),
        right(THREADS, subject="\x00"),
        right(THREADS),
        right(THREADS),
    ]
    checked = check(batch_of(THREADS, records, sanitised=frozenset({0, 3})), THREADS, ACCOUNT)
    assert checked.sanitised.to_pylist() == [True, False, True]


def test_keeps_the_null_lists_of_neighbours_when_repairing() -> None:
    """A repair of one row's list moves no element into another row."""
    records = [right(THREADS, tags=tags) for tags in (None, ["a"], [], ["\x00", "b"], None, ["c"])]
    checked = check(batch_of(THREADS, records), THREADS, ACCOUNT)
    assert checked.accepted["tags"].to_pylist() == [[], ["a"], [], ["\ufffd", "b"], [], ["c"]]


# --- any record -----------------------------------------------------------------------------------------------------

TEXT = st.text(st.characters(codec="utf-8"), max_size=5) | st.none()
PERSON = st.fixed_dictionaries(dict.fromkeys(("id", "name", "email", "phone"), TEXT)) | st.none()
THREAD = st.fixed_dictionaries(
    {
        "id": TEXT,
        "status": st.sampled_from(["open", "spam"]) | TEXT,
        "subject": TEXT,
        "tags": st.lists(TEXT, max_size=3) | st.none(),
        "custom_fields": st.lists(st.fixed_dictionaries({"name": TEXT, "value": TEXT}), max_size=3) | st.none(),
        "customer": PERSON,
    }
)


def _is_right(record: dict[str, Any]) -> bool:
    """The contract once more, record by record."""
    id_ = record["id"]
    return (
        bool(id_)
        and not any(ord(letter) < 0x20 or 0x7F <= ord(letter) <= 0x9F for letter in id_)
        and record["status"] in ("open", "pending", "resolved", "spam", "archived", "on_hold")
        and None not in (record["tags"] or [])
        and all(field["name"] is not None for field in record["custom_fields"] or [])
    )


def _repaired(value: Any) -> Any:
    if isinstance(value, str):
        return value.replace("\x00", "\ufffd")
    if isinstance(value, list):
        return [_repaired(item) for item in value]
    return {name: _repaired(item) for name, item in value.items()} if isinstance(value, dict) else value


@given(st.lists(THREAD, max_size=6))
def test_agrees_with_the_contract_on_any_records(threads: list[dict[str, Any]]) -> None:
    """Whatever stands in a batch, each record is accepted or rejected as it would be alone, and repaired in full."""
    records = [right(THREADS, **thread) for thread in threads]
    checked = check(batch_of(THREADS, records), THREADS, ACCOUNT)
    expected = [row for row, record in enumerate(records) if _is_right(record)]
    assert checked.rows.to_pylist() == expected
    assert [reject.line - 1 for reject in checked.rejects] == sorted({*range(len(records))} - {*expected})
    for row, found in zip(expected, checked.accepted.to_pylist(), strict=True):
        for name in ("subject", "customer", "tags", "custom_fields"):
            wanted = _repaired(records[row][name])
            assert found[name] == ([] if wanted is None and name in ("tags", "custom_fields") else wanted)
        assert found["created_at"] == dt.datetime(2024, 5, 6, 7, 8, 9, tzinfo=dt.UTC)
    assert checked.accepted.schema.names == SCHEMAS[THREADS].names
