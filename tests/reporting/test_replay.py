"""Recorded runs, look by look: how far they would be said to be today, and how much time would be said to be left."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

import orjson
import pytest

from s3import.core.records import Entity, PlannedPart, StoredObject
from s3import.reporting import timing
from tests.reporting.replays import LONG_SECONDS, MOST_WRONG, median_error, require_no_lies, shown

RECORDINGS = {
    path.name.partition(".")[0]: orjson.loads(gzip.decompress(path.read_bytes()))
    for path in sorted(Path(__file__).with_name("runs").glob("*.json.gz"))
}
RUNS = [
    pytest.param({**recording, **run}, id=f"{name}-{run['pass']}")
    for name, recording in RECORDINGS.items()
    for run in recording["runs"]
]
LONG_RUNS = [one for one in RUNS if one.values[0]["seconds"] >= LONG_SECONDS]  # type: ignore[index]


def expected(run: dict[str, Any]) -> dict[str, Any]:
    """What would be kept with the run today, by its plan."""
    parts = []
    for entity, number, _, size, *_ in run["looks"][-1][2]:
        stored = StoredObject(f"part.{run['extension']}", size // number, "e")
        parts += [PlannedPart(Entity(entity), stored.key, stored)] * number
    work = timing.work_of(parts, run["files_to"])
    assert work is not None
    place = timing.Place(run["database"], run["workers"], run["workers"])
    return timing.forecast(work, place, timing.inexperienced()).document()


def test_there_are_runs_of_several_databases_and_one_with_files() -> None:
    """Else the tests below would hold of nothing."""
    runs: Any = [one.values[0] for one in LONG_RUNS]
    assert {run["database"] for run in runs} == {"postgresql", "mysql", "sqlite"}
    assert any(run["files_to"] for run in runs)


@pytest.mark.parametrize("run", RUNS)
def test_progress_never_goes_back_and_is_never_complete_before_the_end(run: dict[str, Any]) -> None:
    """Nor is any time left negative, or nothing."""
    require_no_lies(shown(run, expected(run)))


@pytest.mark.parametrize("run", LONG_RUNS)
def test_the_time_left_is_right_in_the_second_half(run: dict[str, Any]) -> None:
    """Its error is at most a fifth in half of all looks."""
    assert median_error(shown(run, expected(run)), run["seconds"]) <= MOST_WRONG
