"""GET /accounts/{id}/events, /samples and /parts: everything once, in order, page by page."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest
from fastapi.testclient import TestClient

from s3import.core.history import token_name
from s3import.core.records import Pass
from s3import.core.tables import import_samples
from s3import.operations.operations import Operations
from s3import.reporting import diary
from s3import.status import State
from tests.server.api.services import ACCOUNT, TOKEN, put_account, put_rejects, put_run
from tests.server.api.test_listings import pages

pytestmark = pytest.mark.integration

AT = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
REMAINING: dict[str, Any] = {"pass": "remaining"}


def put_samples(service: Operations, run_id: str, stages: list[str]) -> None:
    """A sample every two seconds, ten records further each."""
    rows = [
        {"run_id": run_id, "at": AT + dt.timedelta(seconds=2 * n), "stage": stage, "records": 10 * n, "bytes": 100 * n}
        for n, stage in enumerate(stages)
    ]
    with service.database.begin() as connection:
        connection.execute(import_samples.insert(), rows)


def test_events_come_in_their_order_with_the_name_of_the_token(
    each_service: Operations, each_client: TestClient
) -> None:
    """Of the account asked for alone; the name tells nothing of the token."""
    for account_id in (ACCOUNT, "other"):
        put_account(each_service, account_id=account_id)
        each_client.post("/migrate", json={"account_id": account_id, "pass": "recent"})
    run_id = each_client.post("/migrate", json={"account_id": ACCOUNT}).json()["run_id"]
    each_client.delete(f"/migrations/{run_id}")
    for limit in (1, 2, 100):
        found = pages(each_client, f"/accounts/{ACCOUNT}/events", limit=limit)
        assert [(one["event"], one["pass"], one["code"]) for one in found] == [
            ("asked_for", "recent", None),
            ("asked_for", "remaining", None),
            ("cancelled", "recent", "cancelled"),
        ]
    assert {one["actor"] for one in found} == {token_name(TOKEN)}
    assert TOKEN not in token_name(TOKEN)
    assert found[0]["run_id"] == run_id


def test_samples_come_by_their_instants(each_service: Operations, each_client: TestClient) -> None:
    """Of all runs, or of a pass's newest one."""
    put_account(each_service)
    recent = put_run(each_service, Pass.RECENT, State.SUCCEEDED)
    remaining = put_run(each_service, Pass.REMAINING, State.RUNNING)
    put_samples(each_service, recent, ["threads", "messages"])
    put_samples(each_service, remaining, ["messages"] * 3)
    for limit in (1, 2, 100):
        found = pages(each_client, f"/accounts/{ACCOUNT}/samples", limit=limit)
        assert [one["at"] for one in found] == sorted(one["at"] for one in found)
        assert sorted((one["run_id"], one["records"]) for one in found) == sorted(
            [(recent, 0), (recent, 10), (remaining, 0), (remaining, 10), (remaining, 20)]
        )
        of_pass = pages(each_client, f"/accounts/{ACCOUNT}/samples", True, limit=limit, **REMAINING)
        assert [(one["stage"], one["records"], one["bytes"]) for one in of_pass] == [
            ("messages", 10 * n, 100 * n) for n in range(3)
        ]


def test_parts_come_by_pass_and_number(each_service: Operations, each_client: TestClient) -> None:
    """With what became of their records."""
    put_account(each_service)
    put_rejects(each_service, put_run(each_service, Pass.REMAINING, State.RUNNING), {1: [1]})
    put_rejects(each_service, put_run(each_service, Pass.RECENT, State.SUCCEEDED), {1: [1, 2], 2: [5], 3: [4]})
    for limit in (1, 2, 3, 100):
        found = pages(each_client, f"/accounts/{ACCOUNT}/parts", limit=limit)
        assert [(one["pass"], one["number"], one["rejected"]) for one in found] == [
            ("recent", 1, 2),
            ("recent", 2, 1),
            ("recent", 3, 1),
            ("remaining", 1, 1),
        ]
    assert found[0]["rejects_by_code"] == {"invalid_id": 2}
    only = pages(each_client, f"/accounts/{ACCOUNT}/parts", True, limit=100, **REMAINING)
    assert only == found[3:]


@pytest.mark.parametrize("what", ["events", "samples", "parts"])
def test_an_unknown_account_or_a_wrong_cursor_is_refused(client: TestClient, what: str) -> None:
    """As for every other list."""
    answer = client.get(f"/accounts/nobody/{what}")
    assert (answer.status_code, answer.json()["code"]) == (404, "account_not_found")
    answer = client.get(f"/accounts/nobody/{what}?after=x")
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_cursor")


def test_speeds_are_between_samples_of_one_stage() -> None:
    """Nothing is said of the time in which one stage ended and the next began."""
    stages = ["threads", "threads", "messages", "messages"]
    samples: list[dict[str, Any]] = [
        {"at": (AT + dt.timedelta(seconds=n)).isoformat(), "stage": stage, "records": n * n, "bytes": 100 * n}
        for n, stage in enumerate(stages)
    ]
    found = [(one["at"], one["records_per_second"], one["bytes_per_second"]) for one in diary.speeds(samples)]
    assert found == [(samples[1]["at"], 1.0, 100.0), (samples[3]["at"], 5.0, 100.0)]
