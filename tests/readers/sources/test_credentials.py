"""Credentials of AWS that were not quite copied right."""

from __future__ import annotations

import logging

import pytest

from s3import.core.errors import ConfigurationError, S3ImportError
from s3import.readers.sources.location import open_source
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
