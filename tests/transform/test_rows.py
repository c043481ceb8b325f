"""What becomes of a right record in Re:amaze's tables."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from s3import.core.records import ROW_ENTITIES, Entity
from s3import.core.tables import TARGETS
from s3import.transform.rows import to_rows
from s3import.transform.validators import check
from tests.records import ACCOUNT, batch_of, right

THREADS, MESSAGES, ATTACHMENTS = ROW_ENTITIES


def rows(entity: Entity, *records: dict[str, Any]) -> list[dict[str, Any]]:
    """The table's rows for these records, all of them right."""
    checked = check(batch_of(entity, records), entity, ACCOUNT)
    assert not checked.rejects
    return [dict(row) for row in to_rows(entity, checked.accepted).to_pylist()]


def row(entity: Entity, **fields: Any) -> dict[str, Any]:
    """The table's row for the right record with these fields."""
    return rows(entity, right(entity, **fields))[0]


@pytest.mark.parametrize("entity", ROW_ENTITIES)
def test_gives_the_columns_of_the_table(entity: Entity) -> None:
    """Columns have the table's names, in its order, for no rows too."""
    names = [column.name for column in TARGETS[entity].columns]
    accepted = check(batch_of(entity, []), entity, ACCOUNT).accepted
    assert to_rows(entity, accepted).column_names == names
    assert list(row(entity)) == names


@pytest.mark.parametrize(
    ("word", "status"),
    [
        ("open", "unresolved"),
        ("pending", "pending"),
        ("resolved", "resolved"),
        ("spam", "spam"),
        ("archived", "archived"),
        ("on_hold", "on_hold"),
    ],
)
def test_translates_the_status(word: str, status: str) -> None:
    """Every status of Conversations has its word in Re:amaze."""
    assert row(THREADS, status=word)["status"] == status


@pytest.mark.parametrize(
    ("kind", "origin"),
    [
        ("email", "email"),
        ("chat", "chat"),
        ("sms", "sms"),
        ("call", "voice"),
        ("voicemail", "voice"),
        ("facebook", "facebook"),
        ("messenger", "facebook"),
        ("instagram", "instagram"),
        ("twitter", "twitter"),
        ("whatsapp", "whatsapp"),
        ("form", "contact_form"),
        ("note", "api"),
    ],
)
def test_translates_the_kind(kind: str, origin: str) -> None:
    """Every kind of message has its origin."""
    assert row(MESSAGES, kind=kind)["origin"] == origin


@pytest.mark.parametrize(
    ("kind", "word", "visibility"),
    [
        ("email", None, "regular"),
        ("email", "regular", "regular"),
        ("email", "internal", "internal_note"),
        ("note", None, "internal_note"),
        ("note", "regular", "internal_note"),
    ],
)
def test_translates_the_visibility(kind: str, word: str | None, visibility: str) -> None:
    """Messages are regular unless they say otherwise, and a note is internal whatever it says."""
    assert row(MESSAGES, kind=kind, visibility=word)["visibility"] == visibility


def test_flattens_a_customer() -> None:
    """A thread's customer becomes four columns."""
    found = row(THREADS, customer={"id": "u1", "name": "Ann", "email": "", "phone": None})
    assert [found[f"customer_{name}"] for name in ("id", "name", "email", "phone")] == ["u1", "Ann", "", None]


def test_flattens_an_author_and_a_call() -> None:
    """A message's author and telephony become columns; a message without them has nulls there."""
    call = {"call_id": "c", "from": "1", "to": "2", "duration_seconds": 3, "recording_key": "r", "transcript": "hi"}
    found, plain = rows(
        MESSAGES, right(MESSAGES, author={"type": "bot", "id": "a"}, telephony=call), right(MESSAGES, id="m2")
    )
    assert (found["author_type"], found["author_id"], found["author_name"]) == ("bot", "a", None)
    assert (found["call_id"], found["call_from"], found["call_to"], found["call_duration_seconds"]) == (
        "c",
        "1",
        "2",
        3,
    )
    assert (found["call_disposition"], found["recording_key"], found["transcript"]) == (None, "r", "hi")
    assert plain["author_type"] is plain["call_duration_seconds"] is plain["transcript"] is None


def test_maps_an_attachment() -> None:
    """An attachment keeps where its bytes are and is only referenced as long as they are not copied."""
    found = row(ATTACHMENTS, size_bytes=5)
    assert (found["source_key"], found["source_url"], found["storage_key"]) == ("files/note.txt", None, None)
    assert (found["state"], found["size_bytes"]) == ("referenced", 5)


def test_writes_lists_as_json() -> None:
    """Lists become JSON text, an absent list an empty one, and a custom field without a value has null."""
    found = row(THREADS, tags=['a "b"\\', ""], custom_fields=[{"name": "n", "value": "v"}, {"name": "", "value": None}])
    assert found["tags"] == r'["a \"b\"\\", ""]'
    assert found["custom_fields"] == '[{"name": "n", "value": "v"}, {"name": "", "value": null}]'
    assert row(THREADS)["tags"] == row(THREADS)["custom_fields"] == "[]"


WORDS = st.text(st.characters(codec="utf-8", exclude_characters="\x00"), max_size=5)
FIELDS = st.fixed_dictionaries({"name": WORDS, "value": WORDS | st.none()})


@given(st.lists(st.tuples(st.lists(WORDS, max_size=3), st.lists(FIELDS, max_size=3), st.booleans()), max_size=5))
def test_any_text_survives_as_json(lists: list[tuple[list[str], list[dict[str, Any]], bool]]) -> None:
    """What JSON reads back is what was given, control characters and quotes too, beside rejected neighbours."""
    records = [right(THREADS, tags=tags, custom_fields=fields, id="t" if ok else "") for tags, fields, ok in lists]
    accepted = check(batch_of(THREADS, records), THREADS, ACCOUNT).accepted
    found = [
        (json.loads(row["tags"]), json.loads(row["custom_fields"])) for row in to_rows(THREADS, accepted).to_pylist()
    ]
    assert found == [(tags, fields) for tags, fields, ok in lists if ok]


def test_maps_a_part_of_a_table() -> None:
    """A slice of the accepted records gives the rows of just those records."""
    records = [right(THREADS, tags=[tag], custom_fields=[{"name": tag, "value": tag}]) for tag in "abc"]
    accepted = check(batch_of(THREADS, records), THREADS, ACCOUNT).accepted
    [found] = to_rows(THREADS, accepted.slice(1, 1)).to_pylist()
    assert (found["tags"], found["custom_fields"]) == ('["b"]', '[{"name": "b", "value": "b"}]')
