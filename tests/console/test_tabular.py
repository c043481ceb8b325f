"""Tables fit the terminal; what is piped has tabs and is whole."""

from __future__ import annotations

import io
import sys
from typing import Any

import pytest
from rich.cells import cell_len

from s3import.console import output, tabular
from s3import.console.output import colour_of
from s3import.console.tabular import ROWS_AT_ONCE, Column, drawn, folded, print_rows

COLUMNS = [
    Column("account", cut=True),
    Column("state", colour=colour_of),
    Column("rejected", right=True),
    Column("why", wraps=True),
]
LONG = "an-account-with-a-very-long-id-0123456789"
ROW = (LONG, "failed", "12", "unknown_thread (thread_id): there is no thread of this id in the account")


class Screen(io.StringIO):
    """A stdout that says it is a terminal."""

    def isatty(self) -> bool:
        return True


def on_a_screen(monkeypatch: pytest.MonkeyPatch) -> Screen:
    """Make a terminal of 60 columns the stdout."""
    screen = Screen()
    monkeypatch.setattr(sys, "stdout", screen)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "60")
    monkeypatch.delenv("NO_COLOR", raising=False)
    return screen


def widths(text: str) -> list[int]:
    return [cell_len(line) for line in text.splitlines()]


@pytest.mark.parametrize("columns", [200, 80, 60, 40, 20])
def test_a_table_fits_the_terminal(monkeypatch: pytest.MonkeyPatch, columns: int) -> None:
    """No line is wider than the terminal, however narrow that is."""
    monkeypatch.setattr(tabular, "shown_width", lambda: columns)
    assert max(widths(drawn(COLUMNS, [ROW]))) <= columns


def test_long_ids_are_cut_and_reasons_broken(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where there is no room, an id ends with … and a sentence goes on below; states and numbers stay whole."""
    monkeypatch.setattr(tabular, "shown_width", lambda: 60)
    shown = drawn(COLUMNS, [ROW])
    first = shown.splitlines()[1]
    assert first.split()[0].endswith("…")
    assert first.split()[1:3] == ["failed", "12"]
    assert "".join(shown.split()).endswith("account")
    assert len(shown.splitlines()) > 2


def test_nothing_is_cut_where_there_is_room(monkeypatch: pytest.MonkeyPatch) -> None:
    """A wide terminal shows it all, a row on a line."""
    monkeypatch.setattr(tabular, "shown_width", lambda: 200)
    assert [line.split()[0] for line in drawn(COLUMNS, [ROW, ROW]).splitlines()] == ["account", LONG, LONG]


def test_a_narrow_terminal_shows_cells_below_each_other(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where not even cut ids leave room for a table, no column vanishes."""
    monkeypatch.setattr(tabular, "shown_width", lambda: 30)
    shown = drawn(COLUMNS, [ROW, ("k1", "active", "0", "")])
    assert [line.partition(":")[0] for line in shown.split("\n\n")[1].splitlines()] == [one.name for one in COLUMNS]
    assert shown.startswith("account: an-account-with-a-ve…\nstate: failed\nrejected: 12\nwhy: unknown_thread")


def test_wide_letters_take_two_columns(monkeypatch: pytest.MonkeyPatch) -> None:
    """Columns behind Chinese letters stand below each other, and the table still fits."""
    monkeypatch.setattr(tabular, "shown_width", lambda: 30)
    columns = [Column("account", cut=True), Column("state")]
    shown = drawn(columns, [("顧客" * 20, "active"), ("k1", "active")])
    assert max(widths(shown)) <= 30
    starts = [cell_len(line[: line.index("active")]) for line in shown.splitlines()[1:]]
    assert starts[0] == starts[1]


def test_what_is_piped_has_tabs_and_is_whole(capsys: pytest.CaptureFixture[str]) -> None:
    """Where stdout is no terminal a row is a line, cells between tabs, without names of columns and colours."""
    print_rows(COLUMNS, [ROW])
    assert capsys.readouterr().out == "\t".join(ROW) + "\n"


def test_cells_hold_no_tabs_and_no_ends_of_lines(capsys: pytest.CaptureFixture[str]) -> None:
    """What comes from a dump cannot make more cells or lines, nor move the cursor."""
    print_rows(COLUMNS[:2], [("a\tb\nc", "\x1b[2J")])
    assert capsys.readouterr().out == "a\ufffdb\ufffdc\t\ufffd[2J\n"


def test_colours_are_for_terminals(monkeypatch: pytest.MonkeyPatch) -> None:
    """A state has its colour on a terminal."""
    screen = on_a_screen(monkeypatch)
    print_rows(COLUMNS, [ROW])
    assert "\x1b[31mfailed" in screen.getvalue()


@pytest.mark.parametrize(("name", "value"), [("NO_COLOR", "1"), ("TERM", "dumb")])
def test_colours_can_be_refused(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    """NO_COLOR leaves no sequence at all, nor does a terminal that knows none."""
    screen = on_a_screen(monkeypatch)
    monkeypatch.setenv(name, value)
    print_rows(COLUMNS, [ROW])
    assert "failed" in screen.getvalue()
    assert "\x1b" not in screen.getvalue()
    assert output.painted("failed, 1 of 2 parts") == "failed, 1 of 2 parts"


def test_only_the_state_is_coloured(monkeypatch: pytest.MonkeyPatch) -> None:
    """What stands behind it is not."""
    on_a_screen(monkeypatch)
    assert output.painted("active-recent-only; 2 rejected") == "\x1b[32mactive-recent-only\x1b[0m; 2 rejected"
    assert output.painted("not in the database") == "not in the database"


def test_a_long_table_is_printed_as_it_comes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows are drawn page by page: memory does not grow with their number, and the first are seen at once."""
    screen = on_a_screen(monkeypatch)

    def rows() -> Any:
        for number in range(ROWS_AT_ONCE + 1):
            if number == ROWS_AT_ONCE:
                assert "a0 " in screen.getvalue()
            yield (f"a{number}", "active", "0", "")

    print_rows(COLUMNS, rows())
    assert screen.getvalue().count("account") == 2


def test_text_is_folded_with_its_colours(monkeypatch: pytest.MonkeyPatch) -> None:
    """A line of a watched status that is too long goes on below, its colour with it."""
    on_a_screen(monkeypatch)
    lines = folded("account \x1b[31mfailed\x1b[0m " + "x" * 70, 40)
    assert "\x1b[31mfailed" in lines[0]
    assert sum(line.count("x") for line in lines) == 70
