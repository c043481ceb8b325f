"""What the page shows of accounts in every state, and what its forms do."""

from __future__ import annotations

import json
import re

import pytest
from fastapi.testclient import TestClient
from stamina.instrumentation import RetryDetails

from s3import.core.errors import DatabaseUnavailable
from s3import.core.records import Pass
from s3import.core.tables import accounts, import_rejects, import_runs
from s3import.operations.operations import Operations
from s3import.reporting.metrics import Metrics
from s3import.server.api.application import create_app
from s3import.status import State
from tests.server.api.services import ACCOUNT, put_account, put_rejects, put_run

FRAGMENT = {"HX-Request": "true"}
HOSTILE = """<script>alert(1)</script>'"&lt;"""


@pytest.mark.parametrize("state", list(State))
def test_every_state_is_told_by_a_word(viewer: TestClient, service: Operations, state: State) -> None:
    put_account(service)
    put_run(service, Pass.RECENT, state)
    word = {State.SUCCEEDED: "done"}.get(state, state.value)
    for path in ("/ui/migrations", f"/ui/accounts/{ACCOUNT}"):
        assert f"</span> {word}</span>" in viewer.get(path).text


def test_what_is_wrong_stands_first(viewer: TestClient, service: Operations) -> None:
    put_account(service)
    put_run(service, Pass.RECENT, State.FAILED)
    put_account(service, account_id="later")
    put_run(service, Pass.RECENT, State.QUEUED, "later")
    text = viewer.get("/ui/migrations").text
    assert text.index("What is wrong") < text.index("broken on purpose") < text.index("All accounts")


def test_a_lost_worker_is_wrong(viewer: TestClient, service: Operations) -> None:
    put_account(service)
    put_run(service, Pass.RECENT, State.RUNNING)
    with service.database.begin() as connection:
        connection.execute(import_runs.update().values(lease_until=1.0))
    text = viewer.get("/ui/migrations").text
    assert "What is wrong" in text
    assert "worker lost" in text
    shown = viewer.get(f"/ui/accounts/{ACCOUNT}").text
    assert "shows no sign of life" in shown
    assert "goes on by itself" in shown
    assert "the button below" not in shown  # there is none but that which cancels
    assert "</span> lost</span>" in viewer.get("/ui/fleet").text


def test_done_with_rejects_never_looks_like_done(viewer: TestClient, service: Operations) -> None:
    put_account(service)
    put_rejects(service, put_run(service, Pass.RECENT, State.SUCCEEDED), {1: [3]})
    text = viewer.get(f"/ui/accounts/{ACCOUNT}").text
    assert "done with rejects" in text
    assert "</span> done</span>" not in text
    assert "s3import migrate --account acme --pass recent --again" in text


def test_a_list_is_filtered_and_paged(viewer: TestClient, service: Operations, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("s3import.server.page.views.ACCOUNTS_A_PAGE", 2)
    for account_id in ("one", "ones", "o_e", "two"):
        put_account(service, account_id=account_id)
        put_run(service, Pass.RECENT, State.FAILED if account_id == "two" else State.QUEUED, account_id)
    assert _accounts(viewer, "?state=failed") == ["two"]
    assert _accounts(viewer, "?text=o_") == ["o_e"]
    first = viewer.get("/ui/migrations?text=o").text
    link = first.split('rel="next" href="')[1].split('"')[0].replace("&amp;", "&")
    assert _accounts(viewer, "?text=o") == ["o_e", "ones"]
    assert _accounts(viewer, link.removeprefix("/ui/migrations")) == ["one"]
    assert "No account fits" in viewer.get("/ui/migrations?text=nobody").text
    assert viewer.get("/ui/migrations?state=nonsense").status_code == 422
    assert viewer.get("/ui/migrations?after=nonsense").status_code == 422


def _accounts(viewer: TestClient, query: str) -> list[str]:
    table = viewer.get(f"/ui/migrations{query}").text.split("<tbody>")[1]
    return [piece.split("<")[0] for piece in table.split("<bdi>")[1:]]


@pytest.mark.parametrize("account_id", ["a b", "a?b", "a#b", "ümläut", "<b>", "x'\"y", "a&b=c", "a;b"])
def test_every_id_has_a_view(viewer: TestClient, service: Operations, account_id: str) -> None:
    put_account(service, account_id=account_id)
    put_run(service, Pass.RECENT, State.FAILED, account_id)
    link = viewer.get("/ui/migrations").text.split('href="/ui/accounts/')[1].split('"')[0]
    answer = viewer.get(f"/ui/accounts/{link}")
    assert answer.status_code == 200
    again = answer.text.split('id="live" hx-get="')[1].split('"')[0]
    assert viewer.get(again, headers=FRAGMENT).text.startswith('<section id="live"')


def test_hostile_text_is_shown_and_never_run(viewer: TestClient, service: Operations) -> None:
    account_id = HOSTILE.replace("/", "")
    put_account(service, account_id=account_id)
    run_id = put_run(service, Pass.RECENT, State.FAILED, account_id)
    put_rejects(service, run_id, {1: [1]}, account_id)
    with service.database.begin() as connection:
        hostile = {"error_message": HOSTILE, "source": HOSTILE, "skipped_objects": [HOSTILE], "holder": HOSTILE}
        connection.execute(import_runs.update().values(**hostile))
    link = viewer.get("/ui/migrations").text.split('href="/ui/accounts/')[1].split('"')[0]
    for path in ("/ui/migrations", f"/ui/accounts/{link}", f"/ui/accounts/{link}/rejects", "/ui/fleet"):
        text = viewer.get(path).text
        assert "<script>alert" not in text
        assert "alert(1)" in text or path == "/ui/fleet"


def test_an_open_view_asks_for_its_fragment_alone(viewer: TestClient, service: Operations) -> None:
    put_account(service)
    put_run(service, Pass.RECENT, State.QUEUED)
    for path in ("/ui/migrations", f"/ui/accounts/{ACCOUNT}", f"/ui/accounts/{ACCOUNT}/more", "/ui/fleet"):
        text = viewer.get(path, headers=FRAGMENT).text
        assert text.startswith("<section id=")
        assert "<html" not in text


def test_the_text_of_a_record_is_shown_to_who_asks_for_it(viewer: TestClient, service: Operations) -> None:
    put_account(service)
    put_rejects(service, put_run(service, Pass.RECENT, State.SUCCEEDED), {1: [3, 5]})
    assert "The record" not in viewer.get(f"/ui/accounts/{ACCOUNT}").text
    assert "<bdi>{}</bdi>" in viewer.get(f"/ui/accounts/{ACCOUNT}/rejects").text
    lines = viewer.get(f"/ui/accounts/{ACCOUNT}/rejects.jsonl").text.splitlines()
    assert [json.loads(line)["line"] for line in lines] == [3, 5]


def test_the_rejects_of_a_code_or_an_entity_are_shown_alone(
    viewer: TestClient, service: Operations, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("s3import.server.page.views.REJECTS_A_PAGE", 1)
    put_account(service)
    put_rejects(service, put_run(service, Pass.RECENT, State.SUCCEEDED), {1: [3, 5, 7]})
    with service.database.begin() as connection:
        others = import_rejects.update().where(import_rejects.c.line == 5)
        connection.execute(others.values(reasons=[{"code": "invalid_json", "field": None, "message": "wrong"}]))
    page = f"/ui/accounts/{ACCOUNT}/rejects"
    assert f'href="{page}?code=invalid_id"' in viewer.get(f"/ui/accounts/{ACCOUNT}").text
    first = viewer.get(f"{page}?code=invalid_id&entity=threads").text
    assert "with <code>invalid_id</code>" in first
    link = first.split('rel="next" href="')[1].split('"')[0].replace("&amp;", "&")
    assert "line 7" in viewer.get(link).text
    assert "No open rejects" in viewer.get(f"{page}?entity=messages").text
    [line] = viewer.get(f"{page}.jsonl?code=invalid_json").text.splitlines()
    assert json.loads(line)["line"] == 5
    assert viewer.get(f"{page}?code=<b>").status_code == viewer.get(f"{page}?entity=brands").status_code == 422


def test_what_a_delta_has_resolved_is_done(viewer: TestClient, service: Operations) -> None:
    put_account(service)
    put_rejects(service, put_run(service, Pass.RECENT, State.SUCCEEDED), {1: [3]})
    with service.database.begin() as connection:
        connection.execute(import_rejects.update().values(resolved_by="delta"))
        connection.execute(import_runs.update().values(resolved=1))
    text = viewer.get(f"/ui/accounts/{ACCOUNT}").text
    assert "</span> done</span>" in text
    assert "1 reject, 1 resolved by a delta since" in text
    assert "Newest rejects" not in text


@pytest.mark.parametrize("path", ["/ui/accounts/nobody", "/ui/accounts/nobody/rejects", "/ui/accounts/nobody/cancel"])
def test_an_account_that_is_not_there_is_told_in_html(viewer: TestClient, path: str) -> None:
    answer = viewer.get(path)
    assert answer.status_code == 404
    assert answer.headers["content-type"].startswith("text/html")
    assert "account_not_found" in answer.text


def test_a_pass_is_started_resumed_and_cancelled(viewer: TestClient, service: Operations) -> None:
    put_account(service)
    assert _said(viewer, "start") == "started"
    assert _said(viewer, "start") == "at-work"
    assert viewer.get(f"/ui/accounts/{ACCOUNT}/cancel").status_code == 200
    assert service.status_document(ACCOUNT)["passes"]["recent"]["state"] == "queued"  # the question alone ends nothing
    assert _said(viewer, "cancel") == "cancelled"
    assert _said(viewer, "cancel") == "nothing-to-cancel"
    assert _said(viewer, "start", {"pass": "recent"}) == "started"
    assert "The migration was asked for" in viewer.get(f"/ui/accounts/{ACCOUNT}?said=started").text


def test_a_refusal_says_why(viewer: TestClient, service: Operations) -> None:
    put_account(service)
    answer = viewer.post(f"/ui/accounts/{ACCOUNT}/start", data={"pass": "remaining"})
    assert answer.status_code == 409
    assert "recent_pass_first" in answer.text
    assert viewer.post(f"/ui/accounts/{ACCOUNT}/start", data={"pass": "nonsense"}).status_code == 422


def _said(viewer: TestClient, action: str, data: dict[str, str] | None = None) -> str:
    answer = viewer.post(f"/ui/accounts/{ACCOUNT}/{action}", data=data)
    assert answer.status_code == 303
    return answer.headers["location"].partition("said=")[2]


def test_a_database_that_does_not_answer_is_told_and_asked_again(
    viewer: TestClient, service: Operations, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise DatabaseUnavailable("secret host")

    monkeypatch.setattr(type(service.database), "read", fail)
    answer = viewer.get("/ui/migrations", headers=FRAGMENT)
    assert answer.status_code == 503
    assert "The database does not answer" in answer.text
    assert 'hx-get="/ui/migrations"' in answer.text
    assert "secret host" not in answer.text


def test_what_failed_is_resumed_from_the_list(viewer: TestClient, service: Operations) -> None:
    put_account(service)
    put_run(service, Pass.RECENT, State.FAILED)
    text = viewer.get("/ui/migrations").text
    assert f'action="/ui/accounts/{ACCOUNT}/start"' in text
    assert f'aria-label="Resume {ACCOUNT}"' in text


def test_an_error_says_what_it_means_and_what_to_do(viewer: TestClient, service: Operations) -> None:
    put_account(service)
    put_run(service, Pass.RECENT, State.FAILED)
    with service.database.begin() as connection:
        connection.execute(import_runs.update().values(error_code="dump_not_found", error_message="see `s3import <b>`"))
    text = viewer.get(f"/ui/accounts/{ACCOUNT}").text
    assert "see <code>s3import &lt;b&gt;</code>" in text
    assert text.index("What this means.") < text.index("What to do.") < text.index("Resume the recent pass")
    assert "s3import migrate --account acme" in text


def test_nothing_is_offered_for_an_account_that_was_deleted(viewer: TestClient, service: Operations) -> None:
    put_account(service)
    put_run(service, Pass.RECENT, State.CANCELLED)
    with service.database.begin() as connection:
        connection.execute(accounts.delete())
    text = viewer.get(f"/ui/accounts/{ACCOUNT}").text
    assert "not in the database (any more)" in text
    assert "<button" not in text.split('id="live"')[1]
    assert "not created" in viewer.get("/ui/migrations").text


def test_a_refusal_leads_back_to_its_account(viewer: TestClient, service: Operations) -> None:
    put_account(service, account_id="a?b")
    answer = viewer.post("/ui/accounts/a%3Fb/start", data={"pass": "remaining"})
    assert answer.status_code == 409
    assert '<a href="/ui/accounts/a%3Fb">Back</a>' in answer.text


@pytest.mark.parametrize(("method", "path"), [("GET", "/ui/accounts/a%3Fb"), ("POST", "/ui/accounts/a%3Fb/cancel")])
def test_a_view_is_asked_for_again_once_the_database_answers(
    viewer: TestClient, service: Operations, monkeypatch: pytest.MonkeyPatch, method: str, path: str
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise DatabaseUnavailable("gone")

    for way in ("read", "look", "begin"):
        monkeypatch.setattr(type(service.database), way, fail)
    monkeypatch.setattr(type(service.transactions), "run", fail)
    answer = viewer.request(method, path)
    assert answer.status_code == 503
    assert 'data-again="/ui/accounts/a%3Fb"' in answer.text
    assert 'content="5; url=/ui/accounts/a%3Fb"' in answer.text


def test_the_fleet_tells_retries_and_lost_runs(service: Operations) -> None:
    put_account(service)
    put_run(service, Pass.RECENT, State.RUNNING)
    with service.database.begin() as connection:
        connection.execute(import_runs.update().values(lease_until=1.0))
    metrics = Metrics(service.settings)
    metrics.count_retry(RetryDetails("read", (), {}, 1, 0.1, 0.1, OSError("reset")))
    app = create_app(service, tokens=[], render_metrics=lambda: metrics.render(service.database))
    with TestClient(app, base_url="http://127.0.0.1") as client:
        text = client.get("/ui/fleet").text
    shown = dict(re.findall(r"<dt>([^<]+)</dt><dd>([^<]+)</dd>", text))
    assert shown == {
        "Oldest queued": "0 s",
        "Workers": "0",
        "Workers lost": "1",
        "Runs lost": "1",
        "Shared parts left": "0",
        "Retries, database": "0",
        "Retries, source": "1",
    }
    assert "goes on at its last checkpoint" in text


def test_without_metrics_the_fleet_is_silent_about_retries(viewer: TestClient) -> None:
    assert "Retries" not in viewer.get("/ui/fleet").text


def test_another_server_shows_what_a_verification_found(viewer: TestClient, service: Operations) -> None:
    put_account(service)
    put_run(service, Pass.RECENT, State.SUCCEEDED)
    found = {"verified_at": "2026-01-02T03:04:05Z", "differences": 2, "rejected": 0}
    with service.database.begin() as connection:  # as `verify` keeps it, whichever server's process it is
        connection.execute(import_runs.update().values(verified=found))
    assert "2 differences" in viewer.get(f"/ui/accounts/{ACCOUNT}").text
