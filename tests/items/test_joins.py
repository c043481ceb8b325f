"""What items only refer to comes from other tables, many keys in one request."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from s3import.readers import read_part
from s3import.readers.dump import plan_pass
from s3import.readers.items.budget import ReadBudget
from s3import.readers.items.joins import add_joined
from s3import.readers.items.mapping import parse_mapping
from s3import.readers.items.opening import Items, open_items
from s3import.readers.items.tables import Tables
from s3import.readers.source import Patience
from s3import.records import Entity, Pass, PlannedPart, Position
from tests.items.exports import write_export
from tests.items.items import MAPPING, item, message, value
from tests.items.served import Served

QUICK = Patience(retry_seconds=0, first_wait_seconds=0.01)
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
    source = open_items(uri, "acme", items=Items(parse_mapping(joined_mapping(served), "m")), patience=QUICK)
    [part] = (part for part in plan_pass(source, "acme", Pass.RECENT).parts if part.entity is Entity.MESSAGES)
    whole = PlannedPart(part.entity, part.key, part.stored)
    [batch] = read_part(source, whole, Position(), block_bytes=1 << 20)
    calls = [record["telephony"] or {} for record in batch.records.to_pylist()]
    assert [call.get("recording_key") for call in calls] == ["rec/one.mp3", None, None, "rec/one.mp3"]
    assert [call.get("disposition") for call in calls] == ["answered", None, None, "answered"]


@pytest.mark.parametrize("by", ["", "k" * 2049, {"BOOL": True}, {"M": {}}, {"S": "x", "N": "1"}])
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
