"""What is told of a run that is on its way: no more than is known, and never that it is over before it is."""

from __future__ import annotations

import datetime as dt
from types import SimpleNamespace
from typing import Any

import pytest

from s3import.core.settings import LEASE_SECONDS
from s3import.reporting import progress

AT = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)


def run(state: str = "running", **changes: Any) -> SimpleNamespace:
    """A run that has just been taken."""
    files = {f"files_{what}": 0 for what in ("total", "copied", "missing", "differ")}
    rates = dict.fromkeys(("rows_per_second", "bytes_per_second", "files_per_second"))
    times = {"started_at": AT, "finished_at": None, "lease_until": AT.timestamp() + LEASE_SECONDS + 2}
    known = {"state": state, "files_to": None, "spread": False, "attempts": 1, "estimate": None}
    return SimpleNamespace(**{**known, **files, **rates, **times, **changes})


def parts(entity: str, done: int = 0, total: int = 2, size: int = 100, **changes: Any) -> SimpleNamespace:
    """Some parts of one entity, `size` bytes each."""
    sums = {"parts_done": done, "parts_total": total, "bytes_done": done * size, "bytes_total": total * size}
    return SimpleNamespace(**{"entity": entity, **sums, "read": 7, "leased_until": None, **changes})


def states(document: dict[str, Any]) -> dict[str, str]:
    return {stage["name"]: stage["state"] for stage in document["stages"]}


def test_before_it_is_planned_a_run_has_no_stages() -> None:
    """Nobody knows yet what it consists of."""
    document = progress.document(run(files_to="/copies"), [])
    assert (document["stages"], document["stage"], document["fraction"]) == ([], None, 0.0)


def test_stages_come_one_after_the_other() -> None:
    """What is done, what is at work, and what waits."""
    slices = [parts("threads", 2), parts("messages", 1), parts("messages", 0), parts("deletions")]
    document = progress.document(run(files_to="/copies"), slices)
    assert states(document) == {"threads": "done", "messages": "running", "deletions": "pending", "files": "pending"}
    assert document["stage"] == "messages"
    assert document["stages"][1] == {"name": "messages", "state": "running", "done": 100, "total": 400, "unit": "bytes"}
    assert document["stages"][3] == {"name": "files", "state": "pending", "done": 0, "total": None, "unit": "files"}


@pytest.mark.parametrize("state", ["failed", "cancelled", "queued"])
def test_a_run_that_ended_early_says_where(state: str) -> None:
    """Its stage is not at work any more."""
    document = progress.document(run(state), [parts("threads", 2), parts("messages", 1)])
    assert (document["stage"], states(document)["messages"]) == ("messages", "stopped")
    assert document["eta_seconds"] is None


def test_a_run_that_succeeded_is_done() -> None:
    """All of it; also where it turned out to have no files."""
    document = progress.document(run("succeeded", files_to="/copies"), [parts("threads", 2)])
    assert (document["fraction"], document["stage"], set(states(document).values())) == (1.0, None, {"done"})
    assert document["stages"][1]["total"] == 0


def test_what_has_no_size_is_counted_in_records() -> None:
    """Nobody knows how many there are before the last one is in."""
    assert progress.document(run(), [parts("threads", 1, size=0)])["stages"] == [
        {"name": "threads", "state": "running", "done": 7, "total": None, "unit": "records"}
    ]
    document = progress.document(run(), [parts("threads", 2, size=0)])
    assert (document["stages"][0]["total"], document["fraction"]) == (7, 0.999)


def test_files_are_half_of_the_way() -> None:
    """Without them a run with all its parts in is not over; how long they take is told once they are counted."""
    slices = [parts("threads", 2)]
    waiting = progress.document(run(files_to="/copies", bytes_per_second=10.0), slices)
    assert (waiting["fraction"], waiting["eta_seconds"]) == (0.5, None)
    files: dict[str, Any] = {
        "files_to": "/copies",
        "files_total": 100,
        "files_copied": 20,
        "files_missing": 5,
        "files_per_second": 5.0,
    }
    copying = progress.document(run(**files), slices)
    assert (copying["fraction"], copying["eta_seconds"], copying["stage"]) == (0.625, 14.5, "files")


@pytest.mark.parametrize("done", [99, 100, 120])
def test_before_the_end_there_is_something_left(done: int) -> None:
    """Never 100 %, never 0 seconds, also where more was read than was thought to be there."""
    slices = [parts("threads", 0, 1, bytes_done=done)]
    document = progress.document(run(bytes_per_second=1000.0), slices)
    assert document["fraction"] <= 0.999
    assert document["eta_seconds"] == 1.0


ESTIMATE = {"seconds": {"expected": 24.0}, "stages": {"threads": 4.0, "messages": 10.0, "files": 10.0}}


@pytest.mark.parametrize(
    ("changes", "seconds_left"),
    [
        ({}, 3 * 10 + 10),
        ({"attempts": 2}, 10 + 10),  # it waited in between
        ({"spread": True}, 10 + 10),  # nobody says when the last of many was seen
        ({"bytes_per_second": 10.0}, 3 * 10 + 10),  # the rate of the stage before it
    ],
)
def test_a_stage_that_begins_keeps_to_the_pace_of_those_before(changes: dict[str, Any], seconds_left: float) -> None:
    """Parts that took three times as long as expected are expected to go on so, until the stage at work has a rate of
    its own; files have nothing to do with them."""
    slices = [parts("threads", 2), parts("messages", 0)]
    seen = run(estimate=ESTIMATE, files_to="/copies", lease_until=AT.timestamp() + LEASE_SECONDS + 3 * 4.0, **changes)
    assert progress.document(seen, slices)["eta_seconds"] == seconds_left


def test_a_run_that_has_hardly_begun_keeps_to_what_was_expected() -> None:
    """Its first seconds tell nothing; nor is it believed that anything takes a hundred times as long."""
    slices = [parts("threads", 0), parts("messages", 0)]
    fresh = run(estimate=ESTIMATE, lease_until=AT.timestamp() + LEASE_SECONDS + 9)
    assert progress.document(fresh, slices)["eta_seconds"] == 14.0
    stuck = run(estimate=ESTIMATE, lease_until=AT.timestamp() + LEASE_SECONDS + 400)
    assert progress.document(stuck, [parts("threads", 2), *slices[1:]])["eta_seconds"] == 40.0


def test_the_last_sign_of_life_is_the_last_renewal_of_a_lease() -> None:
    """Of the run, or where it is spread of the parts that somebody has; afterwards its end."""
    slices = [parts("threads"), parts("messages", leased_until=AT.timestamp() + LEASE_SECONDS + 9)]
    later = AT + dt.timedelta(seconds=5)
    shown = {
        "held": progress.document(run(), slices),
        "spread": progress.document(run(spread=True), slices),
        "spread, not taken": progress.document(run(spread=True), slices[:1]),
        "over": progress.document(run("failed", finished_at=later, lease_until=None), slices),
        "queued": progress.document(run("queued", lease_until=None), slices),
    }
    assert {name: document["last_sign_of_life_at"] for name, document in shown.items()} == {
        "held": "2026-01-01T00:00:02Z",
        "spread": "2026-01-01T00:00:09Z",
        "spread, not taken": "2026-01-01T00:00:00Z",
        "over": "2026-01-01T00:00:05Z",
        "queued": None,
    }
