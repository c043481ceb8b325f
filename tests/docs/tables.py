"""DynamoDB's tables of an account as the guide to them has them, and an export of these tables."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import boto3

from tests.objects import Bucket
from tests.readers.dynamodb.exports import write_export
from tests.readers.dynamodb.items import item

ACCOUNT, REGION = "tidewater", "eu-west-1"  # a region of the guide's own: other tests have tables in another
KEYS = {"conversations": ("pk", "sk"), "attachments": ("attachmentId", None)}
INDEX = ("by-account", "accountId", "createdAt")
MILLISECONDS = 1_790_000_000_000  # September 2026
ITEMS: dict[str, list[dict[str, Any]]] = {
    "conversations": [
        item(
            pk=f"ACCOUNT#{ACCOUNT}",
            sk="THREAD#t1",
            brandId="brd_shop",
            channelId="chn_email",
            state="OPEN",
            subject="Late delivery",
            createdAt=MILLISECONDS,
        ),
        *(
            item(
                pk=f"ACCOUNT#{ACCOUNT}",
                sk=f"MESSAGE#m{number}",
                messageId=f"m{number}",
                threadId="t1",
                type="EMAIL",
                incoming=True,
                text="Where is it?",
                createdAt=MILLISECONDS + number,
            )
            for number in (1, 2)
        ),
    ],
    "attachments": [
        item(
            attachmentId="a1",
            accountId=ACCOUNT,
            messageId="m1",
            name="parcel.jpg",
            location="files/parcel.jpg",
            createdAt="2026-09-22T10:00:00Z",
        )
    ],
}


def fill(store: Bucket, folder: Path) -> None:
    """Create the tables and fill them; put an export of them below `2026-11/` of the bucket, by way of the folder."""
    client = boto3.client("dynamodb", endpoint_url=store.endpoint_url, region_name=REGION)
    for table, (key, sort) in KEYS.items():
        names = [name for name in (key, sort, *(INDEX[1:] if sort is None else ())) if name]
        index = {} if sort else {"GlobalSecondaryIndexes": [_index()]}
        client.create_table(
            TableName=table,
            KeySchema=_keys(key, sort),
            AttributeDefinitions=[{"AttributeName": name, "AttributeType": "S"} for name in names],
            BillingMode="PAY_PER_REQUEST",
            **index,
        )
        client.update_continuous_backups(
            TableName=table, PointInTimeRecoverySpecification={"PointInTimeRecoveryEnabled": True}
        )
        for one in ITEMS[table]:
            client.put_item(TableName=table, Item=one)
        write_export(folder, table, [ITEMS[table]])
    for path in (path for path in folder.rglob("*") if path.is_file()):
        store.put(f"2026-11/{path.relative_to(folder)}", path.read_bytes())


def _index() -> dict[str, Any]:
    return {"IndexName": INDEX[0], "KeySchema": _keys(*INDEX[1:]), "Projection": {"ProjectionType": "ALL"}}


def _keys(key: str, sort: str | None) -> list[dict[str, str]]:
    kinds = {key: "HASH", **({sort: "RANGE"} if sort else {})}
    return [{"AttributeName": name, "KeyType": kind} for name, kind in kinds.items()]
