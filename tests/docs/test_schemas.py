"""The JSON Schemas that are shipped say what the code does."""

from __future__ import annotations

import io
import json
import posixpath
from collections.abc import Iterator, Sequence
from functools import reduce
from typing import Any, BinaryIO

import jsonschema_rs
import pyarrow as pa
import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from docs.schemas import DIALECT, FOLDER, as_text, schemas
from s3import.core.errors import InvalidAccountDocument, InvalidManifest, PartMissing
from s3import.core.ids import is_id
from s3import.core.json_schemas import SCHEMA_NAMES, schema_text, url_of
from s3import.core.records import (
    ID_FIELDS,
    ROW_ENTITIES,
    SCHEMAS,
    TIMESTAMP_FIELDS,
    VOCABULARY,
    Entity,
    Pass,
    StoredObject,
)
from s3import.readers.dump.account_document import read_account_document
from s3import.readers.dump.decoders import EXTENSIONS
from s3import.readers.dump.objects import ObjectDump
from s3import.transform.validators import check
from tests.readers.formats.reading import read
from tests.records import ACCOUNT, RIGHT, right

SCHEMA_OF = {
    Entity.THREADS: "thread",
    Entity.MESSAGES: "message",
    Entity.ATTACHMENTS: "attachment",
    Entity.DELETIONS: "deletion",
}
VALIDATORS = {name: jsonschema_rs.Draft202012Validator(json.loads(schema_text(name))) for name in SCHEMA_NAMES}


def test_they_are_what_the_code_makes() -> None:
    """The files of the package are those that `python -m docs.schemas` would write, and there are no others."""
    made = {f"{name}.json": as_text(schema) for name, schema in schemas().items()}
    assert {path.name: path.read_text() for path in FOLDER.iterdir()} == made
    assert list(made) == [f"{name}.json" for name in SCHEMA_NAMES]


@pytest.mark.parametrize("name", SCHEMA_NAMES)
def test_they_are_schemas(name: str) -> None:
    """Each is right by the rules of JSON Schema 2020-12, and its `$id` is where the docs publish it."""
    schema = json.loads(schema_text(name))
    jsonschema_rs.meta.validate(schema)
    assert (schema["$schema"], schema["$id"]) == (DIALECT, url_of(name))


# --- records ---------------------------------------------------------------------------------------------------------

texts = st.text(max_size=6)
numbers = st.integers(-(2**65), 2**65) | st.floats(allow_nan=False, allow_infinity=False)
anything = st.recursive(
    st.none() | st.booleans() | numbers | texts,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(texts, inner, max_size=2),
    max_leaves=4,
)
ids = texts | st.sampled_from(
    ["t1", "x" * 255, "x" * 256, "\U0001f600" * 255, "a\n", "a\x9f", "a/b", "..", "a\\b", "{}"]
)
days = st.dates().map(str) | st.sampled_from(["2024-02-29", "2100-02-29", "2000-02-29", "2024-04-31", "1968-02-29"])
clocks = st.sampled_from(["07:08:09", "07:08:09.123456789", "07:08:09.1234567890", "23:59:60", "24:00:00", "07:08"])
zones = st.sampled_from(["Z", "z", "+02:00", "-23:59", "+24:00", "+0200", ""])
timestamps = st.tuples(days, st.sampled_from("Tt "), clocks, zones).map("".join) | st.just("2024-05-06T07:08:09Z")
words = st.sampled_from([*sorted({word for known in VOCABULARY.values() for word in known}), "Open", ""])
counts = st.sampled_from([0, 1.0, 1e3, 1.5, -1, 2**31 - 1, 2**31, 2**63 - 1, 2**63, 2**64])
keys = st.lists(st.sampled_from(["files", "a.txt", ".", "", "c:", "s3:", "\\", "\\x"]), max_size=4).map("/".join)
objects = st.dictionaries(
    st.sampled_from(["id", "name", "value", "type", "transcript", "x"]), texts | anything, max_size=4
)
custom_fields = st.lists(st.fixed_dictionaries({"name": texts}, optional={"value": texts}) | objects, max_size=3)


def values(name: str) -> st.SearchStrategy[Any]:
    """Values of a field, many of them right."""
    fitting = {
        **dict.fromkeys(ID_FIELDS, ids),
        **dict.fromkeys(TIMESTAMP_FIELDS, timestamps),
        **dict.fromkeys(VOCABULARY, words),
        "size_bytes": counts,
        "key": keys,
        "tags": st.lists(texts, max_size=3),
        "custom_fields": custom_fields,
        "customer": objects,
        "author": objects | st.fixed_dictionaries({"type": words}),
        "telephony": objects | st.fixed_dictionaries({"duration_seconds": counts}),
    }
    return fitting.get(name, texts) | anything


@st.composite
def records(draw: st.DrawFn, entity: Entity) -> dict[str, Any]:
    """A right record with some fields changed, added or left out."""
    names = [*SCHEMAS[entity].names, "unknown"]
    changed = draw(st.lists(st.sampled_from(names), max_size=3, unique=True))
    left_out = draw(st.lists(st.sampled_from(names), max_size=1))
    record = RIGHT[entity] | {name: draw(values(name)) for name in changed}
    return {name: value for name, value in record.items() if name not in left_out}


def account_of(record: dict[str, Any]) -> str:
    """The account that the record belongs to, if there can be one of that name: whose it is no schema can say."""
    named = record.get("account_id")
    possible = isinstance(named, str) and is_id(named) and not set("/\\{}") & set(named) and named not in (".", "..")
    return str(named) if possible else ACCOUNT


def accepted(record: dict[str, Any], entity: Entity) -> bool:
    """Whether an import of the record's account takes it, as far as it stands by itself."""
    return accepted_of([record], entity, account_of(record))[0]


def accepted_of(some: Sequence[dict[str, Any]], entity: Entity, account: str = ACCOUNT) -> list[bool]:
    """The same of many records of one account."""
    (batch,) = read(b"".join(json.dumps(record).encode() + b"\n" for record in some), entity)
    rejected = {reject.line for reject in check(batch, entity, account).rejects}
    return [line not in rejected for line in range(1, len(some) + 1)]


EVERY_KIND: list[Any] = [
    *(
        None,
        True,
        0,
        1.0,
        1.5,
        -1,
        2**31 - 1,
        2**31,
        2**63 - 1,
        2**63,
        "",
        "a",
        "x" * 255,
        "x" * 256,
        "a\x9f",
        "a\n",
        "a/b",
    ),
    *("..", ".", "c:/a", "2024-05-06T07:08:09Z", "2024-05-06", *VOCABULARY["status"], *VOCABULARY["kind"], "inbound"),
    *("regular", "staff", "threads", [], {}, ["a"], [None], [1], [{}], [{"name": "a"}], [{"name": 1}], {"name": "a"}),
    *([{"name": None}], [{"name": "a", "value": 1}], [{"name": "a", "value": None}], [{"name": "a"}, "b"]),
]


def paths(members: Any, *outer: str) -> Iterator[tuple[str, ...]]:
    """The names that lead to each field, members of objects included."""
    for member in members:
        yield (*outer, member.name)
        if pa.types.is_struct(member.type):
            yield from paths(member.type, *outer, member.name)


@pytest.mark.parametrize("entity", Entity)
def test_a_schema_has_the_verdict_of_the_validators_on_every_field(entity: Entity) -> None:
    """Each field by itself, absent and with a value of every kind, right and wrong."""
    validator = VALIDATORS[SCHEMA_OF[entity]]
    for path in paths(SCHEMAS[entity]):
        values = (reduce(lambda made, name: {name: made}, reversed(path[1:]), value) for value in EVERY_KIND)
        tried = [RIGHT[entity] | {path[0]: value} for value in values]
        tried.append({name: value for name, value in RIGHT[entity].items() if name != path[0]})
        verdicts = accepted_of(tried, entity) if path != ("account_id",) else [accepted(one, entity) for one in tried]
        assert [(one, validator.is_valid(one)) for one in tried] == list(zip(tried, verdicts, strict=True))


@pytest.mark.parametrize("line", [1, "a", [], None])
def test_a_schema_takes_objects_alone(line: Any) -> None:
    """A line is an object, and so is a document."""
    assert not any(validator.is_valid(line) for validator in VALIDATORS.values())


@pytest.mark.parametrize("entity", Entity)
def test_a_schema_takes_the_records_that_the_validators_take(entity: Entity) -> None:
    """Wherever a schema can speak it has the validators' verdict."""
    seen = set()

    @given(records(entity))
    def agrees(record: dict[str, Any]) -> None:
        verdict = accepted(record, entity)
        assert VALIDATORS[SCHEMA_OF[entity]].is_valid(record) is verdict, record
        seen.add(verdict)

    agrees()
    assert seen == {True, False}


@pytest.mark.parametrize(
    ("record", "entity"),
    [
        (right(Entity.ATTACHMENTS, key="files/../../a"), Entity.ATTACHMENTS),
        (right(Entity.THREADS, created_at="1969-12-31T23:59:59Z"), Entity.THREADS),
        (right(Entity.THREADS, created_at="2200-01-01T00:00:00Z"), Entity.THREADS),
    ],
    ids=["a key that steps up late", "before 1970", "after 2199"],
)
def test_what_a_schema_cannot_say_the_validators_say(record: dict[str, Any], entity: Entity) -> None:
    """A schema counts no steps of a path and compares no instants: it lets pass what the docs name."""
    assert VALIDATORS[SCHEMA_OF[entity]].is_valid(record)
    assert not accepted(record, entity)


@given(st.sampled_from(ROW_ENTITIES), st.sampled_from(["1969-12-31", "1970-01-01", "2199-12-31", "2200-01-01"]), zones)
def test_a_schema_refuses_no_instant_that_the_validators_take(entity: Entity, day: str, zone: str) -> None:
    """Where a zone decides between two years a schema is the more lenient of the two."""
    record = right(entity, updated_at=f"{day}T12:00:00{zone}")
    assert VALIDATORS[SCHEMA_OF[entity]].is_valid(record) or not accepted(record, entity)


# --- documents -------------------------------------------------------------------------------------------------------


class Paper:
    """A source that holds one document and nothing else."""

    uri = "paper"
    rereads_cheaply = True

    def __init__(self, document: Any) -> None:
        self._text = json.dumps(document).encode()

    def read(self, key: str) -> bytes | None:
        return self._text

    def list(self, prefix: str) -> Any:
        return iter(())

    def folders(self, prefix: str) -> Any:
        raise AssertionError(prefix)

    def find(self, key: str) -> StoredObject | None:
        raise AssertionError(key)

    def open(self, stored: StoredObject, offset: int = 0) -> BinaryIO:
        raise AssertionError(stored)

    def open_random(self, stored: StoredObject) -> BinaryIO:
        return io.BytesIO()


def changed(document: dict[str, Any]) -> st.SearchStrategy[dict[str, Any]]:
    """The document with any member of it replaced, or left out."""
    absent = object()
    member = st.tuples(st.sampled_from(sorted(document)), anything | counts | ids | st.just(absent))
    return st.lists(member, max_size=2).map(
        lambda members: {name: value for name, value in (document | dict(members)).items() if value is not absent}
    )


brands = changed({"id": "b1", "name": "One", "x": 1})
channels = changed({"id": "c1", "brand_id": "b1", "kind": "email", "name": "Mail"})
accounts = changed({"id": "acme", "name": "Acme", "brands": [], "channels": []})
lists_of_brands, lists_of_channels = (st.lists(one | anything, max_size=2) for one in (brands, channels))


@given(accounts, st.none() | lists_of_brands, st.none() | lists_of_channels)
def test_the_schema_of_account_json_takes_what_an_import_takes(document: Any, some: Any, others: Any) -> None:
    """Whatever its members are; that no id occurs twice a schema cannot say."""
    document = document | ({} if some is None else {"brands": some}) | ({} if others is None else {"channels": others})
    for listed in (document.get("brands"), document.get("channels")):
        given_ids = [one.get("id") for one in listed if isinstance(one, dict)] if isinstance(listed, list) else []
        assume(len(given_ids) < 2 or given_ids[0] != given_ids[1])
    try:
        read_account_document(Paper(document), account_of({"account_id": document.get("id")}))
        verdict = True
    except InvalidAccountDocument:
        verdict = False
    assert VALIDATORS["account"].is_valid(document) is verdict, document


part_keys = st.tuples(
    st.sampled_from(["threads/a", "a", "/a", "../a", "./a", ".//../a", "a/./b", "", "a\0", "..a"]),
    st.sampled_from([*EXTENSIONS, ".csv", "", ".jsonl/", ".jsonl\n"]),
).map("".join)
named_parts = changed({"entity": "threads", "key": "threads/a.jsonl", "rows": 1, "bytes": 2, "sha256": 64 * "a"})
named_parts = (
    st.tuples(named_parts, part_keys | anything).map(lambda drawn: {**drawn[0], "key": drawn[1]}) | named_parts
)
manifests = changed({"version": 1, "account_id": "acme", "pass": "recent", "parts": []})


@given(manifests, st.none() | st.lists(named_parts | anything, max_size=2))
@example(
    {"version": 1.0, "account_id": "acme", "pass": "delta"}, [{"entity": "deletions", "key": "d.parquet", "rows": 1e3}]
)
@example({"version": True, "account_id": "acme", "pass": "delta"}, [])
def test_the_schema_of_a_manifest_takes_what_an_import_takes(document: Any, parts: Any) -> None:
    """Whatever its members are; that no part occurs twice a schema cannot say."""
    document = document if parts is None else {**document, "parts": parts}
    named = [part.get("key") for part in parts or () if isinstance(part, dict)]
    assume(len(set(map(posixpath.normpath, filter(None, map(str, named))))) == len(named))
    pass_ = next((one for one in Pass if one == document.get("pass")), Pass.RECENT)
    dump = ObjectDump(Paper(document), account_of(document))
    try:
        dump.plan(pass_)
        verdict = True
    except PartMissing:
        verdict = True
    except InvalidManifest:
        verdict = False
    assert VALIDATORS["manifest"].is_valid(document) is verdict, document
