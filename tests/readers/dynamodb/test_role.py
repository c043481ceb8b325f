"""A role's credentials: asked for when they are needed, renewed before they expire, in a session that names the run."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest
from botocore.config import Config
from botocore.credentials import AssumeRoleCredentialFetcher

from s3import.core.logs import log_context
from s3import.readers.sources.aws import client
from s3import.readers.sources.source import Role

pytestmark = pytest.mark.integration

ROLE = Role("arn:aws:iam::444455556666:role/reader", "chosen")


def test_credentials_are_renewed(aws: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Credentials that are about to expire are replaced before the next request; none are asked for too early."""
    asked: list[dict[str, Any]] = []

    def fetch(fetcher: Any) -> dict[str, str]:
        asked.append(fetcher._assume_kwargs)
        expiry = dt.datetime.now(dt.UTC) + dt.timedelta(minutes=1 if len(asked) == 1 else 60)
        known = {"access_key": f"KEY{len(asked)}", "secret_key": "s", "token": "t"}
        return {**known, "expiry_time": expiry.isoformat()}

    monkeypatch.setattr(AssumeRoleCredentialFetcher, "fetch_credentials", fetch)
    tables = client("dynamodb", Config(), ROLE)
    used: list[str] = []

    def note(request_signer: Any, **_: Any) -> None:
        used.append(request_signer._credentials.get_frozen_credentials().access_key)

    tables.meta.events.register("before-sign.dynamodb", note)
    assert asked == []
    with log_context(run_id="0123"):
        tables.list_tables()
        tables.list_tables()
    assert used[-1] == "KEY2"
    assert {one["RoleSessionName"] for one in asked} == {"s3import-0123"}
    assert {one["ExternalId"] for one in asked} == {"chosen"}
