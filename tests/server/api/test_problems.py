"""Every error is a problem document, whatever went wrong and wherever."""

from __future__ import annotations

import logging
import re
from typing import Any

import pytest
from fastapi.testclient import TestClient
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from s3import.core.errors import ConfigurationError
from s3import.core.explanations import explain
from s3import.operations.operations import Operations
from s3import.server.api.application import create_app
from s3import.server.api.loopback import check_binding
from tests.server.api.conftest import bearer
from tests.server.api.services import ACCOUNT, TOKEN, open_service, put_account

JSON = {"Content-Type": "application/json"}
BODIES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["id", "name", "pass", "x"]), inner),
    max_leaves=6,
)


def problem_of(answer: Any, status: int, code: str) -> dict[str, Any]:
    """The answer's problem document, all of whose members must be there."""
    document: dict[str, Any] = answer.json()
    assert answer.headers["content-type"] == "application/problem+json"
    assert (answer.status_code, document["status"], document["code"]) == (status, status, code)
    assert (document["type"], document["title"]) == (explain(code).url, explain(code).meaning)
    assert document["detail"]
    assert document["request_id"] == answer.headers["x-request-id"]
    return document


@pytest.mark.parametrize(
    ("method", "path", "content", "status", "code"),
    [
        ("GET", "/nowhere", None, 404, "not_found"),
        ("GET", "/accounts/", None, 404, "not_found"),
        ("GET", "/docs", None, 404, "not_found"),
        ("GET", "/metrics", None, 404, "not_found"),
        ("PUT", "/accounts", None, 405, "method_not_allowed"),
        ("POST", "/check-migration", None, 405, "method_not_allowed"),
        ("GET", "/migrate", None, 405, "method_not_allowed"),
        ("POST", "/accounts", b"x" * 65537, 413, "body_too_large"),
        ("POST", "/accounts", b"", 422, "invalid_request"),
        ("POST", "/accounts", b"{", 422, "invalid_request"),
        ("POST", "/accounts", b"\xff\xfe", 422, "invalid_request"),
        ("POST", "/accounts", b"[" * 60000, 422, "invalid_request"),
        ("POST", "/accounts", b'{"id":"a","name":"\xe9"}', 422, "invalid_request"),
        ("POST", "/accounts", b"null", 422, "invalid_request"),
        ("POST", "/accounts", b'{"id":1,"name":"x"}', 422, "invalid_request"),
        ("POST", "/accounts", b'{"id":"a","nmae":"x"}', 422, "invalid_request"),
        ("POST", "/accounts", b'{"id":"a","\\ud800":"x"}', 422, "invalid_request"),
        ("POST", "/accounts", b'{"id":"","name":"x"}', 422, "invalid_account_id"),
        ("POST", "/accounts", b'{"id":"a/b","name":"x"}', 422, "invalid_account_id"),
        ("POST", "/accounts", b'{"id":"\\ud800","name":"x"}', 422, "invalid_account_id"),
        ("POST", "/accounts/acme/brands", b'{"id":"\\u0000","name":"x"}', 422, "invalid_id"),
        ("POST", "/migrate", b'{"account_id":".."}', 422, "invalid_account_id"),
        ("POST", "/migrate", b'{"account_id":"acme","pass":"both"}', 422, "invalid_request"),
        ("GET", "/check-migration", None, 422, "invalid_request"),
        ("GET", "/check-migration?account_id=", None, 422, "invalid_account_id"),
        ("GET", "/check-migration?account_id=a%00b", None, 422, "invalid_account_id"),
        ("GET", "/accounts/%2e%2e", None, 422, "invalid_account_id"),
        ("GET", "/accounts/a%2Fb", None, 422, "invalid_account_id"),
        ("GET", "/accounts/a%5cb", None, 422, "invalid_account_id"),
        ("POST", "/accounts/a%2fbrands", b"{}", 422, "invalid_account_id"),
        ("GET", "/accounts/a%7Bb", None, 422, "invalid_account_id"),
        ("GET", "/accounts/a%0Ab", None, 422, "invalid_account_id"),
        ("GET", "/accounts/" + "a" * 256, None, 422, "invalid_account_id"),
        ("GET", "/accounts/acme/rejects?limit=0", None, 422, "invalid_request"),
        ("GET", "/accounts/acme/rejects?limit=1001", None, 422, "invalid_request"),
        ("GET", "/accounts/acme/rejects?pass=all", None, 422, "invalid_request"),
        ("GET", "/accounts/acme/rejects?code=nonsense", None, 422, "invalid_request"),
        ("GET", "/accounts/acme/rejects?entity=brands", None, 422, "invalid_request"),
        ("GET", "/accounts/acme/rejects?after=recent.1", None, 422, "invalid_cursor"),
        ("GET", "/accounts?after=a%25b", None, 422, "invalid_cursor"),
        ("GET", "/accounts?status=gone", None, 422, "invalid_request"),
        ("GET", "/accounts?after=~00", None, 422, "invalid_cursor"),
        ("GET", "/accounts?after=a~FF", None, 422, "invalid_cursor"),
        ("GET", "/migrations?after=1", None, 422, "invalid_cursor"),
        ("GET", f"/migrations?after=999999999999999999.{'a' * 32}", None, 422, "invalid_cursor"),
        ("GET", "/migrations?state=done", None, 422, "invalid_request"),
        ("GET", "/migrations?account_id=..", None, 422, "invalid_account_id"),
        ("PATCH", "/accounts/acme", b'{"status":"migrating"}', 422, "invalid_request"),
        ("PATCH", "/accounts/acme", b'{"status":"active","name":"x"}', 422, "invalid_request"),
        ("PATCH", "/accounts/acme", b"{}", 422, "invalid_request"),
        ("PATCH", "/accounts/..", b'{"status":"active"}', 405, "method_not_allowed"),
        ("PATCH", "/accounts/%2e%2e", b'{"status":"active"}', 422, "invalid_account_id"),
        ("GET", "/accounts/acme/rejects?after=recent.1.99999999999999999999", None, 422, "invalid_cursor"),
    ],
)
def test_every_error_is_a_problem(
    client: TestClient, method: str, path: str, content: bytes | None, status: int, code: str
) -> None:
    """What is wrong with a request is said by status and code, before anything is touched."""
    problem_of(client.request(method, path, content=content, headers=JSON), status, code)


def test_a_wrong_method_is_told_the_right_ones(client: TestClient) -> None:
    """405 comes with Allow, which names every method of the path."""
    assert client.put("/accounts").headers["allow"] == "GET, HEAD, POST"
    assert client.put("/accounts/acme").headers["allow"] == "GET, HEAD, PATCH"
    assert client.put("/migrate").headers["allow"] == "POST"
    assert client.put("/openapi.json").headers["allow"] == "GET, HEAD"


@pytest.mark.parametrize(
    "path", ["/health", "/openapi.json", "/accounts", "/check-migration?account_id=acme", "/nowhere"]
)
def test_head_is_answered_like_get_without_a_body(client: TestClient, path: str) -> None:
    """A probe that asks by HEAD gets the status and the headers of GET, tokens and all."""
    client.post("/accounts", json={"id": "acme"})
    full, headless = client.get(path, headers={"X-Request-Id": "1"}), client.head(path, headers={"X-Request-Id": "1"})
    assert (headless.status_code, headless.headers) == (full.status_code, full.headers)
    assert headless.content == b""


def test_head_needs_a_token(client: TestClient) -> None:
    """As GET does."""
    assert client.head("/accounts/acme", headers={"Authorization": ""}).status_code == 401


def test_a_fault_names_fields_and_never_values(client: TestClient) -> None:
    """Who sends a wrong body learns which field is wrong; nothing of the body comes back."""
    answer = client.post("/accounts", json={"id": "acme", "name": ["secret words"]})
    document = problem_of(answer, 422, "invalid_request")
    assert [fault["field"] for fault in document["errors"]] == ["body.name"]
    assert "secret" not in answer.text


def test_a_body_of_another_type_is_told_the_right_one(client: TestClient) -> None:
    """As `curl -d` sends it; one that is JSON and wrong is not told so."""
    form = client.post("/accounts", content=b'{"id":"acme"}', headers={"Content-Type": "text/plain"})
    assert "`Content-Type: application/json`" in problem_of(form, 422, "invalid_request")["detail"]
    listed = client.post("/accounts", content=b"[]", headers={"Content-Type": "application/json; charset=utf-8"})
    assert "Content-Type" not in problem_of(listed, 422, "invalid_request")["detail"]


@given(body=BODIES, path=st.sampled_from(["/accounts", "/migrate", "/accounts/acme/brands", "/accounts/acme/channels"]))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_no_body_breaks_the_server(client: TestClient, body: Any, path: str) -> None:
    """Whatever JSON is sent, the answer is never a 500."""
    assert client.post(path, json=body).status_code < 500


def test_a_form_is_not_json(client: TestClient) -> None:
    """A body that is not declared as JSON is refused: a web page could send such a one to this machine."""
    answer = client.post("/accounts", content=b'{"id":"acme","name":"x"}', headers={"Content-Type": "text/plain"})
    problem_of(answer, 422, "invalid_request")


# --- tokens --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("token", [TOKEN, "another-token"])
def test_every_configured_token_is_right(client: TestClient, token: str) -> None:
    """While tokens are exchanged the old one and the new one both pass."""
    assert client.get("/nowhere", headers=bearer(token)).status_code == 404


@pytest.mark.parametrize(
    "authorization",
    ["", "Bearer", "Bearer ", f"Bearer {TOKEN}x", f"Bearer {TOKEN[:-1]}", f"Basic {TOKEN}", TOKEN, "Bearer \xff"],
)
@pytest.mark.parametrize(
    "path", ["/accounts/acme", "/metrics", "/nowhere", "/health/", "http://testserver//health", "/openapi.json/"]
)
def test_a_wrong_token_opens_nothing(client: TestClient, path: str, authorization: str) -> None:
    """Without a right token nothing is told, not even which paths there are."""
    answer = client.get(path, headers={b"Authorization": authorization.encode("latin-1")})
    problem_of(answer, 401, "unauthorized")
    assert answer.headers["www-authenticate"] == "Bearer"


@pytest.mark.parametrize("path", ["/health", "/openapi.json", "/schemas/thread.json"])
def test_health_and_description_are_open(client: TestClient, path: str) -> None:
    """A probe and a client's generator need no token."""
    assert client.get(path, headers={"Authorization": ""}).status_code == 200


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.8.8", "::1", "localhost", "LocalHost"])
def test_without_tokens_this_machine_is_served(host: str) -> None:
    """A server without tokens may listen on loopback."""
    check_binding(host, [])


@pytest.mark.parametrize(
    "host", ["0.0.0.0", "::", "", "10.0.0.1", "example.com", "localhost.example.com", "127.0.0.1.x"]
)
def test_without_tokens_nobody_else_is_served(host: str) -> None:
    """A server without tokens listens nowhere else; with tokens it may."""
    with pytest.raises(ConfigurationError, match="S3IMPORT_API_TOKENS"):
        check_binding(host, [])
    check_binding(host, ["a-token"])


@pytest.mark.parametrize(("host", "status"), [("127.0.0.1:8000", 404), ("[::1]:80", 404), ("evil.example:8000", 421)])
def test_without_tokens_only_loopback_names_are_answered(service: Operations, host: str, status: int) -> None:
    """A web page that points a name of its own at this machine gets nowhere."""
    with TestClient(create_app(service, tokens=[])) as client:
        assert client.get("/accounts/acme", headers={"Host": host}).status_code == status


# --- request ids, headers, logs ---------------------------------------------------------------------------------


def test_a_request_keeps_its_id(client: TestClient) -> None:
    """A sane X-Request-Id comes back, in good answers and in problems."""
    for path in ("/health", "/nowhere"):
        assert client.get(path, headers={"X-Request-Id": "abc-1:2"}).headers["x-request-id"] == "abc-1:2"


@pytest.mark.parametrize("given_id", ["", "a b", "x" * 129, 'a"b', "<script>"])
def test_an_odd_request_id_is_replaced(client: TestClient, given_id: str) -> None:
    """An id that could trick a log or a reader is replaced by one of our own."""
    made = client.get("/health", headers={"X-Request-Id": given_id}).headers["x-request-id"]
    assert made != given_id
    assert len(made) == 32


def test_too_many_headers_are_refused(client: TestClient) -> None:
    """Headers are limited in number and size."""
    many = {f"X-{number}": "1" for number in range(101)}
    problem_of(client.get("/health", headers=many), 431, "headers_too_large")
    problem_of(client.get("/health", headers={"X-Long": "x" * 17000}), 431, "headers_too_large")


def test_the_log_tells_requests_and_no_secrets(client: TestClient, caplog: pytest.LogCaptureFixture) -> None:
    """Each request is one line with its path as it was sent; tokens, queries and bodies stay out."""
    with caplog.at_level(logging.INFO):
        client.get("/accounts/a%0Ab?secret=query")
        client.post("/accounts", json={"id": ACCOUNT, "name": "secret name"})
    lines = [record.getMessage() for record in caplog.records if record.name.startswith("s3import")]
    assert lines[0].startswith("GET /accounts/a%0Ab 422 in ")
    assert lines[1].startswith("POST /accounts 201 in ")
    assert not {"secret", TOKEN} & set(re.findall(r"[\w-]+", " ".join(lines)))


def test_a_fault_of_ours_tells_no_text(service: Operations, caplog: pytest.LogCaptureFixture) -> None:
    """An unexpected error answers 500; its own text, which may be a customer's, goes nowhere."""

    def broken() -> bytes:
        raise RuntimeError("a customer's words")

    with TestClient(create_app(service, tokens=[TOKEN], render_metrics=broken)) as client:
        answer = client.get("/metrics", headers=bearer(TOKEN))
    problem_of(answer, 500, "internal_error")
    assert "customer" not in answer.text + caplog.text
    assert "RuntimeError at " in caplog.text


@pytest.mark.parametrize("path", ["/accounts/acme", "/check-migration?account_id=acme"])
def test_a_database_that_is_away_is_503(path: str) -> None:
    """While the database cannot be used the answer says so, without telling where it is."""
    away = open_service("postgresql://somebody:secret@127.0.0.1:1/nowhere")
    with TestClient(create_app(away, tokens=[TOKEN]), headers=bearer(TOKEN)) as client:
        answer = client.get(path)
    problem_of(answer, 503, "database_unavailable")
    assert answer.headers["retry-after"] == "1"
    assert "127.0.0.1" not in answer.text


def test_tables_that_are_not_there_are_503(bare_sqlite_url: str) -> None:
    """A database without tables is the operator's matter."""
    service = open_service(bare_sqlite_url)
    with TestClient(create_app(service, tokens=[TOKEN]), headers=bearer(TOKEN)) as client:
        problem_of(client.get("/accounts/acme"), 503, "database_refused")


def test_without_a_source_one_has_to_be_named(sqlite_url: str) -> None:
    """A server that has no source of its own says so."""
    service = open_service(sqlite_url, source=None)
    put_account(service)
    with TestClient(create_app(service, tokens=[TOKEN]), headers=bearer(TOKEN)) as client:
        problem_of(client.post("/migrate", json={"account_id": ACCOUNT}), 422, "source_required")
