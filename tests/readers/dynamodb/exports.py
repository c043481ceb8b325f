"""Exports to S3 as tests write them: into a folder, the way AWS lays them out."""

from __future__ import annotations

import base64
import gzip
import hashlib
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import orjson

from tests.readers.dynamodb.items import lines


def digest(body: bytes) -> str:
    """The MD5 as manifests spell it."""
    return base64.b64encode(hashlib.md5(body, usedforsecurity=False).digest()).decode()


def write_export(
    root: Path,
    table: str,
    files: Sequence[Sequence[dict[str, Any]]],
    *,
    export_id: str = "01700000000000-abcdef12",
    **summary: Any,
) -> Path:
    """A full export of a table in files of items; the folder of its manifests."""
    return write_files(root, table, [lines(*items) for items in files], export_id=export_id, **summary)


def write_files(root: Path, table: str, texts: Sequence[bytes], *, export_id: str, **summary: Any) -> Path:
    """An export of files with these texts. `summary` changes what the manifest's summary says."""
    prefix = f"exports/{table}/AWSDynamoDB/{export_id}"
    folder = root / "AWSDynamoDB" / f"{table}-{export_id}"
    (folder / "data").mkdir(parents=True)
    listed: list[dict[str, Any]] = []
    for number, text in enumerate(texts):
        name, body = f"data/{number:04}.json.gz", gzip.compress(text, 1, mtime=0)
        (folder / name).write_bytes(body)
        count = len(text.splitlines())
        listed.append(
            {"itemCount": count, "md5Checksum": digest(body), "etag": "x", "dataFileS3Key": f"{prefix}/{name}"}
        )
    document = {
        "version": "2020-06-30",
        "exportArn": f"arn:aws:dynamodb:eu-west-1:111122223333:table/{table}/export/{export_id}",
        "tableArn": f"arn:aws:dynamodb:eu-west-1:111122223333:table/{table}",
        "exportTime": "2026-09-30T00:00:00.000Z",
        "manifestFilesS3Key": f"{prefix}/manifest-files.json",
        "itemCount": sum(file["itemCount"] for file in listed),
        "outputFormat": "DYNAMODB_JSON",
        **summary,
    }
    _put(folder, "manifest-files", b"".join(orjson.dumps(file) + b"\n" for file in listed))
    _put(folder, "manifest-summary", orjson.dumps(document))
    return folder


def call_empty(folder: Path) -> None:
    """Let an export's manifests say that there is nothing in it."""
    for name in ("manifest-summary", "manifest-files"):
        text = (folder / f"{name}.json").read_bytes()
        _put(folder, name, re.sub(rb'"itemCount":[0-9]+', b'"itemCount":0', text))


def _put(folder: Path, name: str, text: bytes) -> None:
    (folder / f"{name}.json").write_bytes(text)
    (folder / f"{name}.md5").write_text(digest(text))
