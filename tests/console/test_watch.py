"""`status --watch` writes each look over the one before, without clearing the screen between."""

from __future__ import annotations

import io
import sys

import pytest
from rich.cells import cell_len

from s3import.console import watch
from s3import.console.summary import NOBODY_WORKS
from s3import.console.watch import LOOKS_ALONE, ScreenView, View
from tests.cli.screens import plain

COLUMNS, LINES = 40, 10
CLEAR = "\x1b[2J"


@pytest.fixture
def size(monkeypatch: pytest.MonkeyPatch) -> dict[str, int]:
    """The terminal's size, to be changed."""
    size = {"columns": COLUMNS, "lines": LINES}
    monkeypatch.setattr(watch, "shown_width", lambda: size["columns"])
    monkeypatch.setattr(watch, "shown_height", lambda: size["lines"])
    return size


def written(monkeypatch: pytest.MonkeyPatch, view: ScreenView, text: str, alone: int = 0) -> str:
    """What the view writes to show the text."""
    into = _Screen()
    monkeypatch.setattr(sys, "stdout", into)
    view.show(text, alone)
    return into.getvalue()


class _Screen(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_the_next_look_is_written_over_the_one_before(monkeypatch: pytest.MonkeyPatch, size: dict[str, int]) -> None:
    """The cursor goes up as many lines as there were; each is replaced, and what is left of more lines erased."""
    view = ScreenView()
    assert "\x1b[3F" not in written(monkeypatch, view, "one\ntwo\nthree")
    second = written(monkeypatch, view, "ONE\nTWO")
    assert second.startswith("\x1b[?2026h\x1b[3FONE\x1b[K\nTWO\x1b[K\n\x1b[J")
    assert CLEAR not in second
    assert written(monkeypatch, view, "1").startswith("\x1b[?2026h\x1b[2F1\x1b[K\n")


def test_a_long_line_is_broken_by_us(monkeypatch: pytest.MonkeyPatch, size: dict[str, int]) -> None:
    """The terminal breaks none, so that the lines are those that were counted, wide letters or not."""
    view = ScreenView()
    lines = plain(written(monkeypatch, view, "x" * 50 + "\n" + "顧" * 30)).splitlines()
    assert [cell_len(line) for line in lines] == [39, 11, 38, 22]
    assert "\x1b[4F" in written(monkeypatch, view, "short")


def test_a_look_higher_than_the_terminal_is_cut(monkeypatch: pytest.MonkeyPatch, size: dict[str, int]) -> None:
    """So that its first line is still there to go back to; how much is missing is said."""
    lines = plain(written(monkeypatch, ScreenView(), "\n".join(map(str, range(30))))).splitlines()
    assert len(lines) == LINES - 1
    assert lines[-1] == "… 22 more lines"
    noted = plain(written(monkeypatch, ScreenView(), "\n".join(map(str, range(30))), LOOKS_ALONE)).splitlines()
    assert len(noted) == LINES - 1
    assert "".join(noted).endswith(NOBODY_WORKS)


def test_a_terminal_of_another_size_is_cleared_once(monkeypatch: pytest.MonkeyPatch, size: dict[str, int]) -> None:
    """What stood there has been moved by the terminal; after that nothing is cleared again."""
    view = ScreenView()
    written(monkeypatch, view, "one")
    size["columns"] = 20
    assert CLEAR in written(monkeypatch, view, "one")
    assert CLEAR not in written(monkeypatch, view, "one")


def test_the_last_look_is_whole(
    monkeypatch: pytest.MonkeyPatch, size: dict[str, int], capsys: pytest.CaptureFixture[str]
) -> None:
    """However high the terminal is: it stays on the screen."""
    ScreenView().end("\n".join(map(str, range(30))))
    assert plain(capsys.readouterr().out).splitlines() == list(map(str, range(30)))


def test_says_that_nobody_is_at_work(
    monkeypatch: pytest.MonkeyPatch, size: dict[str, int], capsys: pytest.CaptureFixture[str]
) -> None:
    """On a terminal below each look, elsewhere once, on stderr."""
    assert "nobody is at work" not in written(monkeypatch, ScreenView(), "queued", LOOKS_ALONE - 1)
    assert "nobody is at work" in plain(written(monkeypatch, ScreenView(), "queued", LOOKS_ALONE + 1))
    monkeypatch.undo()
    for alone in range(LOOKS_ALONE + 2):
        View().show("queued", alone)
    assert capsys.readouterr().err == f"{NOBODY_WORKS}\n"
