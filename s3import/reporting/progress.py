"""How far a run is: its stages one after the other, what is left of them, and when somebody last worked on it.

`run` is a row of ``import_runs`` and `slices` are sums over its parts by entity (`report`).
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from s3import.core.limits import SETTLE_SECONDS
from s3import.core.records import Entity
from s3import.core.settings import LEASE_SECONDS
from s3import.status import State

FILES = "files"
ALMOST_DONE = 0.999  # the most that is said of a run before its end
LEAST_SECONDS_LEFT = 1.0


class StageState(StrEnum):
    """`stopped`: it was at work when the run ended, or waits for another attempt."""

    PENDING = "pending"
    RUNNING = "running"
    STOPPED = "stopped"
    DONE = "done"


@dataclass(frozen=True, slots=True)
class Stage:
    """One of the things that a pass consists of. `done` of `total` (None: not known yet) are counted in `unit`."""

    name: str
    state: StageState
    done: int
    total: int | None
    unit: str

    @property
    def fraction(self) -> float:
        """Between 0 and 1; 0 where the total is not known."""
        if self.state is StageState.DONE:
            return 1.0
        return min(self.done / self.total, 1.0) if self.total else 0.0

    def document(self) -> dict[str, Any]:
        """As the status document shows it."""
        return {"name": self.name, "state": self.state, "done": self.done, "total": self.total, "unit": self.unit}


def document(run: Any, slices: Sequence[Any]) -> dict[str, Any]:
    """The ``progress`` of a pass's status document."""
    sums = {name: _sum(slices, name) for name in ("parts_total", "parts_done", "bytes_total", "bytes_done")}
    stages = list(_stages(run, slices))
    current = next((stage for stage in stages if stage.state in (StageState.RUNNING, StageState.STOPPED)), None)
    running = run.state == State.RUNNING
    seconds_left = _seconds_left(run, stages) if running else None
    return {
        **sums,
        "fraction": 1.0 if run.state == State.SUCCEEDED else round(_fraction(run, sums, stages), 4),
        "rows_per_second": round(run.rows_per_second, 1) if running and run.rows_per_second else None,
        "eta_seconds": None if seconds_left is None else round(max(seconds_left, LEAST_SECONDS_LEFT), 1),
        "stage": current.name if current else None,
        "stages": [stage.document() for stage in stages],
        "last_sign_of_life_at": rfc3339(_last_sign_of_life(run, slices)),
    }


def rfc3339(time: dt.datetime | None) -> str | None:
    """A time with a zone as documents show it, in UTC with a ``Z``; None stays None."""
    return time.astimezone(dt.UTC).isoformat().replace("+00:00", "Z") if time else None


def seconds_between(start: str | None, end: str | None) -> float | None:
    """The seconds from one time of a document to another; None while one of them is not known."""
    if start is None or end is None:
        return None
    return (dt.datetime.fromisoformat(end) - dt.datetime.fromisoformat(start)).total_seconds()


def _sum(slices: Sequence[Any], name: str) -> int:
    return sum(getattr(one, name) for one in slices)


# --- stages ----------------------------------------------------------------------------------------------------------


def _stages(run: Any, slices: Sequence[Any]) -> list[Stage]:
    """The run's stages in their order; none before it is planned."""
    at_work = {State.RUNNING: StageState.RUNNING, State.SUCCEEDED: StageState.DONE}.get(run.state, StageState.STOPPED)
    stages: list[Stage] = []
    for entity in Entity:
        if mine := [one for one in slices if one.entity == entity]:
            is_done = _sum(mine, "parts_done") == _sum(mine, "parts_total")
            stages.append(_of_parts(entity, mine, StageState.DONE if is_done else _next(stages, at_work)))
    if run.files_to and (stages or run.files_total):
        stages.append(_of_files(run, _next(stages, at_work)))
    return stages


def _next(stages: Sequence[Stage], at_work: StageState) -> StageState:
    """The state of a stage behind these that is not done: it is its turn once they are."""
    return at_work if all(stage.state is StageState.DONE for stage in stages) else StageState.PENDING


def _of_parts(entity: Entity, slices: Sequence[Any], state: StageState) -> Stage:
    """A stage of parts, in bytes of the stored objects; in records where nobody knows how large they are."""
    total = _sum(slices, "bytes_total")
    if total:
        return Stage(entity.value, state, min(_sum(slices, "bytes_done"), total), total, "bytes")
    read = _sum(slices, "read")
    return Stage(entity.value, state, read, read if state is StageState.DONE else None, "records")


def _of_files(run: Any, state: StageState) -> Stage:
    """The files, which are counted once all parts are in."""
    done = run.files_copied + run.files_missing + run.files_differ
    is_counted = state is not StageState.PENDING and bool(run.files_total or state is StageState.DONE)
    return Stage(FILES, state, done, run.files_total if is_counted else None, FILES)


# --- what is left ----------------------------------------------------------------------------------------------------

LEAST_SHARE = 0.05  # of what is expected of a run that must be done before its pace tells anything
MOST_DOUBT = 4.0  # times that a stage may be faster or slower than expected, and still tell of those to come


def _fraction(run: Any, sums: dict[str, int], stages: Sequence[Stage]) -> float:
    """Each stage counts for the time it was expected to take. Where nobody expected anything all parts count by their
    bytes, and of a run with files these are one half of it, and the files the other."""
    expected = _expected(run)
    weights = [expected.get(stage.name, 0.0) for stage in stages]
    if expected and sum(weights):
        done = sum(weight * stage.fraction for weight, stage in zip(weights, stages, strict=True))
        return min(done / sum(weights), ALMOST_DONE)
    done, total = (
        (sums["bytes_done"], sums["bytes_total"]) if sums["bytes_total"] else (sums["parts_done"], sums["parts_total"])
    )
    of_parts = min(done / total, 1.0) if total else 0.0
    files = next((stage for stage in stages if stage.name == FILES), None)
    return min((of_parts + files.fraction) / 2 if files else of_parts, ALMOST_DONE)


def _expected(run: Any) -> dict[str, float]:
    """The seconds that each stage was expected to take before the run began, by its name; empty where nobody knew."""
    return run.estimate["stages"] if run.estimate else {}


def _seconds_left(run: Any, stages: Sequence[Stage]) -> float | None:
    """The stage at work by its own rate, and those to come by what was expected of them, as this one keeps to it.
    Before it has a rate of its own, as all parts so far kept to it.

    None where nobody can tell: before the first rate is known, or where a stage has no size and nobody expected one.
    """
    at_work = next((stage for stage in stages if stage.state is StageState.RUNNING), None)
    if at_work is None:
        return LEAST_SECONDS_LEFT if stages else None
    expected, left = _expected(run), _by_its_rate(run, at_work)
    usual = run.estimate["seconds"]["expected"] / (sum(expected.values()) or 1.0) if expected else 1.0
    pace = usual if at_work.name == FILES else _pace_so_far(run, stages, expected) or usual
    if left is None:
        left = expected[at_work.name] * pace * (1 - at_work.fraction) if at_work.name in expected else None
    elif expected.get(at_work.name) and at_work.fraction < 1:
        pace = _believed(left / (1 - at_work.fraction) / expected[at_work.name])
    pending = [stage for stage in stages if stage.state is StageState.PENDING]
    to_come = [_to_come(run, stage, expected, usual if stage.name == FILES else pace) for stage in pending]
    known = [seconds for seconds in (left, *to_come) if seconds is not None]
    return sum(known) if len(known) == 1 + len(to_come) else None


def _pace_so_far(run: Any, stages: Sequence[Stage], expected: dict[str, float]) -> float | None:
    """How many times as long as expected a run of one attempt took for its parts, until its last sign of life; None
    while too little of them is done to tell."""
    done = [expected.get(stage.name, 0.0) * stage.fraction for stage in stages if stage.name != FILES]
    seen = _last_sign_of_life(run, ())
    if run.attempts != 1 or run.spread or seen is None or sum(done) < LEAST_SHARE * sum(expected.values()):
        return None
    return _believed((seen - run.started_at).total_seconds() / sum(done)) if sum(done) else None


def _believed(pace: float) -> float:
    return min(max(pace, 1 / MOST_DOUBT), MOST_DOUBT)


def _by_its_rate(run: Any, stage: Stage) -> float | None:
    """The seconds that the stage goes on for at the rate of the last minute. While nothing of it is done, that is the
    rate of the stage before it. Files are counted from time to time: half of that time they have been copied for."""
    rates = {FILES: run.files_per_second, "bytes": run.bytes_per_second}
    rate = rates.get(stage.unit) if stage.done else None
    if stage.total is None or not rate:
        return None
    left: float = (stage.total - stage.done) / rate
    return max(left - SETTLE_SECONDS / 2, 0.0) if stage.unit == FILES else left


def _to_come(run: Any, stage: Stage, expected: dict[str, float], pace: float) -> float | None:
    """Without any expectation parts go on as those at work do; nobody knows how many files there are."""
    if stage.name in expected:
        return expected[stage.name] * pace
    return _by_its_rate(run, stage)


def _last_sign_of_life(run: Any, slices: Sequence[Any]) -> dt.datetime | None:
    """When somebody who worked on the run last said so, by the database's clock; for one that has ended, its end."""
    leases = [one.leased_until for one in slices] if run.spread else [run.lease_until]
    ends = [end for end in leases if end is not None]
    if run.state == State.RUNNING and ends:
        return dt.datetime.fromtimestamp(max(ends) - LEASE_SECONDS, dt.UTC)
    time: dt.datetime | None = run.finished_at or (run.started_at if run.state == State.RUNNING else None)
    return time
