"""Items of DynamoDB as tests write them."""

from __future__ import annotations

import io
from typing import Any

import orjson

from s3import.core.records import Batch, Entity, Position
from s3import.readers.dynamodb.decode import read_items
from s3import.readers.dynamodb.mapping import ItemMapping, parse_mapping
from s3import.readers.dynamodb.selection import Selection

MAPPING = """
version = 1

[threads]
table = "threads"
key = { attribute = "account", value = "{account}" }

[threads.fields]
id = "id"
brand_id = "brand"
channel_id = "channel"
status = { path = "status", words = "status" }
tags = "tags"
custom_fields = "custom"
created_at = "created"
customer.name = "customer.name"

[messages]
table = "messages"
key = { attribute = "account", value = "A#{account}" }
sort = { attribute = "sort", prefix = "M#" }

[messages.fields]
id = { path = "sort", after = "M#" }
thread_id = "thread"
kind = { constant = "email" }
direction = { path = "inbound", words = "direction" }
created_at = { path = "created", time = "milliseconds" }
updated_at = { path = "updated", time = "seconds" }
body = "body"
telephony.duration_seconds = "call.seconds"
telephony.recording_key = { template = "calls/{account}/{call.id}.mp3" }

[attachments]
table = "attachments"
key = { attribute = "account", value = "{account}" }

[attachments.fields]
id = "id"
message_id = "message"
filename = "name"
size_bytes = "size"
key = { path = "key", after = "/" }
created_at = "created"

[words.status]
OPEN = "open"

[words.direction]
true = "inbound"
false = "outbound"
"""


def mapping() -> ItemMapping:
    """The mapping of the tests' tables."""
    return parse_mapping(MAPPING, "mapping.toml")


def value(python: Any) -> dict[str, Any]:
    """A value as DynamoDB writes it; a dict with a kind for a name stays as it is."""
    if isinstance(python, dict):
        return (
            python if python.keys() <= {"S", "N", "B", "SS", "NS", "BS", "L", "M", "NULL", "BOOL"} else nested(python)
        )
    if isinstance(python, bool):
        return {"BOOL": python}
    if python is None:
        return {"NULL": True}
    return {"N": str(python)} if isinstance(python, int | float) else {"S": python}


def nested(members: dict[str, Any]) -> dict[str, Any]:
    """A map as DynamoDB writes it."""
    return {"M": {name: value(member) for name, member in members.items()}}


def item(**attributes: Any) -> dict[str, Any]:
    """An item's attributes as DynamoDB writes them."""
    return {name: value(given) for name, given in attributes.items()}


def message(number: int = 1, account: str = "acme", **attributes: Any) -> dict[str, Any]:
    """A right item of the messages table, with other attributes if given."""
    known = {
        "account": f"A#{account}",
        "sort": f"M#m{number}",
        "thread": "t1",
        "inbound": True,
        "created": 1790000000000,
    }
    return item(**{**known, **attributes})


def thread(number: int = 1, account: Any = "acme", **attributes: Any) -> dict[str, Any]:
    """A right item of the threads table."""
    known = {"account": account, "id": f"t{number}", "brand": "b1", "channel": "c1", "status": "OPEN"}
    return item(**{**known, "created": "2026-09-21T14:13:20Z", **attributes})


def attachment(number: int = 1, account: str = "acme", **attributes: Any) -> dict[str, Any]:
    """A right item of the attachments table."""
    known = {"account": account, "id": f"a{number}", "message": "m1", "name": "a.txt", "key": "/a.txt"}
    return item(**{**known, "created": "2026-09-21T14:13:20Z", **attributes})


def lines(*items: dict[str, Any]) -> bytes:
    """Items as the lines of an export's file."""
    return b"".join(orjson.dumps({"Item": one}) + b"\n" for one in items)


def read(text: bytes, entity: Entity = Entity.MESSAGES, *, careful: bool = False, block_bytes: int = 1 << 20) -> Batch:
    """The one batch that a text makes."""
    selected_mapping = mapping().of(entity)
    assert selected_mapping
    selection = Selection(selected_mapping, "acme")
    [batch] = read_items(io.BytesIO(text).read, selection, Position(), block_bytes=block_bytes, careful=careful)
    return batch
