"""POST /migrate: every cell of the contract's table, on every database."""

from __future__ import annotations

import pytest
from fastapi.testclient import TestClient

from s3import.core.records import HALVES, Pass
from s3import.operations.operations import Operations
from s3import.status import State
from tests.databases import on_sqlite
from tests.server.api.services import ACCOUNT, put_account, put_run

pytestmark = pytest.mark.integration

RECENT, REMAINING, DELTA = Pass
SAME = "the same run"
NEW = "a run"

# account's status, the pass and state of its run, `pass` of the request -> HTTP status, what the body says
CELLS = [
    (None, None, "recent", 404, "account_not_found"),
    (None, None, "remaining", 404, "account_not_found"),
    (None, None, None, 404, "account_not_found"),
    ("migrating", None, "recent", 202, NEW),
    ("migrating", None, "remaining", 409, "recent_pass_first"),
    ("migrating", None, None, 202, NEW),
    ("migrating", None, "all", 202, NEW),
    ("migrating", (RECENT, State.QUEUED), "recent", 200, SAME),
    ("migrating", (RECENT, State.QUEUED), "remaining", 409, "recent_pass_first"),
    ("migrating", (RECENT, State.QUEUED), None, 200, SAME),
    ("migrating", (RECENT, State.RUNNING), "recent", 200, SAME),
    ("migrating", (RECENT, State.RUNNING), "remaining", 409, "recent_pass_first"),
    ("migrating", (RECENT, State.RUNNING), "all", 200, SAME),
    ("migrating", (RECENT, State.FAILED), "recent", 202, SAME),
    ("migrating", (RECENT, State.FAILED), "remaining", 409, "recent_pass_first"),
    ("migrating", (RECENT, State.FAILED), None, 202, SAME),
    ("migrating", (RECENT, State.CANCELLED), "recent", 202, SAME),
    ("active-recent-only", None, "recent", 200, "already-imported"),
    ("active-recent-only", None, "remaining", 202, NEW),
    ("active-recent-only", None, None, 202, NEW),
    ("active-recent-only", (REMAINING, State.QUEUED), "remaining", 200, SAME),
    ("active-recent-only", (REMAINING, State.RUNNING), "remaining", 200, SAME),
    ("active-recent-only", (REMAINING, State.RUNNING), "recent", 200, "already-imported"),
    ("active-recent-only", (REMAINING, State.RUNNING), None, 200, SAME),
    ("active-recent-only", (REMAINING, State.FAILED), "remaining", 202, SAME),
    ("active-recent-only", (REMAINING, State.FAILED), "all", 202, SAME),
    ("active", None, "recent", 200, "already-active"),
    ("active", None, "remaining", 200, "already-active"),
    ("active", None, None, 200, "already-active"),
    ("active", None, "all", 200, "already-active"),
    (None, None, "delta", 404, "account_not_found"),
    ("migrating", None, "delta", 409, "recent_pass_first"),
    ("active-recent-only", None, "delta", 202, NEW),
    ("active", None, "delta", 202, NEW),
    ("active", (DELTA, State.QUEUED), "delta", 200, SAME),
    ("active", (DELTA, State.RUNNING), "delta", 200, SAME),
    ("active", (DELTA, State.FAILED), "delta", 202, SAME),
    ("active", (DELTA, State.SUCCEEDED), "delta", 202, NEW),
]


def _name(value: object) -> str:
    return "-".join(map(str, value)) if isinstance(value, tuple) else str(value)


@on_sqlite
def test_every_cell_of_the_table(each_service: Operations, each_client: TestClient) -> None:
    """What a request starts depends on the account's status, its run's state and the pass asked for."""
    wrong = []
    for number, (status, run, wanted, code, says) in enumerate(CELLS):
        account = f"{ACCOUNT}-{number}"
        if status:
            put_account(each_service, status, account)
        known = put_run(each_service, *run, account) if run else None
        body = {"account_id": account, **({"pass": wanted} if wanted else {})}
        answer = each_client.post("/migrate", json=body)
        if answer.status_code != code or not _says(answer.json(), says, known):
            wrong.append((CELLS[number], answer.status_code, answer.text))
    assert wrong == []


def _says(document: dict[str, str], says: str, known: str | None) -> bool:
    if says == NEW:
        return document.keys() == {"run_id", "state"} and document["state"] == "queued"
    if says == SAME:
        return document["run_id"] == known
    return says in (document.get("code"), document.get("ignored"))


@pytest.mark.parametrize("wanted", [None, "all", "recent"])
def test_a_run_that_is_at_work_shows_its_state(service: Operations, client: TestClient, wanted: str | None) -> None:
    """Who asks again learns that the run is at work."""
    put_account(service)
    run_id = put_run(service, RECENT, State.RUNNING)
    assert client.post("/migrate", json={"account_id": ACCOUNT, "pass": wanted}).json() == {
        "run_id": run_id,
        "state": "running",
    }


def test_both_passes_are_queued_by_one_request(service: Operations, client: TestClient) -> None:
    """Who names no pass has asked for both."""
    put_account(service)
    client.post("/migrate", json={"account_id": ACCOUNT})
    passes = client.get(f"/check-migration?account_id={ACCOUNT}").json()["passes"]
    assert [passes[pass_]["state"] for pass_ in HALVES] == ["queued", "queued"]


def test_a_queued_run_wakes_the_worker(service: Operations, client: TestClient) -> None:
    """A worker of the same process hears of a run as soon as it is queued, and of nothing else."""
    woken: list[bool] = []
    service.wake = lambda: woken.append(True)
    put_account(service)
    client.post("/migrate", json={"account_id": ACCOUNT, "pass": "remaining"})
    assert woken == []
    client.post("/migrate", json={"account_id": ACCOUNT})
    assert woken == [True]


def test_the_source_of_a_run_is_the_one_asked_for(service: Operations, client: TestClient) -> None:
    """A request may name a source below the configured one; else the configured one is taken."""
    put_account(service)
    source = "s3://dumps/conversations/acme/again"
    assert client.post("/migrate", json={"account_id": ACCOUNT, "source": source}).status_code == 202
    passes = client.get(f"/check-migration?account_id={ACCOUNT}").json()["passes"]
    assert passes["recent"]["source"] == source


def test_a_source_that_is_not_allowed_starts_nothing(service: Operations, client: TestClient) -> None:
    """403 comes before anything is queued."""
    put_account(service)
    answer = client.post("/migrate", json={"account_id": ACCOUNT, "source": "s3://dumps/conversations/acme/../x"})
    assert (answer.status_code, answer.json()["code"]) == (403, "source_not_allowed")
    passes = client.get(f"/check-migration?account_id={ACCOUNT}").json()["passes"]
    assert passes == {"recent": None, "remaining": None}
