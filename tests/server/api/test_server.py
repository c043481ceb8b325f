"""The server over real HTTP: limits, connections that stay, and what is no HTTP at all."""

from __future__ import annotations

import http.client
import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from s3import.operations.operations import Operations
from s3import.server.api import gate
from tests.server.api.services import ACCOUNT, TOKEN, put_account
from tests.server.api.serving import head, served, talk

pytestmark = pytest.mark.integration
CHUNKED = "Transfer-Encoding: chunked"
JSON = "Content-Type: application/json"


@pytest.fixture
def port(service: Operations) -> Iterator[int]:
    """The port of a server over an SQLite file."""
    with served(service) as number:
        yield number


def chunks(body: bytes, size: int) -> list[bytes]:
    """The body as chunks of HTTP, each a piece of its own."""
    pieces = [body[start : start + size] for start in range(0, len(body), size)]
    return [b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces] + [b"0\r\n\r\n"]


def test_a_connection_carries_many_requests(port: int) -> None:
    """Good answers and problems alike keep the connection open."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=120)
    statuses, sockets = [], set()
    for path in ("/health", "/nowhere", "/accounts/a%2fb", "/health?live=1"):
        connection.request("GET", path, headers={"Authorization": f"Bearer {TOKEN}"})
        answer = connection.getresponse()
        answer.read()
        statuses.append(answer.status)
        sockets.add(connection.sock)
    connection.close()
    assert statuses == [200, 404, 422, 200]
    assert len(sockets) == 1


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/health", 200),
        ("/openapi.json", 200),
        ("/check-migration?account_id=acme", 200),
        ("/nowhere", 404),
        ("/migrate", 405),
    ],
)
def test_head_tells_what_get_would(service: Operations, port: int, path: str, status: int) -> None:
    """The same status and headers without a body, and the connection goes on."""
    put_account(service)
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=120)
    seen = []
    for method in ("HEAD", "GET"):
        connection.request(method, path, headers={"Authorization": f"Bearer {TOKEN}"})
        answer = connection.getresponse()
        seen.append((answer.status, answer.headers["Content-Length"], answer.headers["Allow"], len(answer.read())))
    connection.close()
    assert seen[0] == (*seen[1][:3], 0)
    assert (seen[0][0], int(seen[0][1])) == (status, seen[1][3])


def test_head_needs_a_token_too(port: int) -> None:
    """It is a question like any other."""
    asked = b"HEAD /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
    assert talk(port, asked).startswith(b"HTTP/1.1 401 ")


def test_a_chunked_body_is_read(port: int) -> None:
    """A body without a length is taken like any other, however small its pieces."""
    pieces = chunks(b'{"id":"acme","name":"Acme"}', 5)
    assert talk(port, head("POST", "/accounts", JSON, CHUNKED, "Connection: close"), *pieces).startswith(
        b"HTTP/1.1 201 "
    )


@pytest.mark.parametrize("size", [gate.MAX_BODY_BYTES + 1, gate.MAX_DRAINED_BYTES // 2])
def test_a_body_that_is_too_large_is_refused(port: int, size: int) -> None:
    """With a length or in chunks, more than 64 KiB is 413, and the sender gets to read it."""
    body = b" " * size
    for answer in (
        talk(port, head("POST", "/accounts", JSON, f"Content-Length: {size}") + body),
        talk(port, head("POST", "/accounts", JSON, CHUNKED), *chunks(body, 16000)),
    ):
        assert answer.startswith(b"HTTP/1.1 413 ")
        assert b'"code":"body_too_large"' in answer


def test_a_body_of_the_largest_size_is_read(port: int) -> None:
    """64 KiB pass."""
    body = b'{"id":"acme","name":"' + b"x" * (gate.MAX_BODY_BYTES - 23) + b'"}'
    answer = talk(port, head("POST", "/accounts", JSON, f"Content-Length: {len(body)}", "Connection: close") + body)
    assert answer.startswith(b"HTTP/1.1 201 ")


def test_an_enormous_body_is_not_waited_for(port: int) -> None:
    """A length far beyond the limit is refused before the body is sent."""
    answer = talk(port, head("POST", "/accounts", JSON, "Content-Length: 99999999999"))
    assert answer.startswith(b"HTTP/1.1 413 ")


def test_a_body_that_does_not_come_is_given_up(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """A sender that stalls gets 408 and loses the connection."""
    monkeypatch.setattr(gate, "BODY_SECONDS", 0.2)
    answer = talk(port, head("POST", "/accounts", JSON, "Content-Length: 10"), b"{")
    assert answer.startswith(b"HTTP/1.1 408 ")
    assert b'"code":"body_too_slow"' in answer


@pytest.mark.parametrize("sent", [b"nonsense\r\n\r\n", b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"x" * 70000])
def test_what_is_no_http_is_a_problem_too(port: int, sent: bytes) -> None:
    """Even what cannot be parsed is answered by a problem document."""
    answer = talk(port, sent)
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert json.loads(answer.partition(b"\r\n\r\n")[2])["code"] == "malformed_request"


def test_the_server_does_not_tell_what_it_is_made_of(port: int) -> None:
    """No header names the software."""
    assert b"uvicorn" not in talk(port, head("GET", "/health", "Connection: close"))


def test_simultaneous_polls_of_one_account_agree(service: Operations, port: int) -> None:
    """Fifty who ask at the same time all get the document."""
    put_account(service)

    def ask(_: int) -> bytes:
        return talk(port, head("GET", f"/check-migration?account_id={ACCOUNT}", "Connection: close"))

    with ThreadPoolExecutor(50) as pool:
        bodies = {answer.partition(b"\r\n\r\n")[2] for answer in pool.map(ask, range(50))}
    assert len(bodies) == 1
