"""Commands on a real terminal, narrow or wide, beside what they print into a pipe."""

from __future__ import annotations

import threading

import pytest
from rich.cells import cell_len

from tests.cli.commands import ACCOUNT, Dump, migrate, s3import
from tests.cli.screens import on_a_terminal, plain

pytestmark = pytest.mark.integration

LONG = "顧客-" + "a-very-long-id-" * 6


@pytest.mark.parametrize("columns", [50, 80, 600])
def test_the_list_of_accounts_fits_the_terminal(dump: Dump, sqlite_url: str, columns: int) -> None:
    """A long id is cut with … where it has no room, and nowhere else; into a pipe it is whole."""
    dump.fill(LONG)
    migrate(dump, sqlite_url, account=LONG)
    shown = plain(on_a_terminal("status", columns=columns, S3IMPORT_DATABASE=sqlite_url))
    table = shown.splitlines()[1:]
    assert max(map(cell_len, table)) <= columns
    assert (LONG in shown, "…" in shown) == ((True, False) if columns == 600 else (False, True))
    assert s3import("status", "--database", sqlite_url).out.startswith(f"{LONG}\tactive\tsucceeded, 2 of 2 parts\t")


def test_counts_fit_a_narrow_terminal(dump: Dump, sqlite_url: str) -> None:
    """Where a table of counts has no room they stand on a line for each entity."""
    migrate(dump, sqlite_url)
    asked = ("status", "--account", ACCOUNT)
    assert "    messages: 2 read, 2 written\n" in plain(on_a_terminal(*asked, columns=50, S3IMPORT_DATABASE=sqlite_url))
    assert "       read    written" in plain(on_a_terminal(*asked, columns=80, S3IMPORT_DATABASE=sqlite_url))


def test_colours_are_for_terminals_only(dump: Dump, sqlite_url: str) -> None:
    """Nor are there any where NO_COLOR is set, or in JSON."""
    migrate(dump, sqlite_url)
    asked = ("status", "--account", ACCOUNT, "--database", sqlite_url)
    assert "\x1b[32mactive\x1b[0m\n" in on_a_terminal(*asked)
    assert "\x1b" not in on_a_terminal(*asked, NO_COLOR="1")
    assert "\x1b" not in on_a_terminal(*asked, "--json")
    assert "\x1b" not in s3import(*asked).out


def test_watches_without_clearing_the_screen(dump: Dump, sqlite_url: str) -> None:
    """Looks are written over each other until the account is done; the last one stays, and ends with a line's end."""
    migrate(dump, sqlite_url, "--detach")
    work = threading.Thread(target=migrate, args=(dump, sqlite_url))
    watched = ("status", "--account", ACCOUNT, "--watch")
    said = on_a_terminal(*watched, at_first_sight=work.start, S3IMPORT_DATABASE=sqlite_url)
    work.join()
    assert "recent: queued" in plain(said)
    assert "\x1b[2J" not in said
    last = plain(said.rpartition("\x1b[?2026h")[2])
    assert last.startswith(f"account {ACCOUNT}: active\n")
    assert last.endswith("\n")
