"""The client of S3, without a store: with the oldest botocore that is allowed, too."""

from __future__ import annotations

import io
from collections.abc import Iterator

import pytest
from botocore.awsrequest import AWSRequest, AWSResponse

from s3import.core.errors import SourceMissing
from s3import.readers.sources.s3 import connect
from tests.readers.sources.conftest import QUICK


class Body(io.BytesIO):
    """What botocore reads an answer from."""

    def stream(self, **_: object) -> Iterator[bytes]:
        """All of it."""
        yield self.read()


def test_a_web_page_is_no_empty_listing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Though it is well-formed, and botocore finds nothing in it."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "test")

    def answer(request: AWSRequest, **_: object) -> AWSResponse:
        return AWSResponse(request.url, 200, {}, Body(b"<html><body/></html>"))

    client = connect(QUICK, 1)
    client.meta.events.register("before-send.s3", answer)
    with pytest.raises(SourceMissing):
        client.list_objects_v2(Bucket="dumps")
