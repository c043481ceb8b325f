"""What items only refer to comes from other tables, many keys in one request."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from s3import.core.errors import ConfigurationError, SourceUnavailable
from s3import.core.records import Entity, Pass, PlannedPart, Position
from s3import.readers.dynamodb.budget import ReadBudget
from s3import.readers.dynamodb.joins import add_joined, joined_text
from s3import.readers.dynamodb.mapping import parse_mapping
from s3import.readers.dynamodb.opening import Items, open_items
from s3import.readers.dynamodb.selection import Selection
from s3import.readers.dynamodb.table_source import Tables
from s3import.readers.dynamodb.values import line_of
from s3import.readers.sources.source import RetryPolicy
from tests.readers.dynamodb.exports import write_export
from tests.readers.dynamodb.items import MAPPING, item, message, value
from tests.readers.dynamodb.served import Served
from tests.readers.dynamodb.test_changes import change, window

QUICK = RetryPolicy(retry_seconds=0, first_wait_seconds=0.01)
JOINED = MAPPING.replace(
    'recording_key = { template = "calls/{account}/{call.id}.mp3" }',
    'recording_key = { template = "rec/{file.key}", join = "calls" }\n'
    'telephony.disposition = { path = "result", join = "calls" }',
)


JOIN = '[joins.calls]\ntable = "calls"\nattribute = "id"\nby = "call.id"\n'


def joined_mapping(served: Served) -> str:
    return served.mapping_text(JOINED) + JOIN.replace('"calls"', f'"calls-{served.suffix}"')


@pytest.mark.parametrize("kind", ["tables", "export"])
def test_calls_are_joined(served: Served, tmp_path: Path, kind: str) -> None:
    """Fields come from the joined item; they are null where there is none."""
    served.create("calls", "id", None)
    served.put("calls", item(id="c1", result="answered", file={"M": {"key": {"S": "one.mp3"}}}))
    items = [message(1, call={"id": "c1"}), message(2, call={"id": "c2"}), message(3), message(4, call={"id": "c1"})]
    served.put("messages", *items)
    for table in ("threads", "messages", "attachments"):
        write_export(tmp_path, f"{table}-{served.suffix}", [items] if table == "messages" else [])
    uri = "dynamodb:" if kind == "tables" else str(tmp_path)
    source = open_items(uri, "acme", items=Items(parse_mapping(joined_mapping(served), "m")), policy=QUICK)
    [part] = (part for part in source.plan(Pass.RECENT).parts if part.entity is Entity.MESSAGES)
    whole = PlannedPart(part.entity, part.key, part.stored)
    [batch] = source.read_part(whole, Position(), 1 << 20)
    calls = [record["telephony"] or {} for record in batch.records.to_pylist()]
    assert [call.get("recording_key") for call in calls] == ["rec/one.mp3", None, None, "rec/one.mp3"]
    assert [call.get("disposition") for call in calls] == ["answered", None, None, "answered"]


@pytest.mark.parametrize("by", ["", "k" * 2049, {"BOOL": True}, {"M": {}}, {"S": "x", "N": "1"}, "\ud800", {"N": "x"}])
def test_what_can_be_no_key_is_not_asked_for(by: Any) -> None:
    """One odd reference does not make DynamoDB refuse the whole request."""
    asked: list[Any] = []

    def fetch(table: str, keys: Sequence[Any]) -> list[Any]:
        asked.extend(keys)
        return []

    messages = parse_mapping(JOINED + JOIN, "m").of(Entity.MESSAGES)
    assert messages is not None
    add_joined([message(1, call={"M": {"id": value(by)}}), message(2, call=by), {"call": 5}], messages, fetch)
    assert asked == []


@pytest.mark.parametrize("member", ["Item", "NewImage"])
def test_half_a_character_beside_a_reference(member: str) -> None:
    """An item with half a character in some text gets what it refers to as any other, and keeps the rest as it is."""
    messages = parse_mapping(JOINED + JOIN, "m").of(Entity.MESSAGES)
    assert messages is not None
    other = rb'{"NewImage" : {"not": "ours"}}'
    line = line_of(message(1, call={"id": "c1"}, body="X"), member).replace(b'"X"', rb'"\ud800"')
    fetched = [item(id="c1", result="answered")]
    text = joined_text(b"\n".join((line, other)) + b"\n", Selection(messages, "acme", True, member), lambda *_: fetched)
    joined, kept = text.splitlines()
    expected = json.loads(line)
    expected[member]["join:calls"] = {"M": fetched[0]}
    assert json.loads(joined) == expected
    assert kept == other


class Answering:
    """A client that leaves some keys of each request unprocessed."""

    def __init__(self) -> None:
        self.sizes: list[int] = []

    def query(self, **_: Any) -> None: ...

    def batch_get_item(self, RequestItems: dict[str, Any], **_: Any) -> dict[str, Any]:  # noqa: N803 - boto3's name
        keys = RequestItems["calls"]["Keys"]
        self.sizes.append(len(keys))
        left = {"calls": {"Keys": keys[60:]}} if len(keys) > 60 else {}
        return {"Responses": {"calls": keys[:60]}, "UnprocessedKeys": left}


def test_what_was_not_processed_is_asked_for_again() -> None:
    """A request asks for at most 100 keys; what it leaves is asked for with the next."""
    client = Answering()
    keys = [{"id": {"N": str(number)}} for number in range(230)]
    found = list(Tables(client, QUICK, ReadBudget(None)).fetch("calls", keys))
    assert sorted(int(one["id"]["N"]) for one in found) == list(range(230))
    assert max(client.sizes) == 100


class Overloaded(Answering):
    """A client that processes no key, or after so many requests one of each."""

    def __init__(self, after: int | None = None) -> None:
        super().__init__()
        self.after = after

    def batch_get_item(self, RequestItems: dict[str, Any], **_: Any) -> dict[str, Any]:  # noqa: N803 - boto3's name
        keys = RequestItems["calls"]["Keys"]
        self.sizes.append(len(keys))
        done = 1 if self.after is not None and len(self.sizes) > self.after else 0
        return {"Responses": {"calls": keys[:done]}, "UnprocessedKeys": {"calls": {"Keys": keys[done:]}}}


def test_a_table_that_processes_nothing() -> None:
    """Keys that are never processed are a temporary failure at the end of the retries, asked for ever more slowly."""
    client = Overloaded()
    policy = RetryPolicy(retry_seconds=0.3, first_wait_seconds=0.02)
    with pytest.raises(SourceUnavailable, match="the table calls does not answer"):
        list(Tables(client, policy, ReadBudget(None)).fetch("calls", [{"id": {"S": "c"}}]))
    assert 2 <= len(client.sizes) <= 12


def test_a_table_that_processes_little() -> None:
    """Each key that is processed starts the retries afresh."""
    client = Overloaded(after=2)
    policy = RetryPolicy(retry_seconds=5, first_wait_seconds=0.001)
    keys = [{"id": {"S": str(number)}} for number in range(9)]
    assert list(Tables(client, policy, ReadBudget(None)).fetch("calls", keys)) == keys


def test_references_of_another_type(served: Served, tmp_path: Path) -> None:
    """What is of another type than the joined table's key refers to nothing; the others are joined all the same."""
    served.create("calls", "id", None)
    served.put("calls", item(id="7", result="answered"))
    items = [message(1, call={"id": 7}), message(2, call={"id": "7"})]
    for table in ("threads", "messages", "attachments"):
        write_export(tmp_path, f"{table}-{served.suffix}", [items] if table == "messages" else [])
    source = open_items(str(tmp_path), "acme", items=Items(parse_mapping(joined_mapping(served), "m")), policy=QUICK)
    [part] = (part for part in source.plan(Pass.RECENT).parts if part.entity is Entity.MESSAGES)
    [batch] = source.read_part(PlannedPart(part.entity, part.key, part.stored), Position(), 1 << 20)
    calls = [(record["telephony"] or {}).get("disposition") for record in batch.records.to_pylist()]
    assert calls == [None, "answered"]


def test_a_join_by_another_key(served: Served) -> None:
    """A key that the joined table does not have is an error of the mapping."""
    served.create("calls", "id", None)
    tables = Tables(served.client, QUICK, ReadBudget(None))
    with pytest.raises(ConfigurationError, match="cannot be asked so"):
        list(tables.fetch(f"calls-{served.suffix}", [{"name": {"S": "x"}}, {"name": {"N": "1"}}]))


def test_changes_are_joined(moto_tables: Served, tmp_path: Path) -> None:
    """What a changed item refers to is joined to it again."""
    moto_tables.create("calls", "id", None)
    moto_tables.put("calls", item(id="c1", result="answered", file={"M": {"key": {"S": "one.mp3"}}}))
    line = change(1, message(1, call={"id": "c1"}))
    window(tmp_path, f"messages-{moto_tables.suffix}", (0, 3), line)
    source = open_items(
        str(tmp_path), "acme", items=Items(parse_mapping(joined_mapping(moto_tables), "m")), policy=QUICK
    )
    [part] = (part for part in source.plan(Pass.DELTA).parts if part.entity is Entity.MESSAGES)
    [batch] = source.read_part(part, Position(), 1 << 20)
    [record] = batch.records.to_pylist()
    assert (record["telephony"]["disposition"], record["telephony"]["recording_key"]) == ("answered", "rec/one.mp3")
    assert batch.raw([0]) == [line.rstrip(b"\n")]
