"""Credentials of AWS that were not quite copied right."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from s3import.core.errors import ConfigurationError, S3ImportError
from s3import.readers.sources.location import open_source
from s3import.readers.sources.source import RetryPolicy
from tests.files.servers import certificate, https_server
from tests.objects import Bucket

pytestmark = pytest.mark.integration

NAMES = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN")


@pytest.mark.parametrize("name", NAMES)
def test_a_newline_at_the_end_does_no_harm(s3: Bucket, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """A secret that was made from a file ends in one."""
    monkeypatch.setenv("AWS_SESSION_TOKEN", "token")
    s3.put("a.jsonl")
    monkeypatch.setenv(name, "EXAMPLE\r\n")
    assert [stored.key for stored in open_source(f"s3://{s3.bucket}", "acme").list("")] == ["a.jsonl"]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("value", ["canary\nof-a-token", "canary of a token", "canary-ö", "canary\x01"])
def test_what_can_be_no_credential_is_refused_and_not_shown(
    s3: Bucket, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, name: str, value: str
) -> None:
    """The message names it and nothing of what it holds."""
    monkeypatch.setenv(name, value)
    with caplog.at_level(logging.DEBUG, "s3import"), pytest.raises(ConfigurationError, match=name) as refusal:
        list(open_source(f"s3://{s3.bucket}", "acme").list(""))
    assert "canary" not in str(refusal.value) + caplog.text


def test_an_endpoint_that_is_none_is_not_shown(s3: Bucket, monkeypatch: pytest.MonkeyPatch) -> None:
    """It may hold a password."""
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://user:canary@[::1")
    with pytest.raises(S3ImportError) as refusal:
        list(open_source(f"s3://{s3.bucket}", "acme").list(""))
    assert "canary" not in str(refusal.value)


def test_a_region_may_end_in_a_newline(s3: Bucket, monkeypatch: pytest.MonkeyPatch) -> None:
    """As any setting that was read from a file."""
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1\n")
    s3.put("a.jsonl")
    assert [stored.key for stored in open_source(f"s3://{s3.bucket}", "acme").list("")] == ["a.jsonl"]


@pytest.mark.parametrize("authorities", [None, "/nowhere/ca.pem", __file__])
def test_a_store_that_is_not_trusted_is_not_asked_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, authorities: str | None
) -> None:
    """Nor one that cannot be, where the file of authorities is not there or is none: that does not pass."""
    with https_server(certificate(tmp_path)) as server:
        monkeypatch.setenv("AWS_ENDPOINT_URL", server.url(""))
        for name in NAMES[:2]:
            monkeypatch.setenv(name, "EXAMPLE")
        if authorities:
            monkeypatch.setenv("AWS_CA_BUNDLE", authorities)
        with pytest.raises(ConfigurationError, match="AWS_CA_BUNDLE"):
            list(open_source("s3://bucket", "acme", policy=RetryPolicy(retry_seconds=3600)).list(""))
