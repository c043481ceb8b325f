"""The caller's own plan, step by step over HTTP: nothing of it needs another way in."""

from __future__ import annotations

from typing import Any

import pytest

from s3import.core.settings import Settings
from tests.importing.dumps import ACCOUNT
from tests.server.processes.client import Client
from tests.server.processes.processes import Processes, free_port

pytestmark = pytest.mark.integration


def confirm(client: Client, status: str) -> tuple[int, Any]:
    code, document = client.request("PATCH", f"/accounts/{ACCOUNT}", {"status": status})
    return code, document.get("code") or document["status"]


def test_the_callers_plan_works_as_it_was_written(settings: Settings, started: Processes) -> None:
    """Create the account; import what is recent, poll, have it active in part; the rest, poll, have it active."""
    port = free_port()
    started.serve(settings, port)
    client = Client(port)
    client.wait_until_up()
    client.create_account()
    assert confirm(client, "active-recent-only") == (409, "pass_not_finished")

    assert client.migrate(**{"pass": "recent"})[0] == 202
    client.wait_for("succeeded", "recent")
    assert confirm(client, "active-recent-only") == (200, "active-recent-only")
    assert confirm(client, "active") == (409, "pass_not_finished")

    assert client.migrate(**{"pass": "remaining"})[0] == 202
    client.wait_for("succeeded", "remaining")
    assert confirm(client, "active") == (200, "active")

    assert client.request("GET", f"/accounts/{ACCOUNT}")[1]["status"] == "active"
    runs = client.request("GET", f"/migrations?account_id={ACCOUNT}")[1]["items"]
    assert [(run["pass"], run["state"]) for run in runs] == [("remaining", "succeeded"), ("recent", "succeeded")]
