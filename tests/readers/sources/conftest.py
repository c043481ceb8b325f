"""Places where a dump can lie, alike to the tests whatever is behind them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Protocol

import pytest

from s3import.readers.sources.location import open_source
from s3import.readers.sources.source import RetryPolicy, Source
from tests.objects import Bucket

QUICK = RetryPolicy(retry_seconds=60, connect_seconds=10, stall_seconds=2, first_wait_seconds=0.01)
ACCOUNT = "acme"


class Place(Protocol):
    """A root for dumps: `uri` holds ``{account}``; keys are relative to the account's folder."""

    uri: str

    def put(self, key: str, body: bytes = b"") -> None: ...
    def remove(self, key: str) -> None: ...
    def source(self) -> Source: ...


class FolderPlace:
    def __init__(self, folder: Path) -> None:
        self.uri = f"{folder}/{{account}}"
        self.root = folder / ACCOUNT

    def put(self, key: str, body: bytes = b"") -> None:
        path = self.root / key
        path.parent.mkdir(parents=True, exist_ok=True)
        new = path.with_name("new")
        new.write_bytes(body)
        new.replace(path)  # another inode: two changes may fall into one tick of the file system's clock

    def remove(self, key: str) -> None:
        (self.root / key).unlink()

    def source(self) -> Source:
        return open_source(self.uri, ACCOUNT)


class BucketPlace:
    def __init__(self, bucket: Bucket) -> None:
        self.uri = f"s3://{bucket.bucket}/dumps/{{account}}"
        self.bucket = bucket

    def put(self, key: str, body: bytes = b"") -> None:
        self.bucket.put(f"dumps/{ACCOUNT}/{key}", body)

    def remove(self, key: str) -> None:
        self.bucket.client.delete_object(Bucket=self.bucket.bucket, Key=f"dumps/{ACCOUNT}/{key}")

    def source(self) -> Source:
        return open_source(self.uri, ACCOUNT, policy=QUICK)


@pytest.fixture
def folder(tmp_path: Path) -> FolderPlace:
    """A root in the file system."""
    return FolderPlace(tmp_path)


@pytest.fixture
def bucket(s3: Bucket) -> BucketPlace:
    """A root in S3."""
    return BucketPlace(s3)


@pytest.fixture(params=["folder", "bucket"])
def place(request: pytest.FixtureRequest) -> Place:
    """Every kind of root in turn."""
    if request.param == "bucket":
        request.applymarker(pytest.mark.integration)
    found: Place = request.getfixturevalue(request.param)
    return found


@pytest.fixture
def put_all(place: Place) -> Callable[..., None]:
    """Store empty objects under many keys."""

    def put(*keys: str) -> None:
        for key in keys:
            place.put(key)

    return put
