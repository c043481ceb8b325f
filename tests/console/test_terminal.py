"""What a person reads of an account's progress."""

from __future__ import annotations

import pytest

from s3import.console import terminal
from s3import.console.terminal import LEAST_ROWS_TOLD, Terminal
from s3import.core.events import PassStarted, Reading
from s3import.core.records import Pass


def test_tables_that_take_their_time_are_told_of(capsys: pytest.CaptureFixture[str]) -> None:
    """Where that happens comes first; small tables are read before anybody wonders."""
    with Terminal(accounts=1, line_seconds=10.0, place="in a database") as screen:
        screen(Reading("acme", "threads", LEAST_ROWS_TOLD - 1))
        screen(Reading("acme", "messages", 1_234_567))
    assert capsys.readouterr().err.splitlines() == ["in a database", "acme: reading 1,234,567 messages"]


def test_where_it_happens_is_said_once(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Also on a screen, where each pass has a bar, however long the first one took."""
    monkeypatch.setattr(terminal, "is_screen", lambda _: True)
    monkeypatch.setattr(terminal, "SAME_AGAIN_SECONDS", 0.0)
    with Terminal(accounts=1, line_seconds=10.0, place="in a database") as screen:
        for pass_ in (Pass.RECENT, Pass.REMAINING):
            screen(PassStarted("acme", pass_, "run", 1, 1, 0, 10, 0, 0, 0))
    assert capsys.readouterr().err.count("in a database") == 1
