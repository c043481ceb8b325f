"""Many accounts in one command, moved by several processes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
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


def test_a_fleet_that_loses_a_process_ends_and_goes_on_where_it_was(folder: Path, postgres_url: str) -> None:
    """kill -9 to one of its processes while another one hangs: the command says what to do, and that does the rest."""
    with _at_work(folder, postgres_url) as running:
        running.send_signal(signal.SIGSTOP)  # it neither starts nor ends one of them
        lost, hangs, *_ = _children_of(*_children_of(running.pid))
        os.kill(hangs, signal.SIGSTOP)
        os.kill(lost, signal.SIGKILL)
        running.send_signal(signal.SIGCONT)
        _, told = running.communicate(timeout=60)
    assert (running.returncode, told.splitlines()[-1][-14:]) == (75, b"[process_lost]")
    assert not _lives(hangs)
    _does_the_rest(folder, postgres_url)


def _children_of(*parents: int) -> list[int]:
    named = ",".join(map(str, parents))
    found = subprocess.run(["pgrep", "-P", named], capture_output=True, text=True, check=True)
    return [int(pid) for pid in found.stdout.split()]


@contextmanager
def _at_work(folder: Path, url: str) -> Iterator[subprocess.Popen[bytes]]:
    """The command, some of its accounts being moved already."""
    before = statuses(url)
    null, pipe = subprocess.DEVNULL, subprocess.PIPE
    with subprocess.Popen(command(folder, url), stdout=null, stderr=pipe, start_new_session=True) as running:
        try:
            wait_until(lambda: statuses(url) != before or running.poll() is not None)
            yield running
        except BaseException:
            os.killpg(running.pid, signal.SIGKILL)  # for which the end of the block would wait
            raise


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


LOST = """
import os, signal, sys, threading, time
from s3import.core.errors import ProcessLost
from s3import.importing import account_processes
from s3import.importing.account_processes import in_processes
from s3import.importing.requests import Outcome

def make(observe, stop):
    def move(request):
        if request == "dies":
            time.sleep(1)
            os.kill(os.getpid(), signal.SIGKILL)
        if request == "hangs":
            time.sleep(3)  # which is longer than it may say nothing
            os.kill(os.getpid(), signal.SIGSTOP)
        (stop if request == "goes on until its next batch" else threading.Event()).wait()
        return Outcome(request)
    return move

if __name__ == "__main__":
    account_processes.SILENT_BEATS = 2
    requests = ["goes on until its next batch", "waits for ever", sys.argv[1], "waits for ever"]
    outcomes = in_processes(make, requests, processes=3, observe=print, stop=threading.Event())
    try:
        for outcome in outcomes:
            print(outcome.account_id)
    except ProcessLost as error:
        print("has said nothing for 2 s" in error.message and "hung" or "lost")
"""


@pytest.mark.parametrize(("happens", "said"), [("dies", "lost"), ("hangs", "hung")])
def test_a_lost_process_does_not_leave_the_command_waiting(tmp_path: Path, happens: str, said: str) -> None:
    """Nor does one that is paused. The others end at their next batch; one that does not come to that is killed, as
    what it waits for may be gone."""
    (tmp_path / "lost.py").write_text(LOST)
    with subprocess.Popen(
        [sys.executable, str(tmp_path / "lost.py"), happens], stdout=subprocess.PIPE, text=True, start_new_session=True
    ) as running:
        try:
            told, _ = running.communicate(timeout=60)
        finally:
            with suppress(ProcessLookupError):
                os.killpg(running.pid, signal.SIGKILL)
    assert told.splitlines() == ["goes on until its next batch", said]
