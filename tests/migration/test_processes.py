"""Many accounts in one command, moved by several processes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import sqlalchemy as sa

from tests.migration import dumps

pytestmark = pytest.mark.integration

ACCOUNTS = [f"account-{number}" for number in range(33)]


def command(folder: Path, url: str) -> list[str]:
    named = [word for account in ACCOUNTS for word in ("--account", account)]
    source = f"{folder}/{{account}}"
    return [sys.executable, "-m", "s3import", "migrate", *named, "--source", source, "--database", url]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for account in ACCOUNTS:
        dumps.write(dumps.simple_dump(3, account), tmp_path, account)
    return tmp_path


def statuses(url: str) -> dict[str, int]:
    from s3import.writers import open_database

    with open_database(url).read() as connection:
        rows = connection.execute(sa.text("SELECT status, count(*) FROM accounts GROUP BY status"))
        return dict(rows.tuples().all())


def test_many_accounts_are_moved_by_several_processes(folder: Path, postgres_url: str) -> None:
    """Each account is moved once, and the command says so."""
    done = subprocess.run(command(folder, postgres_url), capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout.splitlines()[-1]) == (0, "33 accounts: 33 done")
    assert statuses(postgres_url) == {"active": 33}


def test_an_interrupted_fleet_goes_on_where_it_was(folder: Path, postgres_url: str) -> None:
    """SIGINT to the command alone ends all of its processes; the same command does the rest."""
    running = subprocess.Popen(command(folder, postgres_url), stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    time.sleep(1.5)
    running.send_signal(signal.SIGINT)
    running.communicate(timeout=10)
    assert running.returncode in (0, 130)
    subprocess.run(command(folder, postgres_url), capture_output=True, timeout=60, check=True)
    assert statuses(postgres_url) == {"active": 33}


def test_children_do_not_outlive_their_command(folder: Path, postgres_url: str) -> None:
    """After kill -9 of the command nothing of it is left, and the same command takes over."""
    running = subprocess.Popen(command(folder, postgres_url), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    time.sleep(1.5)
    children = subprocess.run(["pgrep", "-P", str(running.pid)], capture_output=True, text=True, check=False).stdout
    running.kill()
    running.wait()
    subprocess.run(command(folder, postgres_url), capture_output=True, timeout=60, check=True)
    assert statuses(postgres_url) == {"active": 33}
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline and any(_lives(int(pid)) for pid in children.split()):
        time.sleep(0.2)
    assert not any(_lives(int(pid)) for pid in children.split())


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True
