"""What a person reads of an account's progress."""

from __future__ import annotations

import pytest

from s3import.console.terminal import LEAST_ROWS_TOLD, Terminal
from s3import.core.events import Reading


def test_tables_that_take_their_time_are_told_of(capsys: pytest.CaptureFixture[str]) -> None:
    """Where that happens comes first; small tables are read before anybody wonders."""
    with Terminal(accounts=1, line_seconds=10.0, place="in a database") as screen:
        screen(Reading("acme", "threads", LEAST_ROWS_TOLD - 1))
        screen(Reading("acme", "messages", 1_234_567))
    assert capsys.readouterr().err.splitlines() == ["in a database", "acme: reading 1,234,567 messages"]
