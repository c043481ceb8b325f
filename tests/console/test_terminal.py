"""What a person reads of an account's progress."""

from __future__ import annotations

import re
from types import SimpleNamespace

import pytest

from s3import.console import bars, terminal
from s3import.console.terminal import LEAST_ROWS_TOLD, Terminal
from s3import.core.events import AccountEnded, Advanced, FilesAdvanced, HowFar, PassEnded, PassStarted, Reading
from s3import.core.records import Entity, Pass
from tests.cli.screens import plain


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


# --- how far it is, as the status document says -----------------------------------------------------------------------


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """The time, which stands unless it is put on."""
    clock = SimpleNamespace(now=1000.0)
    monkeypatch.setattr(terminal, "time", SimpleNamespace(monotonic=lambda: clock.now))
    return clock


def started(how_far: HowFar | None, account: str = "acme") -> PassStarted:
    return PassStarted(account, Pass.RECENT, "run", 1, 2, 0, 1000, 0, 0, 0, how_far)


def advanced(how_far: HowFar | None, account: str = "acme") -> Advanced:
    return Advanced(account, Pass.RECENT, 10, 0, 500, 1, Entity.MESSAGES, how_far=how_far)


def test_the_time_left_is_the_status_documents(capsys: pytest.CaptureFixture[str], clock: SimpleNamespace) -> None:
    """Not that of the bytes, which know of no other stage and no file. It goes on between two looks, for a while."""
    with Terminal(accounts=1, line_seconds=0.0) as screen:
        screen(started(HowFar(clock.now, 0.0, 130.0, None)))
        for seconds in (0.0, 1.0, 30.0):
            clock.now += seconds
            screen(advanced(HowFar(1000.0, 0.1, 130.0, 7.0)))
        screen(advanced(HowFar(clock.now, 0.1, None, None)))
    lines = capsys.readouterr().err.splitlines()
    told = ["2 min 10 s left", "2 min 10 s left", "2 min left", "time left unknown"]
    assert [left in line for left, line in zip(told, lines, strict=True)] == [True] * 4
    assert "7 rows/s" in lines[0]


def test_files_are_part_of_what_is_left(capsys: pytest.CaptureFixture[str], clock: SimpleNamespace) -> None:
    """The line of files tells what is left of the run; files that are copied later are told by their own rate."""
    with Terminal(accounts=1, line_seconds=0.0) as screen:
        screen(FilesAdvanced("acme", Pass.RECENT, 100, 20, 0, 1, HowFar(clock.now, 0.5, 75.0, None)))
        screen(FilesAdvanced("later", Pass.RECENT, 100, 20, 0, 1))
        clock.now += 10.0
        screen(FilesAdvanced("later", Pass.RECENT, 100, 60, 0, 1))
    assert capsys.readouterr().err.splitlines() == [
        "acme recent: 20 of 100 files copied, 1 min 15 s left",
        "later recent: 20 of 100 files copied, time left unknown",
        "later recent: 60 of 100 files copied, 10 s left",
    ]


def test_a_bar_never_goes_back(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, clock: SimpleNamespace
) -> None:
    """It is as full as the status document says, files included, and moves on between two looks."""
    monkeypatch.setattr(terminal, "is_screen", lambda _: True)
    monkeypatch.setattr(bars, "REFRESH_SECONDS", 0.0)
    with Terminal(accounts=1, line_seconds=0.0) as screen:
        screen(started(HowFar(clock.now, 0.0, 100.0, None)))
        screen(advanced(HowFar(clock.now, 0.4, 60.0, None)))
        clock.now += 3.0
        screen(advanced(HowFar(1000.0, 0.4, 60.0, None)))
        screen(advanced(HowFar(clock.now, 0.41, 80.0, None)))
        screen(FilesAdvanced("acme", Pass.RECENT, 100, 20, 3, 1, HowFar(clock.now, 1.0, 5.0, None)))
        screen(PassEnded("acme", Pass.RECENT, None))
    shown = plain(capsys.readouterr().err)
    fractions = [int(found) for found in re.findall(r"(\d+)%", shown)]
    assert list(dict.fromkeys(fractions)) == [0, 40, 43, 99, 100]
    assert "20 of 100 files copied, 3 failed, 5 s left" in shown


def test_accounts_take_as_long_as_the_longest_of_them(
    capsys: pytest.CaptureFixture[str], clock: SimpleNamespace
) -> None:
    """However soon the small ones were done."""
    with Terminal(accounts=3, line_seconds=0.0) as screen:
        screen(started(HowFar(clock.now, 0.0, 600.0, None), "large"))
        clock.now += 4.0
        screen(AccountEnded("small", None))
        screen(AccountEnded("large", None))
    lines = capsys.readouterr().err.splitlines()
    assert [line.rpartition(", ")[2] for line in lines] == ["10 min left", "2 s left"]
