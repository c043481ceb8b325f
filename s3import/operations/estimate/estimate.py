"""What an account's import will take: records, rejects, time, requests, bytes, and what all of that rests on."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from sqlalchemy import Connection

from s3import.core.accounts import account_status, is_imported
from s3import.core.errors import DumpNotFound
from s3import.core.records import HALVES, ROW_ENTITIES, Entity, Pass
from s3import.core.settings import Settings
from s3import.importing.checkpoints import read_window
from s3import.importing.estimates import place_of
from s3import.operations.composition import opened, readers
from s3import.operations.estimate.survey import Stratum, Survey
from s3import.operations.operations import Operations
from s3import.operations.sources import source_opener
from s3import.readers.sources.source import DumpSource
from s3import.reporting import timing
from s3import.reporting.pace import pace
from s3import.reporting.timing import Forecast, Place, Range, Work, coefficients, form_of
from s3import.writers import schema

KEYS_A_LIST = 1000  # that one request to S3 lists
REQUESTS_A_FILE = 2
BYTES_A_READ_UNIT = 8192  # of a table, read as it is eventually
REQUESTS_A_TABLE = 4  # of a Parquet part: its footer, and some ranges

Predict = Callable[[Work], Forecast]


@dataclass(frozen=True, slots=True)
class Estimate:
    """An account's import as it is expected. `passes`: those that are left to do and whose dump is there.

    `usable`: seconds until the account is `active-recent-only`; `complete`: until it is `active`, None where the
    remaining dump is not there yet. `basis`: what the times rest on, in words.
    """

    account_id: str
    source: str
    passes: tuple[Pass, ...]
    objects: int
    bytes: int
    records: Mapping[Entity, Range]
    rejects: Range
    rejects_by_code: Mapping[str, float]
    sampled: int
    files: int
    file_bytes: int
    usable: Range
    complete: Range | None
    requests: int
    bytes_to_read: int
    table_bytes: int
    basis: str
    read_units: int | None = None

    def document(self) -> dict[str, Any]:
        """As JSON."""
        return {
            "account_id": self.account_id,
            "source": self.source,
            "passes": [pass_.value for pass_ in self.passes],
            "objects": self.objects,
            "bytes": self.bytes,
            "records": {entity.value: _whole(records) for entity, records in self.records.items()},
            "rejects": _whole(self.rejects),
            "rejects_by_code": {code: round(count, 1) for code, count in sorted(self.rejects_by_code.items())},
            "sampled": self.sampled,
            "files": {"total": self.files, "bytes": self.file_bytes},
            "usable_seconds": self.usable.document(),
            "complete_seconds": self.complete.document() if self.complete else None,
            "requests": self.requests,
            "bytes_to_read": self.bytes_to_read,
            "table_bytes": self.table_bytes,
            "basis": self.basis,
            **({} if self.read_units is None else {"read_units": self.read_units}),
        }


def estimate(settings: Settings, account_id: str) -> Estimate:
    """Estimate what is left to do of an account, at most five seconds and 64 MiB of reading whatever its size.

    Raises: DumpNotFound where there is no dump; ConfigurationError, SchemaMismatch, what reading a dump may raise.
    """
    with opened(settings) as operations:
        operations.asker.check_id(account_id)
        uri = operations.asker.source(account_id, None)
        source = source_opener(settings, 1)(uri, account_id)
        left = _look(operations, partial(_passes_left, account_id=account_id))
        if left == ():
            return _nothing(account_id, source.uri)
        place = replace(place_of(operations.database, readers(settings)), pace=pace())
        survey = Survey(account_id, source, place)
        strata = _strata(operations, survey, source, account_id, left or HALVES)
        survey.sample([one for some in strata.values() for one in some])

        def predict(work: Work) -> Forecast:
            learnt = _look(operations, partial(timing.expect, work=work, place=place))
            return learnt or timing.forecast(work, place, timing.inexperienced())

        found = _estimated(account_id, source.uri, strata, predict, settings, place)
        if survey.table_bytes is None:
            return found
        return replace(found, read_units=math.ceil(survey.table_bytes / BYTES_A_READ_UNIT))


def _nothing(account_id: str, uri: str) -> Estimate:
    """Of an account that is active."""
    none = Range.exactly(0.0)
    records = dict.fromkeys(ROW_ENTITIES, none)
    return Estimate(account_id, uri, (), 0, 0, records, none, {}, 0, 0, 0, none, none, 0, 0, 0, "the account's status")


def _look(operations: Operations, work: Callable[[Connection], Any]) -> Any:
    """What is found in the database; None where nothing was migrated into it yet."""
    if not operations.database.is_there:
        return None

    def look(connection: Connection) -> Any:
        return work(connection) if schema.is_there(connection) else None

    return operations.transactions.read("", look)


def _passes_left(connection: Connection, account_id: str) -> tuple[Pass, ...]:
    status = account_status(connection, account_id)
    return tuple(pass_ for pass_ in HALVES if not is_imported(pass_, status))


def _strata(
    operations: Operations, survey: Survey, source: DumpSource, account_id: str, passes: Sequence[Pass]
) -> dict[Pass, list[Stratum]]:
    """The strata of the passes whose dump is there. Raises: DumpNotFound where none of them is, nor the first."""
    window = _look(operations, partial(read_window, account_id=account_id))
    found: dict[Pass, list[Stratum]] = {}
    for pass_ in passes:
        try:
            found[pass_] = survey.look_at(pass_, source.plan(pass_, lambda: window).parts)
        except DumpNotFound:
            if not found:
                raise
    return found


def _estimated(
    account_id: str,
    uri: str,
    strata: Mapping[Pass, Sequence[Stratum]],
    predict: Predict,
    settings: Settings,
    place: Place,
) -> Estimate:
    every = [one for some in strata.values() for one in some]
    records = {entity: _sum(one.records for one in every if one.entity is entity) for entity in _entities(every)}
    forecasts = {pass_: _forecast(some, predict, settings) for pass_, some in strata.items()}
    usable, complete = timing.until(forecasts, place)
    files, file_bytes = _files(every) if settings.files_to else (0, 0)
    parts = [part for one in every for part in one.parts]
    objects = {part.stored for part in parts}  # of what is not divided in passes each has the same ones
    size = sum(stored.size_bytes for stored in objects)
    to_read = sum(part.stored.size_bytes for part in parts)
    text = sum(one.load(one.records.expected).text_bytes for one in every if one.entity in ROW_ENTITIES)
    return Estimate(
        account_id,
        uri,
        tuple(strata),
        len(objects),
        size,
        records,
        _sum(_rejects(one) for one in every),
        _codes(every),
        sum(one.sampled for one in every),
        files,
        file_bytes,
        usable,
        complete,
        _requests([part.stored.key for part in parts], len(strata), files),
        to_read + file_bytes,
        round(text * coefficients()["table_bytes"][place.database]),
        next(iter(forecasts.values())).basis,
    )


def _forecast(strata: Sequence[Stratum], predict: Predict, settings: Settings) -> Forecast:
    """How long a pass takes; as unsure as its records are, besides."""
    expected = {one.entity: one.records for one in strata}
    loads = {one.entity: one.load(one.records.expected) for one in strata}
    files, file_bytes = _files(strata) if settings.files_to else (0, 0)
    found = predict(Work(loads, files, file_bytes, settings.files_to))
    total = _sum(expected.values())
    if not total.expected:
        return found
    seconds = found.seconds.times(total.low / total.expected, 1.0, total.high / total.expected)
    return Forecast(found.stages, seconds, found.basis)


def _entities(strata: Sequence[Stratum]) -> list[Entity]:
    there = {one.entity for one in strata}
    return [entity for entity in Entity if entity in ROW_ENTITIES or entity in there]


def _sum(ranges: Iterator[Range] | Sequence[Range] | Any) -> Range:
    return sum(ranges, Range.exactly(0.0))


def _rejects(stratum: Stratum) -> Range:
    return stratum.rejects(stratum.records.expected)


def _codes(strata: Sequence[Stratum]) -> dict[str, float]:
    """How many rejects of each code are expected."""
    codes: Counter[str] = Counter()
    found: dict[str, float] = {}
    for one in strata:
        codes = sum((sample.codes for sample in one.samples), Counter())
        for code, count in codes.items():
            found[code] = found.get(code, 0.0) + count / max(one.sampled, 1) * one.records.expected
    return found


def _files(strata: Sequence[Stratum]) -> tuple[int, int]:
    """How many files there are to copy, and their bytes; of those whose size nobody tells nothing."""
    total = size = 0.0
    for one in strata:
        share = one.records.expected / one.sampled if one.sampled else 0.0
        total += share * sum(sample.files for sample in one.samples)
        size += share * sum(sample.file_bytes for sample in one.samples)
    return round(total), round(size)


def _requests(keys: Sequence[str], passes: int, files: int) -> int:
    """About how many requests the import makes of S3: lists, manifests, account.json, parts and files."""
    lists = passes * (1 + len(keys) // KEYS_A_LIST)
    parts = sum(REQUESTS_A_TABLE if form_of(key) == "parquet" else 1 for key in keys)
    return lists + passes + 1 + parts + REQUESTS_A_FILE * files


def _whole(number: Range) -> dict[str, int]:
    return {name: round(value) for name, value in number.document().items()}
