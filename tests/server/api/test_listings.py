"""GET /accounts and GET /migrations: everything once, in a stable order, whatever ids hold."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

import pytest
from fastapi.testclient import TestClient

from s3import.core.records import HALVES, Pass
from s3import.operations.operations import Operations
from s3import.status import State
from tests.server.api.services import put_account, put_rejects, put_run

pytestmark = pytest.mark.integration

RECENT, REMAINING, _ = Pass
ODD = ["a", "a b", "a%62", "a&b=c", "a?#", "a~b", "A", "é", "😀", "a+b", "_"]


def pages(client: TestClient, path: str, encode: bool = True, **query: Any) -> list[Any]:
    """All items, by as many requests as it takes. Not `encode`: the cursor goes into the URL as it is."""
    found: list[Any] = []
    after = ""
    for _ in range(100):
        written = urlencode({"after": after}) if encode else f"after={after}"
        url = f"{path}?{urlencode(query)}&{written}"
        page = client.get(url).json()
        assert len(page["items"]) <= query["limit"]
        found += page["items"]
        if page["next"] is None:
            return found
        after = page["next"]
    raise AssertionError("there is no end of pages")


@pytest.mark.parametrize("encode", [True, False])
def test_accounts_come_by_id_page_by_page(each_client: TestClient, encode: bool) -> None:
    """In the order of bytes on every database; the cursor of any id may stand in a URL as it is."""
    for account_id in ODD:
        each_client.post("/accounts", json={"id": account_id})
    for limit in (1, 3, 11, 100):
        found = pages(each_client, "/accounts", encode, limit=limit)
        assert [item["id"] for item in found] == sorted(ODD, key=str.encode)
    assert found[0] == each_client.get("/accounts/A").json()


def test_accounts_of_a_status(service: Operations, client: TestClient) -> None:
    """`status` leaves the others out."""
    for number, status in enumerate(["active", "migrating", "active-recent-only", "active"]):
        put_account(service, status, f"a{number}")
    assert [one["id"] for one in pages(client, "/accounts", limit=1, status="active")] == ["a0", "a3"]
    assert pages(client, "/accounts", limit=1, status="migrating")[0]["id"] == "a1"


def test_migrations_come_newest_first_page_by_page(each_service: Operations, each_client: TestClient) -> None:
    """Each run once, also those asked for in the same moment, with its account and pass, as its status shows it."""
    for number in range(4):
        put_account(each_service, account_id=f"a{number}")
        each_client.post("/migrate", json={"account_id": f"a{number}"})
    put_rejects(each_service, put_run(each_service, RECENT, State.RUNNING, "a3"), {1: [1, 2], 2: [1]}, "a3")
    for limit in (1, 3, 8, 100):
        found = pages(each_client, "/migrations", limit=limit)
        assert sorted((one["account_id"], one["pass"]) for one in found) == [
            (f"a{n}", p) for n in range(4) for p in HALVES
        ]
        assert [one["requested_at"] for one in found] == sorted((one["requested_at"] for one in found), reverse=True)
    for one in found:
        passes = each_client.get("/check-migration", params={"account_id": one["account_id"]}).json()["passes"]
        assert one == {
            "account_id": one["account_id"],
            "account_status": "migrating",
            "pass": one["pass"],
            **passes[one["pass"]],
        }


def test_migrations_of_a_state_or_an_account(service: Operations, client: TestClient) -> None:
    """`state` and `account_id` leave the others out; an account without runs has none."""
    for number, state in enumerate(State):
        put_account(service, account_id=f"a{number}")
        put_run(service, RECENT, state, f"a{number}")
    for number, state in enumerate(State):
        assert [one["account_id"] for one in pages(client, "/migrations", limit=1, state=state.value)] == [f"a{number}"]
        assert [one["state"] for one in pages(client, "/migrations", limit=1, account_id=f"a{number}")] == [state]
    assert pages(client, "/migrations", limit=1, account_id="nobody") == []


def test_pages_stay_stable_while_runs_are_added(service: Operations, client: TestClient) -> None:
    """What is asked for later comes before the first page, and repeats nothing of the next one."""
    for number in range(4):
        put_account(service, account_id=f"a{number}")
        put_run(service, RECENT, State.QUEUED, f"a{number}")
    first = client.get("/migrations?limit=2").json()
    put_run(service, REMAINING, State.QUEUED, "a0")
    second = client.get("/migrations", params={"limit": 2, "after": first["next"]}).json()
    assert [one["account_id"] for page in (first, second) for one in page["items"]] == ["a3", "a2", "a1", "a0"]
    assert second["next"] is None


def test_a_status_is_confirmed_once_its_pass_is_in(each_service: Operations, each_client: TestClient) -> None:
    """Passes set the status; PATCH says whether they have, and sets nothing back."""
    put_account(each_service)
    answers = {}
    for status in ("migrating", "active-recent-only", "active"):
        put_account(each_service, status)
        for wanted in ("active-recent-only", "active"):
            answer = each_client.patch("/accounts/acme", json={"status": wanted})
            answers[status, wanted] = (answer.status_code, answer.json().get("code") or answer.json()["status"])
    assert answers == {
        ("migrating", "active-recent-only"): (409, "pass_not_finished"),
        ("migrating", "active"): (409, "pass_not_finished"),
        ("active-recent-only", "active-recent-only"): (200, "active-recent-only"),
        ("active-recent-only", "active"): (409, "pass_not_finished"),
        ("active", "active-recent-only"): (200, "active"),
        ("active", "active"): (200, "active"),
    }
