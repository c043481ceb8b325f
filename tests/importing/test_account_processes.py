"""Many accounts in one command, moved by several processes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import sqlalchemy as sa

from tests.importing import dumps
from tests.server.processes.processes import wait_until

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
        return dict(list(rows))


def test_a_fleet_that_is_stopped_goes_on_where_it_was(folder: Path, postgres_url: str) -> None:
    """SIGINT or kill -9 to the command alone ends all of its processes; the same command does the rest."""
    with _at_work(folder, postgres_url) as running:
        running.send_signal(signal.SIGINT)
        running.communicate(timeout=120)
        assert running.returncode in (0, 130)
    with _at_work(folder, postgres_url) as running:
        running.send_signal(signal.SIGSTOP)  # it starts no more of them
        found = subprocess.run(["pgrep", "-s", str(running.pid)], capture_output=True, text=True, check=False)
        running.kill()
    others = [int(pid) for pid in found.stdout.split() if int(pid) != running.pid]
    assert len(others) > 2, "there are processes that move accounts"
    wait_until(lambda: not any(_lives(pid) for pid in others))
    _does_the_rest(folder, postgres_url)


def test_a_fleet_that_is_asked_to_go_as_a_group_goes_in_order(folder: Path, postgres_url: str) -> None:
    """SIGTERM to all of its processes at once, as a supervisor sends it, is SIGTERM to the command."""
    with _at_work(folder, postgres_url) as running:
        os.killpg(running.pid, signal.SIGTERM)
        running.communicate(timeout=120)
        assert running.returncode in (0, 143)
    _does_the_rest(folder, postgres_url)


@contextmanager
def _at_work(folder: Path, url: str) -> Iterator[subprocess.Popen[bytes]]:
    """The command, some of its accounts being moved already."""
    before = statuses(url)
    null = subprocess.DEVNULL
    with subprocess.Popen(command(folder, url), stdout=null, stderr=null, start_new_session=True) as running:
        wait_until(lambda: statuses(url) != before or running.poll() is not None)
        yield running


def _does_the_rest(folder: Path, url: str) -> None:
    """Each account is moved once, and the command says so."""
    done = subprocess.run(command(folder, url), capture_output=True, text=True, timeout=120, check=False)
    assert (done.returncode, done.stdout.splitlines()[-1][:12]) == (0, "33 accounts:"), done.stderr
    assert statuses(url) == {"active": 33}


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True
