"""The study: what it measures, what it leaves out, and that its page is made of its results."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from copy import deepcopy
from pathlib import Path
from unittest import mock

import pytest

from s3import.core.records import Entity
from s3import.reporting import timing
from study import coefficients, page, peers
from study.dumps import SOURCES, is_there
from study.peers import LeftOut, Peer
from study.record import swing
from study.runs import DATABASES, QUICK_SIZES, SIZES, Usage, cells, measure, run_once

pytestmark = pytest.mark.integration

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


ESTIMATED = {
    "account": "1,000 messages",
    "measured": "2026-01-01",
    "records_said": "1010",
    "records": "1000",
    "low_seconds": "1.1",
    "high_seconds": "2.9",
    "seconds": "1.5",
    "asked_seconds": "0.9",
    "within": "yes",
}


def test_a_study_has_every_source_and_database() -> None:
    """A quick one has every size but the largest; what its page would miss most comes first."""
    for quick, sizes in ((False, SIZES), (True, QUICK_SIZES)):
        found = list(cells(quick=quick))
        assert {cell.messages for cell in found} == set(sizes)
        assert {cell.source for cell in found} == set(SOURCES)
        assert {cell.database for cell in found} == set(DATABASES)
        assert len(set(found)) == len(found)
    first = list(cells(quick=True))[:9]
    assert {(cell.source, cell.database) for cell in first} == {("JSON Lines", name) for name in DATABASES}
    assert [cell.messages for cell in cells(quick=False)] == sorted(cell.messages for cell in cells(quick=False))


def test_what_there_is_no_time_for_is_named(tmp_path: Path) -> None:
    """Nothing is begun that would not come to its end."""
    found = list(measure(list(cells(quick=True)), {}, tmp_path, until=time.monotonic()))
    assert {row["left_out"] for row in found} == {"no time"}
    assert len(found) == len(list(cells(quick=True)))


def test_a_dump_that_is_kept_takes_no_time(tmp_path: Path) -> None:
    """So a second quick study gets further than the first; tables are filled anew each time."""
    (tmp_path / "plain-100").mkdir()
    assert is_there("JSON Lines", 100, tmp_path)
    assert not is_there("gzip", 100, tmp_path)
    assert not is_there("DynamoDB tables", 100, tmp_path)


def test_a_peer_that_cannot_be_installed_is_left_out_with_the_reason() -> None:
    """Whether its package is not to be had, or there is no time for it."""
    with pytest.raises(LeftOut, match="could not be installed"):
        peers._prepare(["false"], math.inf)
    with pytest.raises(LeftOut, match="no time to install"):
        peers._prepare(["sleep", "60"], time.monotonic())


def test_a_page_names_what_was_left_out() -> None:
    """Peers and runs, with their reasons; nothing is invented for them."""
    left_out = dict.fromkeys(("usable_seconds", "complete_seconds"), "") | {"left_out": "no time"}
    shown = page.render({"date": "2026-01-01"}, [RUN, {**RUN, **left_out}], [PEER, {**PEER, "left_out": "gone"}])
    assert "- psql: gone" in shown
    assert "- no time: 100 JSON Lines SQLite" in shown
    assert "| 100 | SQLite | 0.7 s | 1 min 5 s | 2 | 130 MB | 0.6 s |" in shown


def test_a_page_shows_how_right_estimates_were() -> None:
    """Where that was measured; else it says nothing of it."""
    told = "| 1,000 messages | 1,010 | 1,000 | +1.00% | 1.1 to 2.9 s | 1.5 s | yes | 0.9 s |"
    assert told in page.render({"date": "2026-01-01"}, [RUN], [PEER], [ESTIMATED])
    assert "How right" not in page.render({"date": "2026-01-01"}, [RUN], [PEER])


def test_the_coefficients_are_the_studys() -> None:
    """Each database has them for every entity, and estimates are made of nothing else."""
    known = deepcopy(timing.coefficients())
    for database in known["databases"].values():
        costs = [database.pop(entity.value) for entity in Entity]
        assert all(cost["seconds_per_record"] > 0 for cost in costs)
        assert set(database) == {"start_seconds", "pass_seconds", "writers_gain"}
    for measured in (known["factors"], *(kind["seconds"] for kind in known["files"].values())):
        assert measured["low"] < measured["expected"] < measured["high"]


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A copy of the coefficients, which is the one that is used."""
    copy = tmp_path / "timing.json"
    copy.write_bytes(coefficients.FILE.read_bytes())
    monkeypatch.setattr(coefficients, "FILE", copy)
    monkeypatch.setattr("s3import.reporting.timing.resources.files", lambda _: tmp_path)
    timing.coefficients.cache_clear()
    yield copy
    timing.coefficients.cache_clear()


@pytest.mark.usefixtures("file")
def test_imports_correct_the_coefficients_of_their_database() -> None:
    """One that took twice as long as was said is expected to, afterwards; the others stay; how far runs of the same
    database lay apart is how wide the range is."""
    before = timing.coefficients()["databases"]
    usual = {"source": "JSON Lines", "database": "PostgreSQL", "messages": 1_000_000}
    said = coefficients._ratio({**usual, "complete_seconds": 1000.0}, 2)
    assert said is not None
    seconds = 1000 / said
    coefficients.correct([{**usual, "complete_seconds": seconds * by} for by in (1.6, 2.0, 2.4)], 2)
    after = timing.coefficients()
    for entity in ("threads", "messages", "attachments"):
        costs = [known["postgresql"][entity]["seconds_per_record"] for known in (before, after["databases"])]
        assert costs[1] == pytest.approx(2 * costs[0], rel=0.1)
    assert after["databases"]["mysql"] == before["mysql"]
    assert after["factors"]["expected"] == pytest.approx(1.0, rel=0.02)
    assert after["factors"]["low"] == pytest.approx(coefficients.ELSEWHERE[0] * 0.84, rel=0.02)
    assert after["factors"]["high"] == pytest.approx(coefficients.ELSEWHERE[1] * 1.16, rel=0.02)


def test_small_imports_and_those_of_items_correct_nothing(file: Path) -> None:
    """They are all start-up, or another reader's."""
    before = file.read_bytes()
    row = {"source": "JSON Lines", "database": "SQLite", "messages": 100, "complete_seconds": 9.0}
    items = {"source": "DynamoDB export", "messages": 1_000_000}
    coefficients.correct([row, {**row, **items}, {**row, "messages": 1_000_000, "complete_seconds": ""}], 2)
    assert file.read_bytes() == before


def test_what_was_measured_becomes_a_range_for_other_machines() -> None:
    """However close the measurements are: there were few of them."""
    assert coefficients._widened([2.0]) == {"low": 1.17, "expected": 2.0, "high": 3.3}
    wide = coefficients._widened([1.0, 2.0, 4.0])
    assert wide["low"] < 1.17
    assert wide["high"] > 3.3


def test_a_peer_that_fails_is_left_out_and_the_others_are_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    """In one line; what was measured before is not lost."""

    def fail() -> tuple[Usage, str]:
        return run_once(["sh", "-c", "echo no such thing; exit 7"]), ""

    ones = [
        Peer("broken", "sh", "checks", fail),
        Peer("whole", "sh", "checks", lambda: (Usage(1.0, 9 << 20, 0.5), "1")),
    ]
    for name, found in {"_peers": ones, "cached": mock.Mock(), "exported": mock.MagicMock(), "_rows": 115}.items():
        monkeypatch.setattr(peers, name, mock.Mock(return_value=found))
    broken, whole = peers.measure(mock.Mock(), 100, Path("x"), math.inf)
    assert (broken["left_out"], broken["seconds"]) == ("it ended with exit status 7 here", "")
    assert (whole["left_out"], whole["seconds"], whole["rows"]) == ("", 1.0, 115)


def test_a_program_that_fails_says_why() -> None:
    """With the end of what it said."""
    with pytest.raises(RuntimeError, match="no such thing"):
        run_once(["sh", "-c", "echo no such thing; exit 1"])
    assert run_once(["sh", "-c", "exit 3"], tolerated=(3,)).seconds > 0


def test_a_recording_tells_how_much_the_machines_speed_swung() -> None:
    """By the quarters of its longest stage: here the messages, of which the last quarter took three times as long."""
    done = [0, 25, 50, 75, 75, 75, 100]
    files = [0, 4, 1, 0, 0]
    looks = [
        [float(at), files, [["threads", 1, 1, 9, 9, 9], ["messages", 1, 0, 100, one, 7]]] for at, one in enumerate(done)
    ]
    assert swing(looks) == 3.0
    assert swing([]) == 1.0
