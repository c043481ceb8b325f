"""Items of DynamoDB for `benchmarks.dynamodb`: as an export has them, as tables have them, and how they are mapped."""

from __future__ import annotations

import base64
import gzip
import hashlib
import time
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import orjson

ACCOUNT = "acme"
SPREAD_MS = 730 * 24 * 3600 * 1000  # what was created lies within two years: one in 24 is recent
TEXT = "Thanks for getting back to me so quickly about the order; the parcel has not arrived and I would like to know. "
KEYS = {"threads": "threadId", "messages": "messageId", "attachments": "attachmentId"}
"""Each table's sort key; the partition key is the account's id."""
MAPPING = """
version = 1
beside = "BESIDE"
[threads]
table = "threads"
key = { attribute = "accountId", value = "{account}" }
[threads.fields]
id = "threadId"
brand_id = { constant = "b" }
channel_id = { constant = "c" }
status = { path = "state", words = "status" }
subject = "subject"
created_at = { path = "createdAt", time = "milliseconds" }
[messages]
table = "messages"
key = { attribute = "accountId", value = "{account}" }
[messages.fields]
id = "messageId"
thread_id = "threadId"
kind = { path = "type", words = "kind" }
direction = { path = "incoming", words = "direction" }
body = "text"
created_at = { path = "createdAt", time = "milliseconds" }
author.type = "from.role"
author.id = "from.id"
author.name = "from.name"
author.email = "from.email"
[attachments]
table = "attachments"
key = { attribute = "accountId", value = "{account}" }
[attachments.fields]
id = "attachmentId"
message_id = "messageId"
filename = "name"
size_bytes = "size"
key = "location"
created_at = { path = "createdAt", time = "milliseconds" }
[words.status]
OPEN = "open"
[words.kind]
EMAIL = "email"
[words.direction]
true = "inbound"
false = "outbound"
"""


class Items:
    """The items of one account: so many messages, a twentieth as many threads, a tenth as many attachments."""

    def __init__(self, messages: int) -> None:
        self.counts = {"threads": -(-messages // 20), "messages": messages, "attachments": messages // 10}
        self._now = int(time.time() * 1000)

    def of(self, table: str, first: int = 0, step: int = 1) -> Iterator[dict[str, Any]]:
        """Every `step`-th item of a table."""
        make = {"threads": self._thread, "messages": self._message, "attachments": self._attachment}[table]
        return (make(number) for number in range(first, self.counts[table], step))

    def _known(self, table: str, number: int, message: int) -> dict[str, Any]:
        created = self._now - message * SPREAD_MS // self.counts["messages"]
        return {
            "accountId": {"S": ACCOUNT},
            KEYS[table]: {"S": _id(table, number)},
            "createdAt": {"N": str(created - 60_000)},
        }

    def _thread(self, number: int) -> dict[str, Any]:
        known = self._known("threads", number, number * 20 + 19)
        return {**known, "state": {"S": "OPEN"}, "subject": {"S": TEXT[:60]}}

    def _message(self, number: int) -> dict[str, Any]:
        """About 600 bytes as DynamoDB writes it, with an attribute that nobody maps."""
        author = {"role": {"S": "customer"}, "id": {"S": f"c{number % 999}"}, "name": {"S": "Ann Lee"}}
        return {
            **self._known("messages", number, number),
            "threadId": {"S": _id("threads", number // 20)},
            "type": {"S": "EMAIL"},
            "incoming": {"BOOL": number % 2 == 0},
            "text": {"S": TEXT[number % 50 :] + TEXT},
            "from": {"M": {**author, "email": {"S": f"c{number % 999}@example.com"}}},
            "ttl": {"N": "1893456000"},
        }

    def _attachment(self, number: int) -> dict[str, Any]:
        known = self._known("attachments", number, number * 10)
        location = {"name": {"S": "photo.jpg"}, "location": {"S": f"files/{number}.jpg"}, "size": {"N": "48213"}}
        return {**known, "messageId": {"S": _id("messages", number * 10)}, **location}


def _id(table: str, number: int) -> str:
    return hashlib.md5(b"%s %d" % (table.encode(), number), usedforsecurity=False).hexdigest()


def write_beside(folder: Path) -> str:
    """account.json in a folder; the mapping of the tables that names it."""
    folder.mkdir()
    channel = {"id": "c", "brand_id": "b", "kind": "email"}
    (folder / "account.json").write_bytes(orjson.dumps({"id": ACCOUNT, "brands": [{"id": "b"}], "channels": [channel]}))
    return MAPPING.replace("BESIDE", str(folder))


def write_exports(folder: Path, items: Items, files: int) -> None:
    """A full export of each table as AWS lays it out, in so many files."""
    for table in KEYS:
        _write_export(folder / table, table, items, files)


def _write_export(folder: Path, table: str, items: Items, files: int) -> None:
    (folder / "data").mkdir(parents=True)
    listed: list[Mapping[str, Any]] = []
    for number in range(files):
        key, lines = f"data/{number}.json.gz", [orjson.dumps({"Item": item}) for item in items.of(table, number, files)]
        body = gzip.compress(b"".join(line + b"\n" for line in lines), 6)
        (folder / key).write_bytes(body)
        md5 = base64.b64encode(hashlib.md5(body, usedforsecurity=False).digest()).decode()
        listed.append({"itemCount": len(lines), "md5Checksum": md5, "dataFileS3Key": f"x/{key}"})
    (folder / "manifest-files.json").write_bytes(b"\n".join(orjson.dumps(file) for file in listed))
    summary = {
        "tableArn": f"arn:aws:dynamodb:eu-west-1:111122223333:table/{table}",
        "exportTime": "2026-09-30T00:00:00Z",
        "manifestFilesS3Key": "x/manifest-files.json",
        "itemCount": items.counts[table],
        "outputFormat": "DYNAMODB_JSON",
    }
    (folder / "manifest-summary.json").write_bytes(orjson.dumps(summary))


def in_order(mapping: str) -> str:
    """The mapping of the same items in tables whose sort key is the time of creation."""
    for table in KEYS:
        sort = 'sort = { attribute = "createdAt", in_order = true }'
        mapping = mapping.replace(f'table = "{table}"', f'table = "{table}-in-order"\n{sort}')
    return mapping


def fill_tables(client: Any, items: Items) -> None:
    """The tables, with all items, each by ids and in order of creation."""
    for table, sort in KEYS.items():
        _fill(client, table, (sort, "S"), items.of(table))
        _fill(client, f"{table}-in-order", ("createdAt", "N"), items.of(table))


def _fill(client: Any, table: str, sort: tuple[str, str], items: Iterable[dict[str, Any]]) -> None:
    keys = (("accountId", "HASH", "S"), (sort[0], "RANGE", sort[1]))
    client.create_table(
        TableName=table,
        KeySchema=[{"AttributeName": name, "KeyType": kind} for name, kind, _ in keys],
        AttributeDefinitions=[{"AttributeName": name, "AttributeType": type_} for name, _, type_ in keys],
        BillingMode="PAY_PER_REQUEST",
    )
    client.get_waiter("table_exists").wait(TableName=table, WaiterConfig={"Delay": 0.05, "MaxAttempts": 600})
    waiting = [{"PutRequest": {"Item": item}} for item in items]
    while waiting:
        asked, waiting = waiting[:25], waiting[25:]
        answer = client.batch_write_item(RequestItems={table: asked})
        waiting += answer.get("UnprocessedItems", {}).get(table, [])
