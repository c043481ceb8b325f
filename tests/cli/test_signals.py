"""Stopping on purpose, and being stopped by whoever reads the output."""

from __future__ import annotations

import os
import pty
import signal
import subprocess
import termios
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from tests.cli.commands import (
    ACCOUNT,
    Dump,
    Running,
    command,
    environment,
    json_lines,
    message,
    migrate,
    running,
    s3import,
)
from tests.server.processes.processes import wait_until

pytestmark = pytest.mark.integration

MANY = 3000
SMALL_BATCHES = {"S3IMPORT_BLOCK_BYTES": "600"}


@pytest.fixture
def long(dump: Dump) -> Dump:
    """A dump whose recent pass takes seconds in small batches."""
    dump.put("recent/messages/long.jsonl", json_lines(*(message(number) for number in range(10, 10 + MANY))))
    return dump


@contextmanager
def at_work(dump: Dump, database_url: str) -> Iterator[Running]:
    """A migration at work, some batches of it committed."""
    words = ["--account", ACCOUNT, "--source", dump.source, "--database", database_url]
    with running("migrate", *words, S3IMPORT_PROGRESS_SECONDS="0.1", **SMALL_BATCHES) as process:
        while b"acme recent: part 2/" not in (line := process.err.readline()):
            assert line, "ended too early"
        yield process


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_ends_the_run_and_keeps_the_checkpoint(
    long: Dump, database_url: str, number: signal.Signals, status: int
) -> None:
    """SIGINT and SIGTERM end a run in its midst; the same command goes on behind what was committed."""
    with at_work(long, database_url) as process:
        process.send_signal(number)
        ended = process.ended()
    assert ended.status == status
    assert "failed, " in ended.out
    assert "the same command resumes there [interrupted]" in ended.err
    document = s3import("status", "--account", ACCOUNT, "--database", database_url, "--json").document
    before = document["passes"]["recent"]
    assert (before["state"], before["error"]["code"]) == ("failed", "interrupted")
    assert 0 < before["counts"]["messages"]["read"] < MANY
    resumed = migrate(long, database_url, "--json")
    recent = resumed.document["passes"]["recent"]
    assert (resumed.status, recent["attempts"], recent["run_id"]) == (0, 2, before["run_id"])
    assert recent["counts"]["messages"]["written"] == MANY + 2
    assert "resuming the recent pass" in resumed.err


def test_a_signal_ends_all_accounts(long: Dump, sqlite_url: str) -> None:
    """One signal ends every account of the command; those that had not begun leave no trace."""
    names = [f"other-{number}" for number in range(12)]
    for name in names:
        long.fill(name)
    accounts = "\n".join([ACCOUNT, *names])
    variables = {"S3IMPORT_ACCOUNT": accounts, "S3IMPORT_SOURCE": long.source, "S3IMPORT_DATABASE": sqlite_url}
    with running("migrate", **variables, **SMALL_BATCHES) as process:
        wait_until(lambda: s3import("status", "--account", ACCOUNT, "--database", sqlite_url).status == 0)
        process.send_signal(signal.SIGINT)
        ended = process.ended()
    assert ended.status == 130
    assert "account acme: interrupted [interrupted]" in ended.out
    assert ended.err.count("[interrupted]") == 1


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_waiting_for_a_database(dump: Dump, number: signal.Signals) -> None:
    """Whoever waits for a database that is down can be stopped too: the command as it is typed."""
    words = ["--account", ACCOUNT, "--source", dump.source, "--database", "postgresql://me@127.0.0.1:1/reamaze"]
    process = subprocess.Popen(command("migrate", *words), env=environment(), stderr=subprocess.PIPE)
    assert process.stderr is not None
    assert b"trying again" in process.stderr.readline()
    process.send_signal(number)
    _, said = process.communicate(timeout=60)
    assert (process.returncode, b"[" in said) == (128 + number, False)


def test_a_reader_that_leaves_changes_no_exit_status(dump: Dump, sqlite_url: str) -> None:
    """Output that nobody reads is lost without a traceback; the exit status is what it would have been."""
    dump.fill(bad=300)
    words = ["--account", ACCOUNT, "--database", sqlite_url]
    migrating = [*command("migrate", *words, "--source", dump.source), "--max-rejects", "1000"]
    assert _unread(migrating) == (3, b"")
    listing = _unread(command("rejects", *words, "--json"))
    assert listing == (0, b"")


def _unread(words: list[str]) -> tuple[int, bytes]:
    process = subprocess.Popen(words, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout is not None
    process.stdout.close()
    assert process.stderr is not None
    said = process.stderr.read()
    return process.wait(timeout=120), said


def test_nobody_who_listens_to_progress_is_no_trouble(long: Dump, sqlite_url: str) -> None:
    """A run goes on although stderr was closed under it: `2>&1 | head -1`."""
    words = ["--account", ACCOUNT, "--source", long.source, "--database", sqlite_url]
    process = subprocess.Popen(
        command("migrate", *words),
        env=environment(S3IMPORT_PROGRESS_SECONDS="0"),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stderr is not None
    process.stderr.close()
    out = process.stdout.read() if process.stdout else b""
    assert process.wait(timeout=120) == 0
    assert b"account acme: active" in out


# --- progress ---------------------------------------------------------------------------------------------------------


def test_tells_its_progress_on_lines(long: Dump, sqlite_url: str) -> None:
    """Where stderr is no terminal, plain lines tell part, rows, bytes, rate, time left and rejects."""
    ended = migrate(long, sqlite_url, S3IMPORT_PROGRESS_SECONDS="0")
    line = ended.err.splitlines()[1]
    assert line.startswith("acme recent: part ")
    for words in (" rows, ", " MB, ", " rows/s, ", "left", " rejects"):
        assert words in line
    assert "\r" not in ended.err


def test_counts_accounts_on_lines(dump: Dump, sqlite_url: str) -> None:
    """With several accounts the lines count accounts."""
    dump.fill("other")
    ended = migrate(dump, sqlite_url, "--account", "other", S3IMPORT_PROGRESS_SECONDS="0")
    assert ended.err.splitlines()[-1].startswith("accounts 2/2, 10 rows, 0 rejects, 0 failed, done")


@pytest.mark.parametrize("accounts", [["acme"], ["acme", "other"]], ids=len)
def test_draws_bars_on_a_terminal(dump: Dump, sqlite_url: str, tmp_path: Path, accounts: list[str]) -> None:
    """On a terminal there are bars, and they leave it in order: the last line ends."""
    dump.fill("other")
    words = [word for account in accounts for word in ("--account", account)]
    said = _on_a_terminal("migrate", *words, "--source", dump.source, "--database", sqlite_url)
    assert said.endswith("\r\n")
    assert ("accounts 100% " if len(accounts) > 1 else "acme recent 100% ") in said


def _on_a_terminal(*words: str) -> str:
    """What a command writes to a terminal as its stderr."""
    ours, theirs = pty.openpty()
    termios.tcsetwinsize(theirs, (24, 120))
    process = subprocess.Popen(command(*words), env=environment(), stderr=theirs, stdout=subprocess.PIPE)
    os.close(theirs)
    said = b""
    with suppress(OSError):  # the terminal is gone when the process is
        while chunk := os.read(ours, 65536):
            said += chunk
    os.close(ours)
    process.communicate(timeout=120)
    return said.decode()
