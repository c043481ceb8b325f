"""Fixture `s3`: a bucket of one's own on a real S3 endpoint, moto's server on loopback, one a pytest process."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

CREDENTIALS = {
    "AWS_ACCESS_KEY_ID": "testing",
    "AWS_SECRET_ACCESS_KEY": "testing",
    "AWS_REGION": "us-east-1",
    "AWS_DEFAULT_REGION": "us-east-1",
    "AWS_CONFIG_FILE": "/dev/null",
    "AWS_SHARED_CREDENTIALS_FILE": "/dev/null",
    "AWS_EC2_METADATA_DISABLED": "true",
    "NO_PROXY": "127.0.0.1",
}
_numbers = itertools.count(1)


@dataclass(frozen=True, slots=True)
class Bucket:
    """An empty bucket; `client` is boto3's, for what `put` does not do."""

    endpoint_url: str
    bucket: str
    client: Any

    def put(self, key: str, body: bytes = b"") -> None:
        """Store an object under a key (relative to the bucket)."""
        self.client.put_object(Bucket=self.bucket, Key=key, Body=body)

    def put_many(self, keys: list[str], body: bytes = b"") -> None:
        """Store many objects straight into the server's memory, which is a hundred times faster."""
        from moto.backends import get_backend

        backend = get_backend("s3")["123456789012"]["aws"]
        for key in keys:
            backend.put_object(self.bucket, key, body)


@pytest.fixture(scope="session")
def _models() -> Iterator[None]:
    """Clients of AWS are made from megabytes of JSON, which is read once a process and not once a client."""
    import botocore.session

    loader = botocore.loaders.create_loader()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(botocore.session, "create_loader", lambda *_: loader)
        yield


@pytest.fixture(scope="session")
def s3_endpoint(_models: None) -> Iterator[tuple[str, Any]]:
    """The endpoint's URL and a client of it."""
    import boto3
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    url = "http://{}:{}".format(*server.get_host_and_port())
    client = boto3.client(
        "s3", endpoint_url=url, region_name="us-east-1", aws_access_key_id="testing", aws_secret_access_key="testing"
    )
    yield url, client
    server.stop()


@pytest.fixture
def s3(s3_endpoint: tuple[str, Any], monkeypatch: pytest.MonkeyPatch) -> Bucket:
    """A fresh bucket, and the environment in which the code under test finds it."""
    endpoint_url, client = s3_endpoint
    for name in ("AWS_PROFILE", "AWS_SESSION_TOKEN", "AWS_ENDPOINT_URL_S3"):
        monkeypatch.delenv(name, raising=False)
    for name, value in {**CREDENTIALS, "AWS_ENDPOINT_URL": endpoint_url}.items():
        monkeypatch.setenv(name, value)
    bucket = f"dumps-{next(_numbers)}"
    client.create_bucket(Bucket=bucket)
    return Bucket(endpoint_url, bucket, client)
