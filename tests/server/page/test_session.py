"""Who may see the page, and what a browser may do with it."""

from __future__ import annotations

from typing import Any

import pytest
from fastapi.testclient import TestClient
from httpx2 import Response
from starlette.datastructures import Headers

from s3import.operations.operations import Operations
from s3import.server.api.application import create_app
from s3import.server.page.session import COOKIE, SESSION_SECONDS, Session, is_same_origin, next_page
from tests.server.api.services import TOKEN
from tests.server.page.conftest import OURS


def test_a_session_made_with_a_token_is_taken_as_long_as_the_token_is() -> None:
    cookie = Session(["old", "new"]).cookie_for("old")
    assert cookie is not None
    assert Session(["old", "new"]).holder(cookie)
    assert not Session(["new"]).holder(cookie)


def test_a_session_ends_by_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    session = Session(["token"])
    monkeypatch.setattr("itsdangerous.timed.time.time", lambda: 1_000_000.0)
    cookie = session.cookie_for("token")
    monkeypatch.setattr("itsdangerous.timed.time.time", lambda: 1_000_000.0 + SESSION_SECONDS + 1)
    assert not session.holder(cookie)


@pytest.mark.parametrize("cookie", [None, "", "operator", "operator.x.y", "\xff", "operator" * 1000])
def test_what_nobody_signed_is_no_session(cookie: str | None) -> None:
    assert not Session(["token"]).holder(cookie)


def test_a_cookie_tells_nothing_of_its_token() -> None:
    assert "right-token" not in (Session(["right-token"]).cookie_for("right-token") or "")


@pytest.mark.parametrize(
    ("headers", "is_ours"),
    [
        ({"sec-fetch-site": "same-origin"}, True),
        ({"sec-fetch-site": "same-site"}, False),
        ({"sec-fetch-site": "cross-site", "origin": "http://page:1", "host": "page:1"}, False),
        ({"sec-fetch-site": "none"}, False),
        ({"origin": "http://page:1", "host": "page:1"}, True),
        ({"origin": "http://other:1", "host": "page:1"}, False),
        ({"origin": "null", "host": "page:1"}, False),
        ({"origin": "http://[", "host": "page:1"}, False),
        ({"host": "page:1"}, False),
        ({}, False),
    ],
)
def test_a_form_comes_from_the_page_itself(headers: dict[str, str], is_ours: bool) -> None:
    assert is_same_origin(Headers(headers)) is is_ours


@pytest.mark.parametrize(
    ("asked", "shown"),
    [
        ("/ui/accounts/a?x=1", "/ui/accounts/a?x=1"),
        ("https://elsewhere/", "/ui/"),
        ("//elsewhere/ui/", "/ui/"),
        ("/ui/login", "/ui/"),
        ("/ui/\r\nSet-Cookie: x", "/ui/"),
        ("", "/ui/"),
    ],
)
def test_a_login_leads_nowhere_else(asked: str, shown: str) -> None:
    assert next_page(asked) == shown


@pytest.mark.parametrize("path", ["/ui/migrations", "/ui/fleet", "/ui/accounts/a", "/ui/accounts/a/rejects.jsonl"])
def test_a_stranger_is_shown_the_form(stranger: TestClient, path: str) -> None:
    answer = stranger.get(path)
    assert (answer.status_code, answer.headers["location"]) == (303, f"/ui/login?next={path}")


def test_a_login_leads_to_the_account_that_was_asked_for_whatever_its_id_holds(stranger: TestClient) -> None:
    asked = "/ui/accounts/a%3Fb%25%E2%98%83/rejects?code=invalid_id"
    form = stranger.get(stranger.get(asked).headers["location"]).text
    shown = form.split('name="next" value="')[1].split('"')[0]
    answer = stranger.post("/ui/login", data={"token": TOKEN, "next": shown})
    assert answer.headers["location"] == asked


def test_a_form_that_lost_its_session_leads_back_to_its_view_and_does_nothing(stranger: TestClient) -> None:
    answer = stranger.post("/ui/accounts/a%3Fb/start")
    assert answer.headers["location"] == "/ui/login?next=/ui/accounts/a%253Fb"
    assert stranger.post("/ui/logout").headers["location"] == "/ui/login"


@pytest.mark.parametrize(
    ("shown", "form"),
    [
        ("http://page/ui/accounts/a%3Fb?said=verify", "/ui/login?next=/ui/accounts/a%253Fb%3Fsaid%3Dverify"),
        ("http://page/elsewhere", "/ui/login"),
        ("http://[", "/ui/login"),
        ("", "/ui/login"),
    ],
)
def test_a_fragment_that_lost_its_session_sends_the_whole_page_to_the_form(
    stranger: TestClient, shown: str, form: str
) -> None:
    answer = stranger.get("/ui/migrations", headers={"HX-Request": "true", "HX-Current-URL": shown})
    assert (answer.status_code, answer.headers["hx-redirect"]) == (401, form)


def test_a_login_gives_a_cookie_that_scripts_and_other_sites_do_not_get(stranger: TestClient) -> None:
    answer = stranger.post("/ui/login", data={"token": f" {TOKEN} ", "next": "/ui/fleet"})
    assert (answer.status_code, answer.headers["location"]) == (303, "/ui/fleet")
    cookie = answer.headers["set-cookie"].lower()
    assert {"httponly", "samesite=strict", "path=/ui"} <= {part.strip() for part in cookie.split(";")}
    assert "secure" not in cookie
    assert stranger.get("/ui/migrations").status_code == 200


@pytest.mark.parametrize("protocols", ["https", "https, http"])
def test_behind_tls_the_cookie_is_secure(stranger: TestClient, protocols: str) -> None:
    answer = stranger.post("/ui/login", data={"token": TOKEN}, headers={"X-Forwarded-Proto": protocols})
    assert "secure" in answer.headers["set-cookie"].lower()


def test_a_wrong_token_is_told_and_gives_no_cookie(stranger: TestClient) -> None:
    answer = stranger.post("/ui/login", data={"token": "wrong"})
    assert answer.status_code == 401
    assert "set-cookie" not in answer.headers
    assert "none of the server" in answer.text
    assert "wrong" not in answer.text


def test_after_a_logout_the_form_is_shown_again(viewer: TestClient) -> None:
    viewer.post("/ui/logout")
    assert COOKIE not in viewer.cookies
    assert viewer.get("/ui/migrations").status_code == 303


def test_another_site_can_send_no_form(viewer: TestClient) -> None:
    answer = viewer.post("/ui/accounts/a/cancel", headers={"Sec-Fetch-Site": "cross-site"})
    assert answer.status_code == 403


def test_without_tokens_this_machine_needs_no_login(service: Operations) -> None:
    with TestClient(create_app(service, tokens=[]), base_url="http://127.0.0.1", headers=OURS) as client:
        assert client.get("/ui/migrations").status_code == 200
        assert client.get("/ui/login").url.path == "/ui/migrations"
        assert client.get("/ui/migrations", headers={"Host": "rebound.example"}).status_code == 421


POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
ASKED = {
    "a view": ("GET", "/ui/migrations", 200, {}),
    "a page that is not there": ("GET", "/ui/nowhere", 404, {}),
    "a file that is not there": ("GET", "/ui/static/nothing.js", 404, {}),
    "an account that is not there": ("GET", "/ui/accounts/nobody", 404, {}),
    "an id that is none": ("GET", "/ui/accounts/a%00b", 422, {}),
    "a hidden slash": ("GET", "/ui/accounts/a%2Fb", 422, {}),
    "a slash too many": ("GET", "/ui/migrations/", 404, {}),
    "the form": ("GET", "/ui/login", 200, {}),
    "a wrong token": ("POST", "/ui/login", 401, {"content": b"token=wrong"}),
    "a redirection": ("GET", "/ui/", 303, {}),
    "no slash": ("GET", "/ui", 303, {}),
    "the root": ("GET", "/", 303, {}),
    "a method that is none": ("PUT", "/ui/fleet", 405, {}),
    "a form of another site": ("POST", "/ui/logout", 403, {"headers": {"Sec-Fetch-Site": "cross-site"}}),
    "a form of nowhere": ("POST", "/ui/logout", 403, {"headers": {"Sec-Fetch-Site": "none", "Origin": "http://["}}),
    "a form that is too large": ("POST", "/ui/login", 413, {"content": b"x" * 70_000}),
    "a form with too many fields": ("POST", "/ui/login", 422, {"content": b"a=1&" * 30}),
    "too many headers": ("GET", "/ui/migrations", 431, {"headers": {"X-Long": "x" * 20_000}}),
}


@pytest.mark.parametrize(("method", "path", "status", "how"), ASKED.values(), ids=ASKED)
def test_every_answer_tells_the_browser_what_it_may_do(
    viewer: TestClient, method: str, path: str, status: int, how: dict[str, Any]
) -> None:
    answer = viewer.request(method, path, **how)
    assert (answer.status_code, _policy(answer)) == (status, ("no-store", POLICY, "nosniff", "no-referrer"))


def test_the_answer_to_a_fault_of_our_own_is_a_page_and_tells_nothing_of_it(
    service: Operations, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise RuntimeError("a customer's text")

    monkeypatch.setattr(type(service), "fleet", fail)
    with TestClient(create_app(service, tokens=[]), base_url="http://127.0.0.1") as client:
        answer = client.get("/ui/fleet")
    assert (answer.status_code, _policy(answer)) == (500, ("no-store", POLICY, "nosniff", "no-referrer"))
    assert answer.headers["content-type"].startswith("text/html")
    assert answer.headers["x-request-id"] in answer.text
    assert "a customer's text" not in answer.text + caplog.text
    assert "unexpected RuntimeError" in caplog.text


def _policy(answer: Response) -> tuple[str, ...]:
    names = ("cache-control", "content-security-policy", "x-content-type-options", "referrer-policy")
    return tuple(answer.headers[name] for name in names)


def test_files_that_never_change_are_kept_by_the_browser_for_a_day(stranger: TestClient) -> None:
    answer = stranger.get("/ui/static/page.css")
    assert _policy(answer) == ("private, max-age=86400", POLICY, "nosniff", "no-referrer")


@pytest.mark.parametrize("path", ["/", "/ui"])
def test_the_root_leads_to_the_page(stranger: TestClient, path: str) -> None:
    assert stranger.get(path).headers["location"] == "/ui/"
