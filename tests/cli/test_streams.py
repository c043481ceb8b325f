"""Shells close streams, disks fill up and encodings lack letters: the work is done, and the exit status tells how."""

from __future__ import annotations

import subprocess

import orjson
import pytest

from tests.cli.commands import ACCOUNT, Dump, command, environment, json_lines, message, s3import

pytestmark = pytest.mark.integration

CLOSED = [">&-", "2>&-", "<&- >&- 2>&-"]


def shell(redirection: str, *words: str, **variables: str) -> subprocess.CompletedProcess[bytes]:
    """What a shell makes of a command with that redirection."""
    return subprocess.run(
        ["bash", "-o", "pipefail", "-c", f'"$@" {redirection}', "bash", *command(*words)],
        env=environment(**variables),
        capture_output=True,
        check=False,
    )


def migrating(dump: Dump, database_url: str) -> list[str]:
    return ["migrate", "--account", ACCOUNT, "--source", dump.source, "--database", database_url]


def state(database_url: str) -> str:
    """The account's status."""
    return str(
        s3import("status", "--account", ACCOUNT, "--database", database_url, "--json").document["account_status"]
    )


@pytest.mark.parametrize("redirection", [*CLOSED, ">/dev/full 2>/dev/full"])
def test_migrates_without_streams(dump: Dump, sqlite_url: str, redirection: str) -> None:
    """A command whose streams are closed or full does its work, and its exit status says how that went."""
    dump.fill(bad=1)
    ended = shell(redirection, *migrating(dump, sqlite_url))
    assert (ended.returncode, state(sqlite_url)) == (3, "active")
    assert b"Traceback" not in ended.stderr
    assert b"internal_error" not in ended.stderr


@pytest.mark.parametrize("redirection", ["<&- >&- 2>&-", "| true"])
def test_helps_without_streams(redirection: str) -> None:
    """Nobody who reads the help is no failure."""
    ended = shell(redirection, "--help")
    assert (ended.returncode, ended.stderr) == (0, b"")


def test_says_that_the_output_is_lost(sqlite_url: str) -> None:
    """A command that only shows something fails where that cannot be written, by one sentence."""
    ended = shell(">/dev/full", "--help", S3IMPORT_DATABASE=sqlite_url)
    assert ended.returncode == 1
    assert ended.stderr.startswith(b"s3import: the output could not be written to stdout (No space left on device)")
    assert ended.stderr.count(b"\n") == 1


def test_wrong_usage_stays_wrong_on_a_full_disk() -> None:
    """The exit status tells it where the message cannot be written."""
    assert shell("2>/dev/full", "nonsense").returncode == 2


@pytest.mark.parametrize("encoding", ["cp1252", "ascii"])
def test_shows_letters_that_an_encoding_lacks(dump: Dump, sqlite_url: str, encoding: str) -> None:
    """Every command ends as it would otherwise, with something in their place."""
    dump.put("recent/messages/ü🙂.jsonl", json_lines(message(9, id="m🙂", kind="fax")))
    assert shell("", *migrating(dump, sqlite_url), PYTHONIOENCODING=encoding).returncode == 3
    for name in ("status", "rejects"):
        ended = shell("", name, "--account", ACCOUNT, "--database", sqlite_url, PYTHONIOENCODING=encoding)
        assert ended.returncode == 0
    assert b"messages/" in ended.stdout


@pytest.mark.parametrize("variables", [{"PYTHONIOENCODING": "cp1252"}, {"LC_ALL": "C"}], ids=["cp1252", "C"])
def test_json_is_utf8_whatever_the_encoding(dump: Dump, sqlite_url: str, variables: dict[str, str]) -> None:
    """Programs read the same JSON in every locale."""
    dump.put("recent/messages/b.jsonl", json_lines(message(9, id="m🙂", kind="fax")))
    s3import(*migrating(dump, sqlite_url))
    ended = shell("", "rejects", "--account", ACCOUNT, "--database", sqlite_url, "--json", **variables)
    assert orjson.loads(ended.stdout)["id"] == "m🙂"
