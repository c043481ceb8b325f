"""How long a pass takes: the work that its parts ask for, what such work took before, and how sure that is.

A pass goes through stages, one after the other, and each takes as long as the slower of its two sides: reading and
checking on `workers` processors, or the database's writing. The coefficients are the study's, measured on some machine
and shipped in ``timing.json``. What finished runs of the same database took, divided by what the coefficients say of
them, corrects both the expectation and how far the range reaches around it. Where no run has finished yet, how fast
this machine is now (`pace`) corrects what is done on it: the start, and the writing of a database that shares it.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, astuple, dataclass, field, replace
from functools import cache
from importlib import resources
from statistics import quantiles
from typing import Any, NamedTuple

import sqlalchemy as sa
from sqlalchemy import Connection

from s3import.core.records import HALVES, Entity, Pass, PlannedPart
from s3import.core.tables import import_runs
from s3import.reporting.progress import FILES
from s3import.status import State

MB = 1e6
RECENT_RUNS = 50  # of a database that are looked at
ENOUGH_RUNS = 10  # after which their own spread is believed
COMPARABLE = 50  # a run tells of one that is at most so many times larger
LEAST_SECONDS = 0.5  # of a run that tells anything: less is all start-up


@dataclass(frozen=True, slots=True)
class Range:
    """What is expected, and the tenth and ninetieth percentile of what may come."""

    low: float
    expected: float
    high: float

    @classmethod
    def exactly(cls, number: float) -> Range:
        """A number that is known."""
        return cls(number, number, number)

    def __add__(self, other: Range) -> Range:
        return Range(self.low + other.low, self.expected + other.expected, self.high + other.high)

    def times(self, low: float, expected: float, high: float) -> Range:
        """Each of the three multiplied."""
        return Range(self.low * low, self.expected * expected, self.high * high)

    def document(self) -> dict[str, float]:
        return {name: round(number, 3) for name, number in asdict(self).items()}


@dataclass(frozen=True, slots=True)
class Load:
    """What one stage asks for: records, bytes of their text, and processor seconds to read and check them."""

    records: float = 0.0
    text_bytes: float = 0.0
    read_seconds: float = 0.0
    parts: int = 0

    def __add__(self, other: Load) -> Load:
        return Load(
            self.records + other.records,
            self.text_bytes + other.text_bytes,
            self.read_seconds + other.read_seconds,
            self.parts + other.parts,
        )

    def of(self, records: float) -> Load:
        """The same text, which holds so many records."""
        return replace(self, records=records)


@dataclass(frozen=True, slots=True)
class Work:
    """What a pass asks for, by entity, and the files that are to be copied to `files_to` (None: nobody wants them)."""

    loads: Mapping[Entity, Load] = field(default_factory=dict)
    files: float = 0.0
    file_bytes: float = 0.0
    files_to: str | None = None


@dataclass(frozen=True, slots=True)
class Place:
    """Where the work is done: the kind of database, and how many parts at a time are read and written.

    `is_here`: the database shares this machine's processors. `pace`: how many times as long as the study's this machine
    takes now; None where nobody looked, and the seconds of reading are the study's, too.
    """

    database: str
    workers: int
    writers: int
    is_here: bool = False
    pace: Range | None = None

    @property
    def slower(self) -> float:
        """The pace that is expected; 1 where nobody looked."""
        return self.pace.expected if self.pace else 1.0

    @classmethod
    def of(cls, database: str, workers: int, *, concurrent_writers: bool, is_here: bool) -> Place:
        """On this machine."""
        return cls(database, min(workers, os.cpu_count() or 1), workers if concurrent_writers else 1, is_here)


@dataclass(frozen=True, slots=True)
class Experience:
    """What took longer or shorter than the coefficients say: `factors` by which expectations are multiplied. It rests
    on so many `runs` of the same database (0: on the study)."""

    factors: Range
    runs: int = 0

    @property
    def basis(self) -> str:
        """In words for people."""
        if self.runs:
            return f"{self.runs} earlier run{'s' if self.runs > 1 else ''} here"
        study = coefficients()
        return f"the study, {study['machine']}"


@dataclass(frozen=True, slots=True)
class Forecast:
    """How long a pass will take: its stages in seconds, as the coefficients say, and all of it as a range."""

    stages: Mapping[str, float]
    seconds: Range
    basis: str

    @property
    def model_seconds(self) -> float:
        """All stages together, without any correction."""
        return sum(self.stages.values())

    def document(self) -> dict[str, Any]:
        """What is kept with the run."""
        return {
            "seconds": self.seconds.document(),
            "stages": {name: round(seconds, 4) for name, seconds in self.stages.items()},
            "basis": self.basis,
        }


FinishedRuns = list[tuple[float, float]]


@cache
def coefficients() -> dict[str, Any]:
    """What the study measured."""
    found: dict[str, Any] = json.loads(resources.files("s3import.reporting").joinpath("timing.json").read_text("utf-8"))
    return found


# --- work ------------------------------------------------------------------------------------------------------------

FORMS = ((".parquet", "parquet"), (".gz", "gzip"), (".zst", "zstd"))


def form_of(key: str) -> str:
    """How a part is stored, by its name, as the coefficients call it."""
    return next((form for ending, form in FORMS if key.lower().endswith(ending)), "plain")


def work_of(parts: Iterable[PlannedPart], files_to: str | None) -> Work | None:
    """What these parts ask for, by their sizes and what their manifest says; None where nobody can tell: a table has no
    size, and of what is not divided in passes only some of each part is this one's."""
    loads: dict[Entity, Load] = {}
    for part in parts:
        if part.window is not None:
            return None
        loads[part.entity] = loads.get(part.entity, Load()) + load_of(part)
    return work_for(loads, files_to)


def work_for(loads: Mapping[Entity, Load], files_to: str | None) -> Work:
    """These loads, and where files are wanted each attachment's, of a usual size."""
    files = loads.get(Entity.ATTACHMENTS, Load()).records if files_to else 0.0
    return Work(loads, files, files * coefficients()["file_bytes"], files_to)


def load_of(part: PlannedPart) -> Load:
    """What a part asks for, by its size and what the manifest says of it."""
    known, form, entity = coefficients(), form_of(part.stored.key), part.entity.value
    text = part.stored.size_bytes * known["expansion"][form]
    records = text / known["record_bytes"][entity] if part.expected_rows is None else part.expected_rows
    return Load(records, text, text / MB * known["read_seconds_per_megabyte"][form], 1)


# --- time ------------------------------------------------------------------------------------------------------------


def forecast(work: Work, place: Place, experience: Experience) -> Forecast:
    """How long a pass takes there."""
    ends = (sum(_stages(work, place, slower).values()) for slower in _slower(work, place, experience))
    overhead = Range(**_database(place)["pass_seconds"])
    return Forecast(_stages(work, place, Slower()), Range(*ends) + _paced(overhead, place), experience.basis)


def expect(connection: Connection, work: Work, place: Place) -> Forecast:
    """How long a pass takes there, by what runs of the same database took."""
    return expect_by(finished_runs(connection), work, place)


def expect_by(finished: FinishedRuns, work: Work, place: Place) -> Forecast:
    """How long a pass takes there, by what those runs took."""
    plain = forecast(work, place, Experience(Range.exactly(1.0)))
    return forecast(work, place, _experience_by(finished, plain.model_seconds))


def until(forecasts: Mapping[Pass, Forecast], place: Place) -> tuple[Range, Range | None]:
    """The seconds from a command until the account is usable (0: it is), and until it is complete (None: nobody can
    tell), by what is expected of the passes that are left to do."""
    start, recent, last = _paced(Range(**_database(place)["start_seconds"]), place), *map(forecasts.get, HALVES)
    usable = start + recent.seconds if recent else Range.exactly(0.0)
    return usable, (usable if recent else start) + last.seconds if last else None


class Slower(NamedTuple):
    """How many times as long as the loads and coefficients say each of three things takes."""

    reading: float = 1.0
    writing: float = 1.0
    copying: float = 1.0


def _slower(work: Work, place: Place, experience: Experience) -> Iterator[Slower]:
    """At the low end of the range, as expected, and at its high end.

    What runs of this database took has the machine in it; without any its pace counts for what is done on it. Reading
    that was measured here and now is as unsure as the rest, but no slower.
    """
    factors, files, measured = experience.factors, _files(work), place.pace is not None
    relative = factors.times(*[1 / factors.expected] * 3)
    unknown = Range(**files["seconds"]).times(*[1 / files["seconds"]["expected"]] * 3)
    reading = relative if measured else factors
    writing = _paced(factors, place) if place.is_here and not experience.runs else factors
    copying = factors if experience.runs else _paced(unknown, place)
    return map(Slower, astuple(reading), astuple(writing), astuple(copying))


def _paced(seconds: Range, place: Place) -> Range:
    """What the study took, on this machine as it is now."""
    return seconds.times(*astuple(place.pace)) if place.pace else seconds


def _stages(work: Work, place: Place, slower: Slower) -> dict[str, float]:
    """The seconds of each stage."""
    stages = {
        entity.value: _stage(work.loads[entity], entity, place, slower) for entity in Entity if entity in work.loads
    }
    if work.files_to is not None:
        known = _files(work)
        copying = work.files * known["seconds"]["expected"] + work.file_bytes / MB * known["seconds_per_megabyte"]
        stages[FILES] = copying * slower.copying
    return stages


def _stage(load: Load, entity: Entity, place: Place, slower: Slower) -> float:
    written, at_once = _database(place)[entity.value], min(place.workers, max(load.parts, 1))
    writing = load.records * written["seconds_per_record"] + load.text_bytes / MB * written["seconds_per_megabyte"]
    writers = 1 + _database(place)["writers_gain"] * (min(place.writers, at_once) - 1)
    reading = load.read_seconds / at_once * slower.reading
    return float(
        max(reading, writing / writers * slower.writing) + load.parts * coefficients()["part_seconds"] * slower.writing
    )


def _database(place: Place) -> dict[str, Any]:
    found: dict[str, Any] = coefficients()["databases"][place.database]
    return found


def _files(work: Work) -> dict[str, Any]:
    """What a file costs there: S3 takes what it holds already without anybody carrying it."""
    found: dict[str, Any] = coefficients()["files"]["s3" if (work.files_to or "").startswith("s3://") else "folder"]
    return found


def experience_of(connection: Connection, model_seconds: float) -> Experience:
    """What finished runs of this database tell of one for which the coefficients say so many seconds."""
    return _experience_by(finished_runs(connection), model_seconds)


def _experience_by(finished: FinishedRuns, model_seconds: float) -> Experience:
    ratios = [ratio for ratio, said in finished if said >= max(LEAST_SECONDS, model_seconds / COMPARABLE)]
    return Experience(_learnt(ratios, inexperienced().factors), len(ratios)) if ratios else inexperienced()


def inexperienced() -> Experience:
    """What is known where no run has finished yet: the study, made on some other machine."""
    return Experience(Range(**coefficients()["factors"]))


def _learnt(ratios: Sequence[float], prior: Range) -> Range:
    """The ratios' quantiles; while they are few the range is as wide around them as the study's, in part."""
    middle = math.exp(sum(map(math.log, ratios)) / len(ratios)) if len(ratios) < 3 else quantiles(ratios, n=2)[0]
    deciles = quantiles(ratios, n=10, method="inclusive") if len(ratios) > 1 else [middle] * 9
    doubt = max(1 - len(ratios) / ENOUGH_RUNS, 0.3)
    low = min(deciles[0], middle * (prior.low / prior.expected) ** doubt)
    high = max(deciles[-1], middle * (prior.high / prior.expected) ** doubt)
    return Range(low, middle, high)


def finished_runs(connection: Connection) -> FinishedRuns:
    """Of runs that went through in one attempt: what the stages took, divided by what the coefficients said, and
    that."""
    runs, overhead = import_runs.c, coefficients()["databases"][connection.dialect.name]["pass_seconds"]["expected"]
    columns = (runs.started_at, runs.finished_at, runs.estimate, runs.attempts, runs.again, runs["pass"])
    done = sa.select(*columns).where(runs.state == State.SUCCEEDED.value).order_by(runs.requested_at.desc())
    found = []
    for row in connection.execute(done.limit(RECENT_RUNS)):
        plain = row.attempts == 1 and not row.again and row._mapping["pass"] in HALVES and row.estimate
        said = sum(row.estimate["stages"].values()) if plain else 0.0
        if said > 0:
            took = (row.finished_at - row.started_at).total_seconds() - overhead
            found.append((max(took, said * 0.05) / said, said))
    return found
