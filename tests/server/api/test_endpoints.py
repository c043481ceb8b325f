"""What the endpoints say, one by one."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from fastapi.testclient import TestClient

from s3import.core.json_schemas import SCHEMA_NAMES, schema_text
from s3import.core.records import HALVES, Pass
from s3import.core.tables import import_parts, import_rejects
from s3import.operations.operations import Operations
from s3import.server.api import routes
from s3import.server.api.application import create_app
from s3import.status import State
from tests.server.api.conftest import bearer
from tests.server.api.services import ACCOUNT, TOKEN, open_service, put_account, put_rejects, put_run

pytestmark = pytest.mark.integration


def test_an_account_is_created_once(each_client: TestClient) -> None:
    """The second request changes nothing and shows the account as it is."""
    first = each_client.post("/accounts", json={"id": ACCOUNT, "name": "Acme"})
    second = each_client.post("/accounts", json={"id": ACCOUNT, "name": "Another"})
    assert (first.status_code, second.status_code) == (201, 200)
    assert first.json() == second.json() == each_client.get(f"/accounts/{ACCOUNT}").json()
    assert (first.json()["name"], first.json()["status"]) == ("Acme", "migrating")


def test_brands_and_channels_are_created_once(each_client: TestClient) -> None:
    """They too stay as they are when they are asked for again."""
    each_client.post("/accounts", json={"id": ACCOUNT, "name": "Acme"})
    for path, body in (
        ("brands", {"id": "b1", "name": "One"}),
        ("channels", {"id": "c1", "brand_id": "b1", "kind": "email", "name": "Mail"}),
    ):
        first = each_client.post(f"/accounts/{ACCOUNT}/{path}", json=body)
        second = each_client.post(f"/accounts/{ACCOUNT}/{path}", json={**body, "name": "Another"})
        assert (first.status_code, first.json()) == (201, body)
        assert (second.status_code, second.json()) == (200, body)


def test_a_channel_needs_its_brand(client: TestClient) -> None:
    """A brand that the account does not have is the request's fault."""
    client.post("/accounts", json={"id": ACCOUNT, "name": "Acme"})
    answer = client.post(f"/accounts/{ACCOUNT}/channels", json={"id": "c1", "brand_id": "b1", "kind": "x", "name": "x"})
    assert (answer.status_code, answer.json()["code"]) == (422, "unknown_brand")


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("GET", "/accounts/nobody", None),
        ("PATCH", "/accounts/nobody", {"status": "active"}),
        ("POST", "/accounts/nobody/brands", {"id": "b1", "name": "One"}),
        ("POST", "/accounts/nobody/channels", {"id": "c1", "brand_id": "b1", "kind": "email", "name": "x"}),
        ("POST", "/migrate", {"account_id": "nobody"}),
        ("GET", "/check-migration?account_id=nobody", None),
        ("GET", "/accounts/nobody/rejects", None),
    ],
)
def test_unknown_accounts_are_not_found(client: TestClient, method: str, path: str, body: Any) -> None:
    """Whatever is asked of an account that is not there answers 404."""
    answer = client.request(method, path, json=body)
    assert (answer.status_code, answer.json()["code"]) == (404, "account_not_found")


@pytest.mark.parametrize("query", ["account_id=%61cme", "account_id=acme&", "x=1&account_id=acme"])
def test_an_unusual_poll_is_answered_like_a_plain_one(client: TestClient, query: str) -> None:
    """However the query is written, it gets the same document under the same headers."""
    client.post("/accounts", json={"id": "acme"})
    plain, unusual = (client.get(f"/check-migration?{one}") for one in ("account_id=acme", query))
    assert (plain.status_code, plain.content) == (unusual.status_code, unusual.content)
    assert set(plain.headers) == set(unusual.headers)
    assert plain.headers["content-type"] == unusual.headers["content-type"]


def test_an_unusual_poll_of_an_unknown_account_fails_like_a_plain_one(client: TestClient) -> None:
    """The problem is the same but for the request's id."""
    plain, unusual = (client.get(f"/check-migration?account_id={one}") for one in ("nobody", "%6eobody"))
    problems = [{**answer.json(), "request_id": ""} for answer in (plain, unusual)]
    assert (plain.status_code, problems[0]) == (unusual.status_code, problems[1])
    assert plain.headers["content-type"] == unusual.headers["content-type"]


def test_an_empty_cursor_asks_for_the_first_page(client: TestClient) -> None:
    """`after=` is what a loop sends that has not seen a page yet."""
    client.post("/accounts", json={"id": "acme"})
    assert client.get("/accounts/acme/rejects?after=").json() == {"items": [], "next": None}


def test_text_that_databases_cannot_hold_is_repaired(each_client: TestClient) -> None:
    """A NUL or a lone surrogate in free text becomes U+FFFD."""
    answer = each_client.post(
        "/accounts",
        content=b'{"id":"acme","name":"a\\u0000b\\ud800c"}',
        headers={"Content-Type": "application/json"},
    )
    assert (answer.status_code, answer.json()["name"]) == (201, "a\ufffdb\ufffdc")


@pytest.mark.parametrize("state", [State.QUEUED, State.RUNNING])
def test_a_run_at_work_is_cancelled(service: Operations, client: TestClient, state: State) -> None:
    """DELETE ends a run that has not ended."""
    put_account(service)
    run_id = put_run(service, Pass.RECENT, state)
    answer = client.delete(f"/migrations/{run_id}")
    assert (answer.status_code, answer.json()) == (200, {"run_id": run_id, "state": "cancelled"})


@pytest.mark.parametrize("state", [State.SUCCEEDED, State.FAILED, State.CANCELLED])
def test_a_run_that_has_ended_stays_as_it_is(service: Operations, client: TestClient, state: State) -> None:
    """DELETE of a run at its end shows how it ended."""
    put_account(service)
    run_id = put_run(service, Pass.RECENT, state)
    answer = client.delete(f"/migrations/{run_id}")
    assert (answer.status_code, answer.json()) == (200, {"run_id": run_id, "state": state})


@pytest.mark.parametrize("run_id", ["0" * 32, "x", "%00", "A" * 4000])
def test_an_unknown_run_is_not_found(client: TestClient, run_id: str) -> None:
    """Whatever is no run's id answers 404."""
    answer = client.delete(f"/migrations/{run_id}")
    assert (answer.status_code, answer.json()["code"]) == (404, "run_not_found")


def test_rejects_come_page_by_page(each_service: Operations, each_client: TestClient) -> None:
    """Pages of any size together hold every reject once, by pass, part and line."""
    put_account(each_service)
    lines = {1: [3, 5, 9], 2: [1], 10: [2, 4]}
    for pass_ in HALVES:
        put_rejects(each_service, put_run(each_service, pass_, State.QUEUED), lines)
    expected = [(p, f"threads/part-{n}.jsonl", line) for p in HALVES for n, kept in lines.items() for line in kept]
    for limit in (1, 2, 3, 12, 100):
        found = _all_pages(each_client, f"limit={limit}")
        assert [(item["pass"], item["part"], item["line"]) for item in found] == expected


def _all_pages(client: TestClient, query: str) -> list[dict[str, Any]]:
    found, after = [], ""
    while True:
        page = client.get(f"/accounts/{ACCOUNT}/rejects?{query}{after}").json()
        found += page["items"]
        if page["next"] is None:
            return found
        after = f"&after={page['next']}"


def test_rejects_of_one_pass(service: Operations, client: TestClient) -> None:
    """`pass` leaves the other pass's rejects out; each reject looks as the command line shows it."""
    put_account(service)
    for pass_ in HALVES:
        put_rejects(service, put_run(service, pass_, State.QUEUED), {1: [7]})
    page = client.get(f"/accounts/{ACCOUNT}/rejects?pass=remaining").json()
    reasons = [{"code": "invalid_id", "field": "id", "message": "wrong"}]
    expected = {"pass": "remaining", "entity": "threads", "part": "threads/part-1.jsonl", "line": 7, "id": "t7"}
    assert page == {"items": [{**expected, "reasons": reasons, "raw": "{}", "raw_truncated": False}], "next": None}


def test_rejects_of_a_code_and_an_entity(each_service: Operations, each_client: TestClient) -> None:
    """Pages of any size hold those alone, on every database; what a delta has resolved is in none."""
    put_account(each_service)
    put_rejects(each_service, put_run(each_service, Pass.RECENT, State.QUEUED), {1: [1, 2, 3, 4], 2: [5, 6]})
    kept, part = import_rejects.c, import_parts.c.number == 2
    several = [{"code": "invalid_json", "field": None, "message": '"code":"too_long"'}, {"code": "invalid_id"}]
    with each_service.database.begin() as connection:
        connection.execute(import_rejects.update().where(kept.line.in_([2, 3, 5])).values(reasons=several))
        connection.execute(import_rejects.update().where(kept.line == 3).values(resolved_by="delta"))
        connection.execute(import_parts.update().where(part).values(entity="messages"))
    for query, lines in {
        "code=invalid_json": [2, 5],
        "code=invalid_id": [1, 2, 4, 5, 6],
        "code=too_long": [],
        "entity=messages": [5, 6],
        "entity=messages&code=invalid_json": [5],
        "entity=deletions": [],
    }.items():
        for limit in (1, 2, 100):
            found = _all_pages(each_client, f"{query}&limit={limit}")
            assert [item["line"] for item in found] == lines, query


def test_the_server_is_live_before_it_is_ready(bare_sqlite_url: str) -> None:
    """Without tables the server answers, and says that it cannot work yet."""
    service = open_service(bare_sqlite_url)
    with TestClient(create_app(service, tokens=[TOKEN])) as client:
        live, ready = client.get("/health?live=true"), client.get("/health")
    assert (live.status_code, live.json()) == (200, {"status": "ok"})
    assert (ready.status_code, ready.json()["code"], ready.json()["ready"]) == (503, "not_ready", False)


def test_a_ready_server_says_so(each_client: TestClient) -> None:
    """With a database whose tables fit the server is ready."""
    assert each_client.get("/health").json() == {"status": "ok", "ready": True}


def test_metrics_are_text_for_those_who_may_see_them(service: Operations) -> None:
    """/metrics gives what it is given to show, and asks for a token."""
    app = create_app(service, tokens=[TOKEN], render_metrics=lambda: b"rows_total 1\n")
    with TestClient(app) as client:
        shown = client.get("/metrics", headers=bearer(TOKEN))
        assert client.get("/metrics").status_code == 401
    assert (shown.text, shown.headers["content-type"]) == ("rows_total 1\n", "text/plain; version=0.0.4; charset=utf-8")


def test_health_does_not_wait_for_a_database_that_hangs(service: Operations, monkeypatch: pytest.MonkeyPatch) -> None:
    """A probe has an answer within seconds: not ready."""
    over = threading.Event()
    monkeypatch.setattr(routes, "READY_SECONDS", 0.1)
    monkeypatch.setattr(Operations, "check_ready", lambda _: over.wait(60))
    with TestClient(create_app(service, tokens=[TOKEN])) as client:
        answer = client.get("/health")
        over.set()
    assert (answer.status_code, answer.json()["code"]) == (503, "not_ready")


@pytest.mark.parametrize("name", SCHEMA_NAMES)
def test_a_schema_is_given_as_it_is_shipped(client: TestClient, name: str) -> None:
    """Byte by byte what `s3import schema` prints, as a JSON Schema that may be kept for an hour."""
    answer = client.get(f"/schemas/{name}.json")
    assert (answer.status_code, answer.text) == (200, schema_text(name))
    assert answer.headers["content-type"] == "application/schema+json"
    assert answer.headers["cache-control"] == "max-age=3600"


@pytest.mark.parametrize("path", ["/schemas/threads.json", "/schemas/thread", "/schemas/", "/schemas/..json"])
def test_there_is_nothing_beside_the_schemas(client: TestClient, path: str) -> None:
    """Another name below their folder is not found."""
    assert client.get(path).json()["code"] == "not_found"
