"""The clients that the guides show work, in Python and in TypeScript."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from docs.clients.receive import Receiver as CallbackReceiver
from docs.generate import HERE
from s3import.reporting.notify.callback import CallbackSender
from tests.cli.commands import Dump, environment, json_lines, message, thread
from tests.importing.moving import settings_for
from tests.reporting.notify.receiver import Received, Receiver, Reply
from tests.reporting.notify.runs import SECRET
from tests.reporting.notify.test_senders import FAILED, notice
from tests.server.processes.processes import free_port, processes

pytestmark = pytest.mark.integration

CLIENTS = HERE / "clients"
TYPESCRIPT = HERE.parent / "build/typescript/node_modules"
RIGHT = ["--strict", "--noUncheckedIndexedAccess", "--exactOptionalPropertyTypes", "--erasableSyntaxOnly"]
IDS = {"brand_id": "b1", "channel_id": "c1"}


@pytest.fixture(scope="module")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the TypeScript of the guides as JavaScript, its types checked."""
    if shutil.which("node") is None or not TYPESCRIPT.exists():
        give_up = pytest.fail if os.environ.get("CI") == "true" else pytest.skip
        give_up("no TypeScript: install node and npm, then `make test`")
    folder = tmp_path_factory.mktemp("typescript")
    types = ["--typeRoots", str(TYPESCRIPT / "@types"), "--types", "node"]
    target = ["--target", "es2022", "--module", "nodenext", "--outDir", str(folder)]
    files = map(str, CLIENTS.glob("*.ts"))
    command = [str(TYPESCRIPT / ".bin/tsc"), *RIGHT, *types, *target, *files]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
    return folder


@pytest.fixture(params=["python", "typescript"])
def client(request: pytest.FixtureRequest) -> Sequence[str]:
    """The command that moves an account, but for the account's id."""
    if request.param == "python":
        return [sys.executable, str(CLIENTS / "migrate.py")]
    return ["node", str(request.getfixturevalue("compiled") / "migrate.js")]


def started(client: Sequence[str], url: str, account: str = "acme") -> subprocess.Popen[str]:
    variables = environment(S3IMPORT_URL=url, S3IMPORT_TOKEN="right-token")
    return subprocess.Popen(
        [*client, account], env=variables, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def test_moves_an_account(client: Sequence[str], tmp_path: Path, sqlite_url: str) -> None:
    """Both passes, from a server that comes up late; and an account without a remaining dump fails with its reason."""
    dump = Dump(tmp_path / "dumps")
    for account in ("acme", "half"):
        dump.put("recent/threads/a.jsonl", json_lines(thread(0, account, **IDS)), account)
        dump.put("recent/messages/a.jsonl", json_lines(message(0, account), b"{\n"), account)
    dump.put("remaining/threads/a.jsonl", json_lines(thread(1, **IDS)))
    settings = replace(settings_for(dump.root, sqlite_url, lease_seconds=15.0), api_tokens=("right-token",))
    port = free_port()
    moving, failing = (started(client, f"http://127.0.0.1:{port}", account) for account in ("acme", "half"))
    with processes() as serving:
        serving.serve(settings, port)
        told, errors = moving.communicate(timeout=60)
        assert (moving.returncode, errors) == (0, "")
        assert told.splitlines() == [
            "acme: the recent pass is imported, 1 records rejected",
            "acme: the remaining pass is imported, 0 records rejected",
        ]
        assert failing.communicate(timeout=60)[1].endswith("[dump_not_found]\n")
        assert failing.returncode == 1


def test_asks_again_while_a_server_is_not_available(client: Sequence[str]) -> None:
    """After a 503, and for a body that never came, the same request is sent once more."""
    created, ignored = Reply(201, b"{}"), Reply(200, b'{"ignored":"already-active"}')
    away = Reply(503, b'{"code":"not_ready","detail":"later"}', {"Retry-After": "0"})
    with Receiver() as server:
        server.replies = [away, created, Reply(breaks=True), created, created, ignored, ignored]
        done = started(client, server.url)
        _, errors = done.communicate(timeout=60)
        assert (done.returncode, errors) == (0, "")
        asked = [f"{request.method} {request.path}" for request in server.requests]
    brand, channel = "POST /accounts/acme/brands", "POST /accounts/acme/channels"
    assert asked == ["POST /accounts", "POST /accounts", brand, brand, channel, "POST /migrate", "POST /migrate"]


def test_says_why_a_request_is_refused(client: Sequence[str]) -> None:
    """A refusal is not tried again; its detail and code are shown."""
    with Receiver() as server:
        server.replies = [Reply(401, b'{"code":"unauthorized","detail":"send a right token"}')]
        done = started(client, server.url)
        assert done.communicate(timeout=60) == ("", "send a right token [unauthorized]\n")
        assert (done.returncode, len(server.requests)) == (1, 1)


# --- callbacks --------------------------------------------------------------------------------------------------------


@pytest.fixture
def callbacks() -> list[Received]:
    """A callback that was sent twice, and the same with another body."""
    with Receiver() as server:
        for _ in range(2):
            CallbackSender(server.url, SECRET)(notice(FAILED))
        first, second = server.requests
    return [first, second, replace(first, body=first.body + b" ")]


def test_python_takes_callbacks(callbacks: list[Received]) -> None:
    """The receiver verifies what is sent, and handles it once."""
    taken = CallbackReceiver(SECRET)
    assert [taken.receive(one.body, dict(one.headers)) for one in callbacks] == [204, 204, 400]
    assert taken.seen == {"f" * 32}


def test_typescript_takes_callbacks(callbacks: list[Received], compiled: Path) -> None:
    """As in Python."""
    given = [{"body": one.body.decode(), "headers": dict(one.headers)} for one in callbacks]
    program = (
        f"const {{ receive }} = require({json.dumps(str(compiled / 'receive.js'))});"
        f"for (const one of {json.dumps(given)}) console.log(receive({json.dumps(SECRET)}, one.body, one.headers));"
    )
    done = subprocess.run(["node", "-e", program], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == ["migration.failed acme recent", "204", "204", "400"]
