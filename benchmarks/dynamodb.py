"""How fast items of DynamoDB become accepted records: from an export's files, and from a table beside a bare pager.

python -m benchmarks.dynamodb [--items N] [--workers N]
"""

from __future__ import annotations

import argparse
import base64
import gzip
import hashlib
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import orjson

from s3import.readers import read_part
from s3import.readers.dump import plan_pass
from s3import.readers.items.mapping import ItemMapping, parse_mapping
from s3import.readers.items.opening import Items, open_items
from s3import.readers.source import Source
from s3import.records import Entity, Pass, PlannedPart, Position
from s3import.settings import BLOCK_BYTES
from s3import.validators import check

ACCOUNT = "acme"
MAPPING = """
version = 1
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
[words.kind]
EMAIL = "email"
[words.direction]
true = "inbound"
false = "outbound"
"""
TEXT = "Thanks for getting back to me so quickly about the order; the parcel has not arrived and I would like to know. "


def item(number: int) -> dict[str, Any]:
    """A message of about 600 bytes as DynamoDB writes it, with an attribute that nobody maps."""
    author = {"role": {"S": "customer"}, "id": {"S": f"c{number % 999}"}, "name": {"S": "Ann Lee"}}
    return {
        "accountId": {"S": ACCOUNT},
        "messageId": {"S": hashlib.md5(b"%d" % number, usedforsecurity=False).hexdigest()},
        "threadId": {"S": f"t{number // 20}"},
        "type": {"S": "EMAIL"},
        "incoming": {"BOOL": number % 2 == 0},
        "text": {"S": TEXT[number % 50 :] + TEXT},
        "createdAt": {"N": str(1790000000000 - number)},
        "from": {"M": {**author, "email": {"S": f"c{number % 999}@example.com"}}},
        "ttl": {"N": "1893456000"},
    }


def write_export(folder: Path, items: int, files: int) -> None:
    """A full export as AWS lays it out."""
    (folder / "data").mkdir(parents=True)
    listed = []
    for number in range(files):
        numbers = range(number, items, files)
        body = gzip.compress(b"".join(orjson.dumps({"Item": item(n)}) + b"\n" for n in numbers), 6)
        (folder / f"data/{number}.json.gz").write_bytes(body)
        md5 = base64.b64encode(hashlib.md5(body, usedforsecurity=False).digest()).decode()
        listed.append({"itemCount": len(numbers), "md5Checksum": md5, "dataFileS3Key": f"x/data/{number}.json.gz"})
    (folder / "manifest-files.json").write_bytes(b"\n".join(orjson.dumps(file) for file in listed))
    summary = {
        "tableArn": "arn:aws:dynamodb:eu-west-1:111122223333:table/messages",
        "exportTime": "2026-09-30T00:00:00Z",
        "manifestFilesS3Key": "x/manifest-files.json",
        "itemCount": items,
        "outputFormat": "DYNAMODB_JSON",
    }
    (folder / "manifest-summary.json").write_bytes(orjson.dumps(summary))


def read_all(source: Source, workers: int) -> int:
    """Read every part of whatever pass, and check it; the number of accepted records."""
    planned = plan_pass(source, ACCOUNT, Pass.RECENT).parts
    parts = [PlannedPart(part.entity, part.key, part.stored) for part in planned]

    def read(part: PlannedPart) -> int:
        batches = read_part(source, part, Position(), block_bytes=BLOCK_BYTES)
        return sum(check(batch, Entity.MESSAGES, ACCOUNT).accepted.num_rows for batch in batches)

    with ThreadPoolExecutor(workers) as reading:
        return sum(reading.map(read, parts))


def timed(work: Callable[[], int]) -> tuple[int, float, float]:
    """What the work returns, the seconds it took, and those of processors, which a busy machine does not change."""
    began, used = time.perf_counter(), time.process_time()
    return work(), time.perf_counter() - began, time.process_time() - used


def measure_export(mapping: ItemMapping, items: int, workers: int, rounds: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        write_export(Path(folder), items, 2 * workers)
        for _ in range(rounds):
            count, seconds, used = timed(lambda: read_all(open_items(folder, ACCOUNT, items=Items(mapping)), workers))
            print(
                f"export: {count} items, {workers} workers: {seconds:.2f} s, {count / seconds:,.0f} items a second; "
                f"{count / used:,.0f} in a second of one processor"
            )


@contextmanager
def endpoint() -> Iterator[str]:
    """moto's server in a process of its own, so that it does not share our interpreter's lock."""
    program = Path(sys.executable).with_name("moto_server")
    server = subprocess.Popen([program, "-p", "0"], stderr=subprocess.PIPE, text=True)
    assert server.stderr
    url = next(line.split("Running on ")[1].strip() for line in server.stderr if "Running on " in line)
    threading.Thread(target=server.stderr.read, daemon=True).start()  # what it says about requests must not fill a pipe
    try:
        yield url
    finally:
        server.kill()
        server.wait()


def measure_table(mapping: ItemMapping, items: int, rounds: int) -> None:
    import boto3

    with endpoint() as url:
        names = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")
        os.environ.update(dict.fromkeys(names, "x"), AWS_ENDPOINT_URL=url, AWS_DEFAULT_REGION="us-east-1")
        client = boto3.client("dynamodb")
        client.create_table(
            TableName="messages",
            KeySchema=[{"AttributeName": name, "KeyType": kind} for name, kind in _KEYS],
            AttributeDefinitions=[{"AttributeName": name, "AttributeType": "S"} for name, _ in _KEYS],
            BillingMode="PAY_PER_REQUEST",
        )
        for first in range(0, items, 25):
            batch = [{"PutRequest": {"Item": item(number)}} for number in range(first, min(first + 25, items))]
            client.batch_write_item(RequestItems={"messages": batch})
        for _ in range(rounds):
            _, bare, _ = timed(lambda: _page_through(client))
            count, ours, _ = timed(lambda: read_all(open_items("dynamodb:", ACCOUNT, items=Items(mapping)), 1))
            print(f"table: {count} items: {ours:.2f} s, a bare pager {bare:.2f} s, ratio {ours / bare:.2f}")


_KEYS = (("accountId", "HASH"), ("messageId", "RANGE"))


def _page_through(client: Any) -> int:
    pages = client.get_paginator("query").paginate(
        TableName="messages",
        KeyConditionExpression="accountId = :a",
        ExpressionAttributeValues={":a": {"S": ACCOUNT}},
    )
    return sum(len(page["Items"]) for page in pages)


def main() -> None:
    parser = argparse.ArgumentParser(description="How fast items of DynamoDB become accepted records.")
    parser.add_argument("--items", type=int, default=1_000_000, help="in the export")
    parser.add_argument("--table-items", type=int, default=20_000, help="in the table")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    mapping = parse_mapping(MAPPING, "the benchmark's mapping")
    measure_export(mapping, given.items, given.workers, given.rounds)
    measure_table(mapping, given.table_items, given.rounds)


if __name__ == "__main__":
    main()
