"""`s3import serve` imports by itself what is asked for, through crashes, restarts and company."""

from __future__ import annotations

import signal
import subprocess
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
import sqlalchemy as sa

from s3import.core.settings import Settings
from s3import.core.tables import import_runs
from tests.cli import commands
from tests.cli.commands import command, environment, s3import
from tests.importing.dumps import ACCOUNT
from tests.importing.moving import snapshot
from tests.importing.strikes import kill_process
from tests.reporting.notify.receiver import Receiver
from tests.reporting.notify.runs import SECRET
from tests.server.processes.client import Client
from tests.server.processes.conftest import served_settings
from tests.server.processes.processes import Processes, free_port, wait_until
from tests.server.workers.fleets import scalars, undisturbed

pytestmark = pytest.mark.integration


def attempts(settings: Settings) -> list[int]:
    """How often each run was taken."""
    return list(scalars(settings, sa.select(import_runs.c.attempts).order_by(import_runs.c["pass"])))


@contextmanager
def running(*words: str) -> Iterator[subprocess.Popen[bytes]]:
    """The command as it is typed; whatever happens, its process does not stay."""
    with subprocess.Popen(command(*words), env=environment(), stderr=subprocess.PIPE) as process:
        try:
            yield process
        finally:
            process.kill()


def test_one_request_imports_both_passes(tmp_path: Path, bare_postgres_url: str) -> None:
    """The command as it is typed, on a database without tables: it serves, imports and leaves on SIGTERM."""
    settings = served_settings(tmp_path, bare_postgres_url)
    port = free_port()
    given = ["--source", settings.source or "", "--database", settings.database]
    with running("serve", "--port", str(port), *given) as server:
        client = Client(port)
        client.wait_until_up()
        client.create_account()
        assert client.migrate()[0] == 202
        client.wait_for("succeeded")
        assert client.status()["account_status"] == "active"
        server.terminate()
        assert server.wait(120) == 0
    assert snapshot(settings)["messages"] == undisturbed()["messages"]


def test_a_killed_server_is_taken_over(settings: Settings, started: Processes, tmp_path: Path) -> None:
    """The next one goes on by itself once the lease has ended, at the last checkpoint."""
    port = free_port()
    doomed = started.serve(settings, port, k=6, strike=kill_process)
    client = Client(port)
    client.wait_until_up()
    client.create_account()
    client.migrate()
    doomed.join(120)
    assert doomed.exitcode == -9
    client = Client(free_port())
    started.serve(settings, client.port)
    client.wait_until_up()
    client.wait_for("succeeded")
    assert attempts(settings) == [2, 1]
    assert snapshot(settings) == undisturbed()


def test_sigterm_leaves_the_run_to_the_next_server(postgres_url: str, started: Processes, tmp_path: Path) -> None:
    """It goes back to the queue and is taken at once: no lease has to end, and it counts as no failure."""
    settings = replace(served_settings(tmp_path, postgres_url), lease_seconds=600.0)
    port = free_port()
    (slow := tmp_path / "slow").touch()
    first = started.serve(settings, port, slow=slow)
    client = Client(port)
    client.wait_until_up()
    client.create_account()
    client.migrate()
    wait_until(lambda: client.rows_read() > 0)
    first.terminate()
    first.join(120)
    assert first.exitcode == 0
    assert list(scalars(settings, sa.select(import_runs.c.state))) == ["queued", "queued"]
    assert list(scalars(settings, sa.select(import_runs.c.tries))) == [0, 0]
    started.serve(settings, port)
    client.wait_until_up()
    client.wait_for("succeeded")
    assert snapshot(settings) == undisturbed()


def test_servers_share_the_work_and_never_an_account(mariadb_url: str, started: Processes, tmp_path: Path) -> None:
    """Two on one database, asked for the same account at the same moment, start one run and take it once."""
    settings = served_settings(tmp_path, mariadb_url)
    clients = [Client(free_port()) for _ in range(2)]
    for client in clients:
        started.serve(settings, client.port)
    for client in clients:
        client.wait_until_up()
    clients[0].create_account()
    with ThreadPoolExecutor(8) as threads:
        answers = list(threads.map(lambda number: clients[number % 2].migrate(), range(8)))
    assert sorted(status for status, _ in answers) == [200] * 7 + [202]
    clients[0].wait_for("succeeded")
    assert attempts(settings) == [1, 1]
    assert snapshot(settings) == undisturbed()


@pytest.mark.parametrize("way", ["command", "request"])
def test_a_run_is_cancelled_at_its_next_batch(postgres_url: str, started: Processes, tmp_path: Path, way: str) -> None:
    """Its checkpoint is kept, and the next request goes on there with the same run."""
    settings, slow = served_settings(tmp_path, postgres_url), tmp_path / "slow"
    client = Client(free_port())
    slow.touch()
    started.serve(settings, client.port, slow=slow)
    client.wait_until_up()
    client.create_account()
    run_id = client.migrate()[1]["run_id"]
    wait_until(lambda: client.rows_read() > 0)
    if way == "command":
        assert s3import("cancel", "--account", ACCOUNT, "--database", settings.database).status == 0
    else:
        assert client.request("DELETE", f"/migrations/{run_id}")[0] == 200
    wait_until(lambda: client.run()["state"] == "cancelled")
    slow.unlink()
    kept = client.rows_read()
    assert client.migrate() == (202, {"run_id": run_id, "state": "queued"})
    assert client.rows_read() >= kept > 0
    client.wait_for("succeeded")
    assert snapshot(settings) == undisturbed()


def test_word_of_runs_gets_out(postgres_url: str, started: Processes, tmp_path: Path) -> None:
    """Slack and the callback hear of what started, what is done and what failed."""
    with Receiver() as receiver:
        settings = replace(
            served_settings(tmp_path, postgres_url),
            slack_webhook_url=f"{receiver.url}/slack",
            callback_url=f"{receiver.url}/callback",
            callback_secret=SECRET,
        )
        (tmp_path / ACCOUNT / "remaining/manifest.json").write_bytes(b"no manifest")
        client = Client(free_port())
        started.serve(settings, client.port)
        client.wait_until_up()
        client.create_account()
        client.migrate()
        wait_until(lambda: len(receiver.requests) == 6)
        told = [(r.json["data"]["pass"], r.json["type"]) for r in receiver.requests if r.path == "/callback"]
    assert sorted(told) == [
        ("recent", "migration.started"),
        ("recent", "migration.succeeded"),
        ("remaining", "migration.failed"),
    ]
    assert [r.path for r in receiver.requests].count("/slack") == 3


@pytest.mark.parametrize("late_seconds", [0, 0.1])
def test_sigterm_while_it_starts_ends_it(sqlite_url: str, tmp_path: Path, late_seconds: float) -> None:
    """A server that is asked to go before it serves does not stay. Its API is started anew, which takes a while."""
    settings = served_settings(tmp_path, sqlite_url)
    given = ["--port", str(free_port()), "--source", settings.source or "", "--database", settings.database]
    with commands.running("serve", *given) as server:
        server.err.readline()  # it is about to serve
        time.sleep(late_seconds)
        server.send_signal(signal.SIGTERM)
        assert server.ended().status == 0
