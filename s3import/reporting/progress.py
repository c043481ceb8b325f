"""How far a run is: its stages one after the other, what is left of them, and when somebody last worked on it.

`run` is a row of ``import_runs`` and `slices` are sums over its parts by entity (`report`).
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any

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


def document(run: Any, slices: Sequence[Any]) -> dict[str, Any]:
    """The ``progress`` of the contract's section 7."""
    sums = {name: _sum(slices, name) for name in ("parts_total", "parts_done", "bytes_total", "bytes_done")}
    stages = list(_stages(run, slices))
    current = next((stage for stage in stages if stage.state in (StageState.RUNNING, StageState.STOPPED)), None)
    running = run.state == State.RUNNING
    seconds_left = _seconds_left(run, sums, stages) if running else None
    return {
        **sums,
        "fraction": 1.0 if run.state == State.SUCCEEDED else round(_fraction(sums, stages), 4),
        "rows_per_second": round(run.rows_per_second, 1) if running and run.rows_per_second else None,
        "eta_seconds": None if seconds_left is None else round(max(seconds_left, LEAST_SECONDS_LEFT), 1),
        "stage": current.name if current else None,
        "stages": [asdict(stage) for stage in stages],
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


def _fraction(sums: dict[str, int], stages: Sequence[Stage]) -> float:
    """All parts by their bytes; of a run with files these are one half of it, and the files the other."""
    done, total = (
        (sums["bytes_done"], sums["bytes_total"]) if sums["bytes_total"] else (sums["parts_done"], sums["parts_total"])
    )
    of_parts = min(done / total, 1.0) if total else 0.0
    files = next((stage for stage in stages if stage.name == FILES), None)
    return min((of_parts + files.fraction) / 2 if files else of_parts, ALMOST_DONE)


def _seconds_left(run: Any, sums: dict[str, int], stages: Sequence[Stage]) -> float | None:
    """None where nobody can tell: before the first rates are known, and while files are not counted yet."""
    files = next((stage for stage in stages if stage.name == FILES), None)
    if files is None:
        left, rate = sums["bytes_total"] - sums["bytes_done"], run.bytes_per_second
    elif files.total is not None:
        left, rate = files.total - files.done, run.files_per_second
    else:
        return None
    return left / rate if rate else None


def _last_sign_of_life(run: Any, slices: Sequence[Any]) -> dt.datetime | None:
    """When somebody who worked on the run last said so, by the database's clock; for one that has ended, its end."""
    leases = [one.leased_until for one in slices] if run.spread else [run.lease_until]
    ends = [end for end in leases if end is not None]
    if run.state == State.RUNNING and ends:
        return dt.datetime.fromtimestamp(max(ends) - LEASE_SECONDS, dt.UTC)
    time: dt.datetime | None = run.finished_at or (run.started_at if run.state == State.RUNNING else None)
    return time
