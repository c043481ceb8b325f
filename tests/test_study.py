"""The study: what it measures, what it leaves out, and that its page is made of its results."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from s3import.reporting import timing
from study import page
from study.dumps import SOURCES
from study.runs import DATABASES, QUICK_SIZES, SIZES, cells, measure, run_once

RUN = {
    "messages": "100",
    "source": "JSON Lines",
    "database": "SQLite",
    "usable_seconds": "0.7",
    "left_out": "",
    "complete_seconds": "65.0",
    "peak_mb": "130",
    "processor_seconds": "0.6",
    "records": "130",
    "rejects": "0",
}
PEER = {
    "peer": "psql",
    "messages": "100",
    "command": "psql",
    "leaves_out": "checks",
    "version": "15",
    "rows": "115",
    "seconds": "0.5",
    "processor_seconds": "0.1",
    "peak_mb": "9",
    "left_out": "",
}


def test_a_study_has_every_source_and_database() -> None:
    """A quick one has every size but the largest."""
    for quick, sizes in ((False, SIZES), (True, QUICK_SIZES)):
        found = list(cells(quick=quick))
        assert {cell.messages for cell in found} == set(sizes)
        assert {cell.source for cell in found} == set(SOURCES)
        assert {cell.database for cell in found} == set(DATABASES)
        assert [cell.messages for cell in found] == sorted(cell.messages for cell in found)


def test_what_there_is_no_time_for_is_named(tmp_path: Path) -> None:
    """Nothing is begun that would not come to its end."""
    found = list(measure(list(cells(quick=True)), {}, tmp_path, until=time.monotonic()))
    assert {row["left_out"] for row in found} == {"no time"}
    assert len(found) == len(list(cells(quick=True)))


def test_a_page_names_what_was_left_out() -> None:
    """Peers and runs, with their reasons; nothing is invented for them."""
    left_out = dict.fromkeys(("usable_seconds", "complete_seconds"), "") | {"left_out": "no time"}
    shown = page.render({"date": "2026-01-01"}, [RUN, {**RUN, **left_out}], [PEER, {**PEER, "left_out": "gone"}])
    assert "- psql: gone" in shown
    assert "- no time: 100 JSON Lines SQLite" in shown
    assert "| 100 | SQLite | 0.7 s | 1 min 5 s | 2 | 130 MB | 0.6 s |" in shown


def test_the_coefficients_are_the_studys() -> None:
    """Each database has them for every entity, and estimates are made of nothing else."""
    known = timing.coefficients()
    for costs in known["databases"].values():
        assert set(costs) == {"threads", "messages", "attachments", "deletions"}
        assert all(cost["seconds_per_record"] > 0 for cost in costs.values())
    assert known["factors"]["low"] < known["factors"]["expected"] < known["factors"]["high"]


def test_a_program_that_fails_says_why() -> None:
    """With the end of what it said."""
    with pytest.raises(RuntimeError, match="no such thing"):
        run_once(["sh", "-c", "echo no such thing; exit 1"])
    assert run_once(["sh", "-c", "exit 3"], tolerated=(3,)).seconds > 0
