"""POST /migrate with `again`: what was imported is read once more."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from fastapi.testclient import TestClient

from s3import.core import tables
from s3import.core.records import HALVES, Pass
from s3import.operations.operations import Operations
from s3import.status import State
from tests.databases import on_sqlite
from tests.server.api.services import ACCOUNT, put_account, put_run

pytestmark = pytest.mark.integration

RECENT, REMAINING, DELTA = Pass
SAME, NEW = "the same run", "another run"

# account's status, the pass and state of its run, `pass` of the request -> HTTP status, what the body says
CELLS = [
    (None, None, "recent", 404, "account_not_found"),
    ("migrating", None, "recent", 202, NEW),
    ("migrating", None, "remaining", 409, "recent_pass_first"),
    ("migrating", (RECENT, State.RUNNING), None, 200, SAME),
    ("migrating", (RECENT, State.FAILED), "recent", 202, SAME),
    ("active-recent-only", (RECENT, State.SUCCEEDED), "recent", 202, NEW),
    ("active-recent-only", (RECENT, State.SUCCEEDED), "remaining", 202, NEW),
    ("active-recent-only", (REMAINING, State.RUNNING), "remaining", 200, SAME),
    ("active", (RECENT, State.SUCCEEDED), "recent", 202, NEW),
    ("active", (REMAINING, State.SUCCEEDED), "remaining", 202, NEW),
    ("active", (RECENT, State.SUCCEEDED), "all", 202, NEW),
    ("active", (DELTA, State.SUCCEEDED), "delta", 202, NEW),
    ("active", (DELTA, State.RUNNING), "delta", 200, SAME),
]


@on_sqlite
def test_every_status_and_pass(each_service: Operations, each_client: TestClient) -> None:
    """A pass that was imported is another run; what is at work or failed is the same; and a second request is none."""
    wrong = []
    for number, (status, run, wanted, code, says) in enumerate(CELLS):
        account = f"{ACCOUNT}-{number}"
        if status:
            put_account(each_service, status, account)
        known = put_run(each_service, *run, account) if run else None
        body = {"account_id": account, "again": True, **({"pass": wanted} if wanted else {})}
        answer, second = (each_client.post("/migrate", json=body) for _ in range(2))
        found = answer.json()
        is_right = found.get("run_id") == known if says == SAME else says in (NEW, found.get("code"))
        if says == NEW and (found["run_id"] == known or second.status_code != 200 or second.json() != found):
            is_right = False
        if answer.status_code != code or not is_right:
            wrong.append((CELLS[number], answer.status_code, answer.text, second.text))
    assert wrong == []


def test_both_passes_are_queued_and_the_status_stays(service: Operations, client: TestClient) -> None:
    """From where they were read last, whatever is configured."""
    put_account(service, "active")
    for pass_ in HALVES:
        put_run(service, pass_, State.SUCCEEDED)
    with service.database.begin() as connection:
        connection.execute(sa.update(tables.import_runs).values(source="s3://elsewhere/acme"))
    client.post("/migrate", json={"account_id": ACCOUNT, "again": True})
    document = client.get(f"/check-migration?account_id={ACCOUNT}").json()
    shown = [document["passes"][pass_] for pass_ in HALVES]
    assert [(one["state"], one["source"]) for one in shown] == [("queued", "s3://elsewhere/acme")] * 2
    assert document["account_status"] == "active"


@pytest.mark.parametrize(("again", "code"), [("true", 422), (1, 422), (None, 200), (False, 200)])
def test_again_is_a_truth_value(service: Operations, client: TestClient, again: Any, code: int) -> None:
    """Left out, null and false are the same; a word or a number is none."""
    put_account(service, "active")
    body = {"account_id": ACCOUNT, "again": again}
    assert client.post("/migrate", json=body).status_code == code


def test_a_source_that_is_not_allowed_is_not_read_again(
    service: Operations, client: TestClient, tmp_path: Path
) -> None:
    """As for a first import."""
    put_account(service, "active")
    body = {"account_id": ACCOUNT, "again": True, "source": str(tmp_path)}
    assert client.post("/migrate", json=body).status_code == 403
