"""Dumps with files in them, in a folder or in a bucket, and the places where files go."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol

from s3import.core.records import Entity, Pass
from s3import.core.settings import Settings
from s3import.importing.requests import Result
from s3import.operations.composition import opened
from tests.importing import dumps, moving
from tests.importing.dumps import ACCOUNT, Dump, Record
from tests.objects import Bucket

RECENT = (Pass.RECENT,)


def attachment(number: int, body: bytes | None = None, **fields: Any) -> Record:
    """Attachment a0, a1 ... of the message of that number, with its file's size and checksum where `body` is given."""
    [record] = dumps.records(Entity.ATTACHMENTS, number + 1)[number:]
    known = {"size_bytes": len(body), "sha256": hashlib.sha256(body).hexdigest()} if body is not None else {}
    return {**record, "key": f"files/{number}", **known, **fields}


def call(number: int, **fields: Any) -> Record:
    """Message m0, m1 ... with a recording at ``files/call-0.wav``."""
    [record] = dumps.records(Entity.MESSAGES, number + 1)[number:]
    return {**record, "kind": "call", "telephony": {"recording_key": f"files/call-{number}.wav"}, **fields}


def dump_of(
    attachments: list[Record], files: Mapping[str, bytes], calls: list[Record] | None = None, count: int = 8
) -> Dump:
    """A recent pass with threads, messages, these attachments, and files by their keys."""
    calls = calls or []
    messages = [one for one in dumps.records(Entity.MESSAGES, count) if one["id"] not in {c["id"] for c in calls}]
    return {
        "account.json": dumps.account_document(),
        "recent/threads/part-0.jsonl": dumps.lines(dumps.records(Entity.THREADS, count)),
        "recent/messages/part-0.jsonl": dumps.lines([*messages, *calls]),
        "recent/attachments/part-0.jsonl": dumps.lines(attachments),
        **files,
    }


class Place(Protocol):
    """A root below which an account's objects lie; `uri` holds ``{account}``."""

    uri: str

    def put(self, key: str, body: bytes) -> None: ...
    def get(self, key: str) -> bytes | None: ...
    def keys(self) -> list[str]: ...


class FolderPlace:
    def __init__(self, folder: Path) -> None:
        self.uri = f"{folder}/{{account}}"
        self.root = folder / ACCOUNT

    def put(self, key: str, body: bytes) -> None:
        path = self.root / key
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(body)

    def get(self, key: str) -> bytes | None:
        path = self.root / key
        return path.read_bytes() if path.exists() else None

    def keys(self) -> list[str]:
        return sorted(path.relative_to(self.root).as_posix() for path in self.root.rglob("*") if path.is_file())


class BucketPlace:
    def __init__(self, bucket: Bucket, prefix: str) -> None:
        self.uri = f"s3://{bucket.bucket}/{prefix}/{{account}}"
        self.bucket = bucket
        self._root = f"{prefix}/{ACCOUNT}/"

    def put(self, key: str, body: bytes) -> None:
        self.bucket.put(self._root + key, body)

    def get(self, key: str) -> bytes | None:
        found = self.head(key)
        address = {"Bucket": self.bucket.bucket, "Key": self._root + key}
        body: bytes | None = self.bucket.client.get_object(**address)["Body"].read() if found else None
        return body

    def head(self, key: str) -> dict[str, Any] | None:
        """What S3 says of the object."""
        try:
            found: dict[str, Any] = self.bucket.client.head_object(Bucket=self.bucket.bucket, Key=self._root + key)
        except self.bucket.client.exceptions.ClientError:
            return None
        return found

    def keys(self) -> list[str]:
        listed = self.bucket.client.list_objects_v2(Bucket=self.bucket.bucket, Prefix=self._root).get("Contents", ())
        return sorted(entry["Key"].removeprefix(self._root) for entry in listed)


def fill(place: Place, dump: Dump) -> None:
    for key, body in dump.items():
        place.put(key, body)


def settings_for(source: Place, target: Place, database_url: str, **changes: Any) -> Settings:
    """Small batches and few threads, from one place to the other."""
    small = moving.settings_for("", database_url, retry_seconds=5.0, files_in_flight=4, files_to=target.uri)
    return replace(small, source=source.uri, **changes)


def states(settings: Settings) -> dict[str, tuple[str, str | None]]:
    """State and storage key of every attachment, by id."""
    return {row["id"]: (row["state"], row["storage_key"]) for row in moving.rows(settings)["attachments"]}


def told_last(settings: Settings) -> tuple[str, str | None]:
    """The newest event of the account's diary, and of which pass it is."""
    with opened(settings) as operations:
        *_, last = operations.each_event(ACCOUNT)
    return last["event"], last["pass"]


def files_of(result: Result) -> dict[str, int]:
    """What the status document says of the recent pass's files."""
    files: dict[str, int] = result.document["passes"]["recent"]["files"]
    return files
