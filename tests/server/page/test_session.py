"""Who may see the page, and what a browser may do with it."""

from __future__ import annotations

import pytest
from fastapi.testclient import TestClient
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


def test_a_fragment_that_lost_its_session_sends_the_whole_page_to_the_form(stranger: TestClient) -> None:
    answer = stranger.get("/ui/migrations", headers={"HX-Request": "true"})
    assert (answer.status_code, answer.headers["hx-redirect"]) == (401, "/ui/login")


def test_a_login_gives_a_cookie_that_scripts_and_other_sites_do_not_get(stranger: TestClient) -> None:
    answer = stranger.post("/ui/login", data={"token": f" {TOKEN} ", "next": "/ui/fleet"})
    assert (answer.status_code, answer.headers["location"]) == (303, "/ui/fleet")
    cookie = answer.headers["set-cookie"].lower()
    assert {"httponly", "samesite=strict", "path=/ui"} <= {part.strip() for part in cookie.split(";")}
    assert "secure" not in cookie
    assert stranger.get("/ui/migrations").status_code == 200


def test_behind_tls_the_cookie_is_secure(stranger: TestClient) -> None:
    answer = stranger.post("/ui/login", data={"token": TOKEN}, headers={"X-Forwarded-Proto": "https"})
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


def test_every_answer_tells_the_browser_what_it_may_do(viewer: TestClient) -> None:
    for path in ("/ui/migrations", "/ui/nowhere", "/ui/static/page.css", "/ui/login"):
        headers = viewer.get(path).headers
        policy = headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["referrer-policy"] == "no-referrer"
    assert viewer.get("/ui/migrations").headers["cache-control"] == "no-store"


def test_the_root_leads_to_the_page(stranger: TestClient) -> None:
    assert stranger.get("/").headers["location"] == "/ui/"
