"""Starts AWS's *Export to S3* of the mapped tables, and waits for it."""

from __future__ import annotations

import datetime as dt
import hashlib
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from s3import.core.errors import ConfigurationError, Interrupted, MigrationFailed
from s3import.readers.dynamodb.mapping import ItemMapping
from s3import.readers.dynamodb.table_source import Tables
from s3import.readers.sources.remedies import shown_code

LOOK_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class Exported:
    """A table that was exported: how many items, and the export's ARN."""

    table_name: str
    item_count: int
    arn: str


def export_tables(
    tables: Tables, mapping: ItemMapping, uri: str, *, stop: threading.Event, look_seconds: float = LOOK_SECONDS
) -> Iterator[Exported]:
    """Export every table of the mapping as it is now below ``s3://bucket/prefix``, all at once; each when it is done.

    Asked for again within eight hours, an export is the same one: whoever was interrupted goes on waiting.
    Raises: ConfigurationError, MigrationFailed (an export failed), Interrupted; what asking a table raises.
    """
    bucket, _, prefix = uri.removeprefix("s3://").partition("/")
    if not uri.startswith("s3://") or not bucket:
        raise ConfigurationError(f"an export goes to a bucket, not to {uri}; give --source s3://bucket/prefix")
    began = dt.datetime.now(dt.UTC)
    names = {one.table_name: one.table for one in mapping.entities}
    arns = {name: _start(tables, table, bucket, prefix.strip("/"), began) for name, table in names.items()}
    for name, arn in arns.items():
        yield _wait(tables, name, arn, stop, look_seconds)


def _start(tables: Tables, table: str, bucket: str, prefix: str, began: dt.datetime) -> str:
    """The ARN of the table's export. One of an earlier command goes on, unless it failed: then there is a new one."""
    table_arn = table if table.startswith("arn:") else _arn(tables, table)
    request = {"TableArn": table_arn, "S3Bucket": bucket, "S3Prefix": prefix, "ExportFormat": "DYNAMODB_JSON"}
    asked_for = f"{table_arn} {bucket} {prefix}"
    ask = tables.client.export_table_to_point_in_time
    while True:
        token = {"ClientToken": hashlib.sha256(asked_for.encode()).hexdigest()[:36]}
        answer = tables.ask(ask, "ExportTableToPointInTime", table, {**request, **token})
        arn = str(answer["ExportDescription"]["ExportArn"])
        export = _look(tables, table, arn)
        if export["ExportStatus"] != "FAILED" or export["StartTime"] >= began:
            return arn
        asked_for += f" {arn}"


def _arn(tables: Tables, table: str) -> str:
    answer = tables.ask(tables.client.describe_table, "DescribeTable", table, {"TableName": table})
    return str(answer["Table"]["TableArn"])


def _look(tables: Tables, table: str, arn: str) -> dict[str, Any]:
    answer = tables.ask(tables.client.describe_export, "DescribeExport", table, {"ExportArn": arn})
    export: dict[str, Any] = answer["ExportDescription"]
    return export


def _wait(tables: Tables, name: str, arn: str, stop: threading.Event, look_seconds: float) -> Exported:
    while True:
        export = _look(tables, name, arn)
        if export["ExportStatus"] == "COMPLETED":
            return Exported(name, export.get("ItemCount") or 0, arn)
        if export["ExportStatus"] != "IN_PROGRESS":
            code = shown_code(str(export.get("FailureCode")))  # AWS's message may quote keys and policies
            raise MigrationFailed(
                f"the export of the table {name} failed: {code}; correct that (`aws dynamodb describe-export "
                f"--export-arn {arn}` shows what AWS says), then run the same command again"
            )
        if stop.wait(look_seconds):
            raise Interrupted(f"the export of the table {name} goes on by itself; the same command waits for it again")
