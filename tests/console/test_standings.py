"""The list of accounts, as a person sees it."""

from __future__ import annotations

import io
import sys
from typing import Any

import pytest
from rich.cells import cell_len

from s3import.console import tabular
from s3import.console.place import WorkPlace
from s3import.console.standings import standings


class _Screen(io.StringIO):
    def isatty(self) -> bool:
        return True


def shown(monkeypatch: pytest.MonkeyPatch, columns: int, documents: list[dict[str, Any]]) -> str:
    """The list on a terminal that is so wide."""
    monkeypatch.setattr(sys, "stdout", _Screen())
    monkeypatch.setattr(tabular, "shown_width", lambda: columns)
    monkeypatch.setenv("NO_COLOR", "1")
    text = standings(documents, as_json=False, place=WorkPlace("sqlite:///reamaze.db"), listed=True, state=None)
    assert isinstance(text, str)
    return text


def running(**passes: Any) -> dict[str, Any]:
    """An account of which the recent pass is under way."""
    progress = {"fraction": 0.431, "eta_seconds": 300.0}
    recent = {"state": "running", "progress": progress, "source": "s3://bucket/dumps/acme", "rejects": {"total": 7}}
    status = "active-recent-only"
    return {"account_id": "acme", "account_status": status, "passes": {"recent": recent, "remaining": None, **passes}}


def test_a_running_account_has_room_on_eighty_columns(monkeypatch: pytest.MonkeyPatch) -> None:
    """The table stays one, what is too long goes on below; nothing but the source is cut."""
    head, *rows = shown(monkeypatch, 80, [running()]).splitlines()[1:]
    assert head.split() == ["account", "status", "recent", "remaining", "rejected", "source"]
    assert max(map(cell_len, rows)) <= 80
    told = " ".join(" ".join(rows).split())
    for words in ("acme active-recent-only running 43%", "7", "left"):
        assert words in told


def test_a_delta_has_a_column_where_there_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """Accounts without one have a dash there."""
    delta = {"state": "succeeded", "progress": {}, "source": None, "rejects": {"total": 0}}
    lines = shown(monkeypatch, 200, [running(delta=delta), running()]).splitlines()[1:]
    assert lines[0].split()[4] == "delta"
    assert ("succeeded" in lines[1], "succeeded" in lines[2]) == (True, False)


def test_an_empty_list_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    """Below the database."""
    assert shown(monkeypatch, 80, []) == "  database sqlite:///reamaze.db\nno migration is recorded here"
