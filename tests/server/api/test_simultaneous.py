"""Several API processes on one database: simultaneous identical requests do a thing once."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from http.client import HTTPConnection
from multiprocessing.connection import Connection
from threading import Barrier
from typing import Any

import pytest

import s3import.operations.composition
from s3import.core.records import Pass
from s3import.operations.operations import Operations
from s3import.status import State
from tests import forks
from tests.server.api.services import ACCOUNT, TOKEN, open_service, put_account, put_run
from tests.server.api.serving import served

pytestmark = pytest.mark.integration
PROCESSES = 2
AT_ONCE = 24
ROUNDS = int(os.environ.get("S3IMPORT_TEST_ROUNDS", "1"))
Answer = tuple[int, dict[str, Any]]


def _serve(url: str, pipe: Connection) -> None:
    """Serve until the pipe says that it is enough, however long a crowd may have to wait for each other."""
    s3import.operations.composition.CLIENT_SECONDS = 120.0
    with served(open_service(url)) as port:
        pipe.send(port)
        pipe.recv()


@contextmanager
def _process(url: str) -> Iterator[int]:
    """The port of an API process of its own."""
    ours, theirs = forks.context.Pipe()
    process = forks.context.Process(target=_serve, args=(url, theirs))
    process.start()
    try:
        if not ours.poll(120):
            raise TimeoutError("the API process did not start")
        yield ours.recv()
    finally:
        ours.send("enough")
        process.join(120)


@pytest.fixture(params=["postgres_url", "mariadb_url"])
def crowd(request: pytest.FixtureRequest) -> Iterator[tuple[Operations, list[int]]]:
    """A service, and the ports of two API processes over the same database."""
    url = request.getfixturevalue(request.param)
    service = open_service(url)
    with ExitStack() as stack:
        yield service, [stack.enter_context(_process(url)) for _ in range(PROCESSES)]
    service.database.close()


def _ask_at_once(ports: Sequence[int], path: str, body: dict[str, Any]) -> list[Answer]:
    """Send the same request many times at the same moment, evenly to all processes."""
    barrier = Barrier(AT_ONCE)

    def ask(number: int) -> Answer:
        connection = HTTPConnection("127.0.0.1", ports[number % len(ports)], timeout=120)
        connection.connect()
        barrier.wait()
        headers = {"Authorization": f"Bearer {TOKEN}", "Content-Type": "application/json"}
        connection.request("POST", path, json.dumps(body), headers)
        answer = connection.getresponse()
        document = json.loads(answer.read())
        connection.close()
        return answer.status, document

    with ThreadPoolExecutor(AT_ONCE) as pool:
        return list(pool.map(ask, range(AT_ONCE)))


def _once(answers: list[Answer], first: int) -> bool:
    """Whether one answer says that it did the thing, and the others that it is done."""
    return Counter(status for status, _ in answers) == {first: 1, 200: AT_ONCE - 1}


@pytest.mark.parametrize("wanted", ["recent", "all"])
def test_one_request_starts_the_run(crowd: tuple[Operations, list[int]], wanted: str) -> None:
    """One answer is 202, the others are 200, and all name the same run."""
    service, ports = crowd
    for number in range(ROUNDS):
        account = f"{ACCOUNT}-{number}"
        put_account(service, account_id=account)
        answers = _ask_at_once(ports, "/migrate", {"account_id": account, "pass": wanted})
        assert _once(answers, 202), answers
        assert len({document["run_id"] for _, document in answers}) == 1


def test_one_request_resumes_the_run(crowd: tuple[Operations, list[int]]) -> None:
    """A failed run is resumed by one of those who ask."""
    service, ports = crowd
    for number in range(ROUNDS):
        account = f"{ACCOUNT}-{number}"
        put_account(service, account_id=account)
        put_run(service, Pass.RECENT, State.FAILED, account)
        answers = _ask_at_once(ports, "/migrate", {"account_id": account})
        assert _once(answers, 202), answers


def test_one_request_creates_the_account(crowd: tuple[Operations, list[int]]) -> None:
    """Simultaneous requests create one account and one brand."""
    _, ports = crowd
    assert _once(_ask_at_once(ports, "/accounts", {"id": ACCOUNT, "name": "Acme"}), 201)
    assert _once(_ask_at_once(ports, f"/accounts/{ACCOUNT}/brands", {"id": "b1", "name": "One"}), 201)
