"""Accounts whose ids look like something else: every command opens the same dump, and no neighbour's."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.commands import Dump, s3import

pytestmark = pytest.mark.integration


@pytest.fixture(params=["a%62", "a b", "a?b#c", "a%2562"])
def account(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """An account with a dump of its own, beside those that a careless reader of its id would open."""
    dump = Dump(tmp_path / "dumps")
    account: str = request.param
    dump.fill(account, bad=1)
    for neighbour in ("ab", "a", "a%20b", "a%3Fb"):
        dump.fill(neighbour)
    return account


@pytest.mark.parametrize("scheme", ["", "file://"])
def test_every_command_opens_the_same_dump(account: str, scheme: str, tmp_path: Path, sqlite_url: str) -> None:
    """What a run remembers is what `verify`, `files retry` and `reset` open, without being told the source again."""
    source, mine = f"{scheme}{tmp_path}/dumps/{{account}}", ("--account", account, "--database", sqlite_url)
    migrated = s3import("migrate", *mine, "--source", source, "--files-to", str(tmp_path / "files"))
    assert migrated.status == 3, migrated.err
    assert s3import("verify", *mine).status == 0
    assert s3import("files", "retry", *mine).status == 0
    taken_back = s3import("reset", *mine, "--yes", "--force")
    assert "2 threads, 3 messages" in taken_back.out, taken_back.err


def test_a_queued_run_opens_the_same_dump(account: str, tmp_path: Path, sqlite_url: str) -> None:
    """A run that is queued remembers a source that whoever takes it can open, from any folder."""
    dump = Dump(tmp_path / "dumps")
    queued = s3import(
        "migrate", "--account", account, "--database", sqlite_url, "--detach", "--source", f"file://{dump.source}"
    )
    assert queued.status == 0, queued.err
    shown = s3import("status", "--account", account, "--database", sqlite_url, "--json").document
    source = shown["passes"]["recent"]["source"]
    taken = s3import("migrate", "--account", account, "--database", sqlite_url, "--source", source)
    assert taken.status == 3, taken.err


def test_the_shown_source_opens_the_same_place_again(tmp_path: Path, sqlite_url: str) -> None:
    """Also where the folder's name begins and ends with a blank, as an account's id may."""
    account, dump = " k1 ", Dump(tmp_path)
    dump.fill(account)
    mine = ("--account", account, "--database", sqlite_url)
    assert s3import("migrate", *mine, "--source", f"{tmp_path}/{{account}}").status == 0
    shown = s3import("status", *mine, "--json").document["passes"]["recent"]["source"]
    again = s3import("migrate", *mine, "--source", shown, "--again")
    assert again.status == 0, again.err
