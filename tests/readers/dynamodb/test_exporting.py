"""Exports that somebody else writes: moto's, started by `s3import export`, read back from its S3."""

from __future__ import annotations

import datetime as dt
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import orjson
import pytest
from click.testing import CliRunner

from s3import.cli import cli
from s3import.core.errors import ConfigurationError, Interrupted, MigrationFailed, SourceMissing
from s3import.core.records import Entity, Pass, PlannedPart, Position
from s3import.readers.dynamodb.budget import ReadBudget
from s3import.readers.dynamodb.exporting import export_tables
from s3import.readers.dynamodb.mapping import parse_mapping
from s3import.readers.dynamodb.opening import Items, open_items, open_tables
from s3import.readers.dynamodb.table_source import Tables
from s3import.readers.sources.source import RetryPolicy, Role
from tests.cli.commands import environment
from tests.objects import Bucket
from tests.readers.dynamodb.exports import digest
from tests.readers.dynamodb.items import MAPPING, mapping, message
from tests.readers.dynamodb.served import Served

QUICK = RetryPolicy(retry_seconds=0, first_wait_seconds=0.01)


def with_manifests(bucket: Bucket, prefix: str) -> None:
    """moto writes the data of an export only: what AWS writes beside it is added, one table to each file."""
    listed = bucket.client.list_objects_v2(Bucket=bucket.bucket, Prefix=prefix)["Contents"]
    for number, key in enumerate(entry["Key"] for entry in listed):
        body = bucket.client.get_object(Bucket=bucket.bucket, Key=key)["Body"].read()
        table, count = _contents(body)
        folder = key.partition("/data/")[0]
        file = {"itemCount": count, "md5Checksum": digest(body), "dataFileS3Key": key}
        summary = {
            "tableArn": f"arn:aws:dynamodb:us-east-1:1:table/{table or number}",
            "exportTime": "2026-09-30T00:00:00Z",
            "manifestFilesS3Key": f"{folder}/manifest-files.json",
            "itemCount": count,
            "outputFormat": "DYNAMODB_JSON",
        }
        bucket.put(f"{folder}/manifest-files.json", orjson.dumps(file))
        bucket.put(f"{folder}/manifest-summary.json", orjson.dumps(summary))


def _contents(body: bytes) -> tuple[str, int]:
    """The table that an exported file is of (its items say so), and the number of its items."""
    import gzip

    items = [orjson.loads(line)["Item"] for line in gzip.decompress(body).splitlines()]
    return (items[0]["table"]["S"] if items else "", len(items))


def test_an_export_by_moto_is_read(moto_tables: Served, s3: Bucket, tmp_path: Path) -> None:
    """`s3import export` starts an export of each table and waits; what was written is read from S3."""
    path = tmp_path / "mapping.toml"
    path.write_text(moto_tables.mapping_text(MAPPING))
    for table in ("threads", "messages", "attachments"):
        name = f"{table}-{moto_tables.suffix}"
        sort = {"sort": "M#x"} if table == "messages" else {}
        moto_tables.put(table, {**message(1, id="x", table=name, body={"N": "1" * 38}), **_sort(sort)})
        moto_tables.client.update_continuous_backups(
            TableName=name, PointInTimeRecoverySpecification={"PointInTimeRecoveryEnabled": True}
        )
    source = f"s3://{s3.bucket}/exports/{{account}}"
    words = ["export", "--account", "acme", "--source", source, "--mapping", str(path)]
    shown = CliRunner().invoke(cli, words, env=environment())
    assert shown.output.count(": 1 items, arn:aws:dynamodb:") == 3
    with_manifests(s3, "exports/acme")
    items = open_items(source, "acme", items=Items(parse_mapping(path.read_text(), "m")), policy=QUICK)
    [part] = (part for part in items.plan(Pass.RECENT).parts if part.entity is Entity.MESSAGES)
    whole = PlannedPart(part.entity, part.key, part.stored)
    [batch] = items.read_part(whole, Position(), 1 << 20)
    assert batch.records["id"].to_pylist() == ["x"]
    assert batch.records["body"].to_pylist() == ["1" * 38]


def _sort(sort: dict[str, str]) -> dict[str, Any]:
    return {name: {"S": text} for name, text in sort.items()}


def test_an_export_in_a_role(s3: Bucket) -> None:
    """An export in S3 is read in a role too: in moto its account has no such bucket."""
    role = Role("arn:aws:iam::555566667777:role/reader")
    source = open_items(f"s3://{s3.bucket}/x", "acme", items=Items(mapping()), policy=QUICK, role=role)
    assert source.companion.read("account.json") is None
    with pytest.raises((SourceMissing, MigrationFailed)):
        source.plan(Pass.RECENT)


class Exporting:
    """A client whose exports end as given."""

    def __init__(self, *ends: dict[str, Any]) -> None:
        self.ends = list(ends)
        self.now: dict[str, Any] = {"ExportStatus": "IN_PROGRESS"}
        self.tokens: list[str] = []

    def describe_table(self, TableName: str) -> dict[str, Any]:  # noqa: N803 - boto3's name
        return {"Table": {"TableArn": f"arn:aws:dynamodb:us-east-1:1:table/{TableName}"}}

    def export_table_to_point_in_time(self, **request: Any) -> dict[str, Any]:
        self.tokens.append(request["ClientToken"])
        self.ends.insert(0, self.now)
        return {"ExportDescription": {"ExportArn": "arn:1"}}

    def describe_export(self, **_: Any) -> dict[str, Any]:
        return {"ExportDescription": self.ends.pop(0)}


def exported(client: Exporting, stop: threading.Event | None = None) -> list[Any]:
    tables = Tables(client, QUICK, ReadBudget(None))
    uri = "s3://bucket/x"
    return list(export_tables(tables, mapping(), uri, stop=stop or threading.Event(), look_seconds=0.001))


def test_an_export_is_waited_for() -> None:
    """An export is looked at until it is complete; asked for again it is the same one."""
    done = {"ExportStatus": "COMPLETED", "ItemCount": 7}
    client = Exporting({"ExportStatus": "IN_PROGRESS"}, done, done, done)
    assert [one.item_count for one in exported(client)] == [7, 7, 7]
    again = Exporting(done, done, done)
    exported(again)
    assert again.tokens == client.tokens
    assert len(set(client.tokens)) == 3


def test_an_export_that_fails() -> None:
    """The message says which table and by which code, and where the rest stands; it repeats no text of AWS's."""
    failed = {"ExportStatus": "FAILED", "FailureCode": "S3NoSuchBucket", "FailureMessage": "canary"}
    with pytest.raises(MigrationFailed, match=r"table threads failed: S3NoSuchBucket; .*--export-arn arn:") as caught:
        exported(Exporting(failed))
    assert "canary" not in str(caught.value)


def test_an_export_that_failed_before() -> None:
    """Where an earlier command's export failed, the same command starts another one."""
    client = Exporting({"ExportStatus": "COMPLETED"})
    failed = {"ExportStatus": "FAILED", "StartTime": dt.datetime(2026, 1, 1, tzinfo=dt.UTC)}
    start, client.now = client.export_table_to_point_in_time, failed

    def start_again(**request: Any) -> dict[str, Any]:
        answer = start(**request)
        client.now = {"ExportStatus": "IN_PROGRESS"}
        return answer

    client.export_table_to_point_in_time = start_again  # type: ignore[method-assign]
    only = replace(mapping(), entities=mapping().entities[:1])
    tables = Tables(client, QUICK, ReadBudget(None))
    assert len(list(export_tables(tables, only, "s3://bucket/x", stop=threading.Event()))) == 1
    assert len(set(client.tokens)) == 2


def test_a_table_without_point_in_time_recovery(moto_tables: Served, s3: Bucket) -> None:
    """The message says what to turn on, and does not speak of permissions."""
    known = parse_mapping(moto_tables.mapping_text(MAPPING), "m")
    tables = open_tables(policy=QUICK)
    with pytest.raises(MigrationFailed, match=r"cannot be exported: .*; turn on its point-in-time recovery") as raised:
        list(export_tables(tables, known, f"s3://{s3.bucket}", stop=threading.Event()))
    assert raised.value.code == "failed"


def test_waiting_can_be_interrupted() -> None:
    """A signal ends the waiting, not the export."""
    stop = threading.Event()
    stop.set()
    with pytest.raises(Interrupted, match="goes on by itself"):
        exported(Exporting({"ExportStatus": "IN_PROGRESS"}), stop)


def test_an_export_goes_to_a_bucket() -> None:
    """A folder is no place for an export."""
    with pytest.raises(ConfigurationError, match="an export goes to a bucket"):
        list(export_tables(Tables(None, QUICK, ReadBudget(None)), mapping(), "/tmp/x", stop=threading.Event()))
