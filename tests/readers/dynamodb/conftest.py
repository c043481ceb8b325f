"""Two implementations of DynamoDB on loopback: moto's server, and dynalite, which nobody here wrote."""

from __future__ import annotations

import itertools
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.config import Config

from s3import.readers.dynamodb.columns import ItemColumns
from s3import.readers.dynamodb.mapping import ItemMapping, parse_mapping
from tests.objects import CREDENTIALS
from tests.readers.dynamodb.items import MAPPING
from tests.readers.dynamodb.served import Served

DYNALITE = Path("build/dynalite/node_modules/dynalite/cli.js")
RESETS = Path(__file__).with_name("resets.js")
_numbers = itertools.count(1)


@pytest.fixture(scope="session")
def dynalite_endpoint() -> Iterator[str]:
    """Its URL, where node and the package are there (`make test` installs it)."""
    node = shutil.which("node")
    if node is None or not DYNALITE.exists():
        give_up = pytest.fail if os.environ.get("CI") == "true" else pytest.skip
        give_up("no dynalite: install node and npm, then `make test`")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    program = [str(node), "--require", str(RESETS), str(DYNALITE)]
    options = ["--host", "127.0.0.1", "--port", str(port), "--createTableMs", "0"]
    server = subprocess.Popen([*program, *options], stdout=subprocess.DEVNULL)
    _wait_for(port)
    yield f"http://127.0.0.1:{port}"
    server.kill()
    server.wait()


def _wait_for(port: int) -> None:
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        with socket.socket() as knocking:
            if knocking.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.02)
    raise TimeoutError("dynalite did not come up")


@pytest.fixture(autouse=True)
def first_items() -> None:
    """Nothing is remembered of the items of earlier tests."""
    ItemColumns.cache_clear()  # type: ignore[attr-defined] # it is a cached function


@pytest.fixture
def aws(s3_endpoint: tuple[str, Any], monkeypatch: pytest.MonkeyPatch) -> str:
    """moto's endpoint, in the environment of the code under test."""
    for name in ("AWS_PROFILE", "AWS_SESSION_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    for name, value in {**CREDENTIALS, "AWS_ENDPOINT_URL": s3_endpoint[0]}.items():
        monkeypatch.setenv(name, value)
    return s3_endpoint[0]


@pytest.fixture(params=["moto", "dynalite"])
def served(request: pytest.FixtureRequest, aws: str, monkeypatch: pytest.MonkeyPatch) -> Served:
    """The three tables of the tests' mapping, empty, on each implementation in turn."""
    url = aws if request.param == "moto" else request.getfixturevalue("dynalite_endpoint")
    monkeypatch.setenv("AWS_ENDPOINT_URL", url)
    return _tables(url)


@pytest.fixture
def moto_tables(aws: str) -> Served:
    """The same on moto alone, for what does not depend on the implementation."""
    return _tables(aws)


def _tables(url: str) -> Served:
    quick = Config(retries={"total_max_attempts": 1})
    client = boto3.client(
        "dynamodb",
        endpoint_url=url,
        region_name="us-east-1",
        aws_access_key_id="testing",
        aws_secret_access_key="testing",
        config=quick,
    )
    served = Served(url, client, str(next(_numbers)))
    served.create("threads", "account", "id")
    served.create("messages", "account", "sort")
    served.create("attachments", "id", None, index=("by-account", "account", "created"))
    return served


@pytest.fixture
def tables_mapping(served: Served) -> ItemMapping:
    """The mapping of those tables."""
    return parse_mapping(served.mapping_text(MAPPING), "mapping.toml")
