"""Looks at a dump without reading much of it: a sample of each entity in each pass, within bounds that no size changes.

What is not divided in passes is sampled undivided, and shared out by when its records were created. A table of
DynamoDB tells only how many items it has of all accounts: what was seen and that are then the ends of a wide range.

Where the manifest or a Parquet footer tells the records they are known. Else the sampled parts' records a stored byte
are taken for all of them, and how much they differ between parts says how sure that is. Plain text is sampled at random
places, compressed parts from their beginnings.
"""

from __future__ import annotations

import math
import random
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass, field, replace
from statistics import median
from typing import Protocol, runtime_checkable

import pyarrow.compute as pc

from s3import.core.errors import PartUnreadable
from s3import.core.records import Entity, Pass, PlannedPart, Position
from s3import.readers.formats.parquet import count_rows
from s3import.readers.reading import CheckedBatch, read_checked
from s3import.readers.sources.source import DumpSource
from s3import.reporting.timing import MB, Load, Place, Range, coefficients, form_of, load_of

MOST_SECONDS = 3.7  # that sampling takes, of five in all
MOST_BYTES = 48 * 1024 * 1024  # of text and stored bytes that are sampled; footers come on top
SAMPLES = 12  # of one entity in one pass, at most
SAMPLE_BYTES = 1024 * 1024  # of text, or two batches
BLOCK_BYTES = 256 * 1024
MOST_FOOTERS = 100
DECILE = 1.2816  # standard deviations from the middle to the tenth and the ninetieth percentile


@dataclass(frozen=True, slots=True)
class Probe:
    """What one look into a part found. Of so many `stored_bytes` the records were counted (`counted`): decompressors
    read ahead, by as much at the end as at the beginning."""

    records: int
    rejected: int
    counted: int
    stored_bytes: int
    text_bytes: int
    seconds: float
    codes: Counter[str] = field(default_factory=Counter)
    files: int = 0
    file_bytes: int = 0


@dataclass(slots=True)
class Stratum:
    """The parts of one entity in one pass, and what was found in some of them."""

    pass_: Pass
    entity: Entity
    parts: list[PlannedPart]
    samples: list[Probe] = field(default_factory=list)
    rows: dict[str, int] = field(default_factory=dict)  # of parts that were read whole, or whose footer tells them
    table_items: int | None = None  # of the whole table, whosever they are
    slower: float = 1.0  # times as long as the study's this machine takes now

    @property
    def sampled(self) -> int:
        return sum(sample.records for sample in self.samples)

    @property
    def records(self) -> Range:
        """How many records there are."""
        known = [self._known_rows(part) for part in self.parts]
        exact = sum(rows for rows in known if rows is not None)
        left = sum(part.stored.size_bytes for part, rows in zip(self.parts, known, strict=True) if rows is None)
        if None in known and self.table_items is not None:
            most = max(self.table_items, self.sampled, 1)
            return Range(self.sampled, math.sqrt(max(self.sampled, 1) * most), most)
        if not left:
            return Range.exactly(exact)
        rate, error = self._records_a_byte()
        spread = min(DECILE * error, 0.9)
        return Range.exactly(exact) + Range.exactly(rate * left).times(1 - spread, 1.0, 1 + spread)

    def rejects(self, records: float) -> Range:
        """Of so many records, by Wilson's interval; where none was found at most three of as many as were read."""
        n, k = self.sampled, sum(sample.rejected for sample in self.samples)
        if not n:
            return Range(0.0, 0.0, records)
        if n == records:
            return Range.exactly(k)
        if not k:
            return Range(0.0, 0.0, min(3 / n, 1.0) * records)
        middle, half = _wilson(k, n)
        return Range((middle - half) * records, k / n * records, (middle + half) * records)

    def load(self, records: float) -> Load:
        """What reading and writing so many records of it asks for."""
        planned = sum((load_of(part) for part in self.parts), Load())
        n, text = self.sampled, sum(sample.text_bytes for sample in self.samples)
        text_bytes = records * text / n if n else planned.text_bytes
        form = form_of(self.parts[0].stored.key)
        return Load(records, text_bytes, text_bytes / MB * self._read_seconds(form), len(self.parts))

    def _known_rows(self, part: PlannedPart) -> int | None:
        return self.rows.get(part.key) if part.expected_rows is None else part.expected_rows

    def _records_a_byte(self) -> tuple[float, float]:
        """The records of a stored byte, and the standard error of that as a share of it."""
        read = [sample for sample in self.samples if sample.stored_bytes]
        if not read:
            planned = sum((load_of(part) for part in self.parts), Load())
            stored = sum(part.stored.size_bytes for part in self.parts)
            return planned.records / max(stored, 1), 0.5
        records, stored = sum(one.counted for one in read), sum(one.stored_bytes for one in read)
        rate = records / stored
        if len(read) < 2 or not rate:
            return rate, 0.1
        apart = sum((one.counted - rate * one.stored_bytes) ** 2 for one in read) / (len(read) - 1)
        return rate, math.sqrt(apart / len(read)) / (records / len(read))

    def _read_seconds(self, form: str) -> float:
        """Seconds to read and check a megabyte of text, as measured; within reason, for samples are short. Where they
        are too short to tell, the study's, at this machine's pace."""
        study: float = coefficients()["read_seconds_per_megabyte"][form] * self.slower
        measured = [one.seconds / one.text_bytes * MB for one in self.samples if one.text_bytes >= BLOCK_BYTES]
        return min(max(median(measured), study / 2), study * 20) if measured else study


def _wilson(k: int, n: int) -> tuple[float, float]:
    """The middle and the half width of Wilson's interval, from the tenth to the ninetieth percentile."""
    p, z = k / n, DECILE
    scale = 1 + z * z / n
    middle = (p + z * z / (2 * n)) / scale
    return middle, z / scale * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))


@runtime_checkable
class SizedTables(Protocol):
    """A source that reads tables, which have a size only as a whole."""

    def table_size(self, part: PlannedPart) -> tuple[int, int]:
        """Items and bytes of the table that a part is of."""
        ...


class Survey:
    """Samples the strata of one account's dump in turn until the bounds are reached."""

    def __init__(self, account_id: str, source: DumpSource, place: Place) -> None:
        self._account_id, self._source = account_id, source
        self._slower = place.slower
        self._random = random.Random(account_id)  # noqa: S311 - the same dump, the same sample
        self._until = time.monotonic() + MOST_SECONDS
        self.bytes_read = 0
        self.table_bytes: int | None = None  # of whole tables, where those are the source

    def look_at(self, pass_: Pass, parts: Sequence[PlannedPart]) -> list[Stratum]:
        """The strata of a pass's parts, not yet sampled."""
        found = ((entity, [part for part in parts if part.entity is entity]) for entity in Entity)
        return [Stratum(pass_, entity, mine, slower=self._slower) for entity, mine in found if mine]

    def sample(self, strata: Sequence[Stratum]) -> None:
        """Take samples of each in turn. Raises: what reading a part may raise."""
        if isinstance(self._source, SizedTables):
            self._measure_tables(self._source, strata)
        order = [self._in_random_order(stratum) for stratum in strata]
        for _ in range(SAMPLES):
            for stratum, parts in zip(strata, order, strict=True):
                if self._is_spent():
                    return
                part = next(parts, None)
                if part is not None:
                    self._look_into(stratum, part)
        for stratum in strata:
            self._read_footers(stratum)

    def _measure_tables(self, source: SizedTables, strata: Sequence[Stratum]) -> None:
        for stratum in strata:
            if stratum.parts:
                stratum.table_items, size = source.table_size(stratum.parts[0])
                self.table_bytes = (self.table_bytes or 0) + size

    def _is_spent(self) -> bool:
        return time.monotonic() >= self._until or self.bytes_read >= MOST_BYTES

    def _in_random_order(self, stratum: Stratum) -> Iterator[PlannedPart]:
        """Each part once; plain text again and again, for there are other places in it."""
        parts = self._random.sample(stratum.parts, len(stratum.parts))
        yield from parts
        while plain := [part for part in parts if _is_plain(part) and part.stored.size_bytes > 4 * SAMPLE_BYTES]:
            yield from plain

    def _look_into(self, stratum: Stratum, part: PlannedPart) -> None:
        size = part.stored.size_bytes
        last = size - SAMPLE_BYTES
        offset = self._random.randrange(last) if _is_plain(part) and last > SAMPLE_BYTES else 0
        batches: list[CheckedBatch] = []
        began = time.perf_counter()
        whole = replace(part, window=None)
        reading = read_checked(
            self._source, whole, self._account_id, block_bytes=BLOCK_BYTES, start=Position(offset=offset)
        )
        for one in reading:
            batches.append(one)
            if _text_bytes(part, batches, offset) >= SAMPLE_BYTES or self._is_spent():
                break
        del reading  # which lets go of the object
        seconds = time.perf_counter() - began
        if batches:
            found = _of_pass(part, batches, _sample(part, batches, offset, seconds))
            self.bytes_read += max(found.stored_bytes, found.text_bytes)
            stratum.samples.append(found)
        if batches and batches[-1].batch.last and not offset:
            stratum.rows[part.key] = found.records

    def _read_footers(self, stratum: Stratum) -> None:
        """The rows of Parquet parts, of which a footer tells."""
        unknown = [part for part in stratum.parts if part.key.endswith(".parquet") and part.expected_rows is None]
        for part in unknown[:MOST_FOOTERS]:
            if time.monotonic() >= self._until:
                return
            with closing(self._source.companion.open_random(part.stored)) as file, suppress(PartUnreadable):
                stratum.rows[part.key] = count_rows(file, part.key)


def _is_plain(part: PlannedPart) -> bool:
    return form_of(part.stored.key) == "plain" and part.window is None


def _sample(part: PlannedPart, batches: Sequence[CheckedBatch], offset: int, seconds: float) -> Probe:
    """What the batches hold. A place amid a part begins amid a line, which does not count."""
    cut = 1 if offset else 0
    last = batches[-1].batch
    records = sum(one.batch.records.num_rows for one in batches) - cut
    rejects = [reject for one in batches for reject in one.checked.rejects][cut:]
    text = _text_bytes(part, batches, offset)
    stored, counted = min(last.bytes_done, part.stored.size_bytes) - offset, records
    if len(batches) > 2 and form_of(part.stored.key) in ("gzip", "zstd") and not last.last:
        first = batches[0].batch
        stored, counted = last.bytes_done - first.bytes_done, records - first.records.num_rows
    files, file_bytes = _files(part.entity, batches)
    codes = Counter(code for reject in rejects for code in {reason.code for reason in reject.reasons})
    return Probe(max(records, 0), len(rejects), counted, stored, text, seconds, codes, files, file_bytes)


def _of_pass(part: PlannedPart, batches: Sequence[CheckedBatch], found: Probe) -> Probe:
    """What of it is of the part's pass, where the part is not."""
    if part.window is None:
        return found
    created = [
        one.checked.accepted["created_at"] for one in batches if "created_at" in one.checked.accepted.column_names
    ]
    total = sum(map(len, created))
    recent = sum(pc.sum(pc.greater_equal(one, part.window.since)).as_py() or 0 for one in created)
    mine = recent if part.window.pass_ is Pass.RECENT else total - recent
    share = mine / total if total else 0.0
    names = ("records", "rejected", "counted", "files", "file_bytes", "text_bytes")
    return replace(found, **{name: round(getattr(found, name) * share) for name in names})


def _text_bytes(part: PlannedPart, batches: Sequence[CheckedBatch], offset: int) -> int:
    """JSON Lines as they are; a table's columns, about as long as their lines would be."""
    if part.key.endswith(".parquet"):
        return sum(one.batch.records.nbytes for one in batches)
    return batches[-1].batch.end.offset - offset


def _files(entity: Entity, batches: Sequence[CheckedBatch]) -> tuple[int, int]:
    """How many files the right records name, and their bytes as far as these are given."""
    files = file_bytes = 0
    for one in batches:
        accepted = one.checked.accepted
        if entity is Entity.ATTACHMENTS:
            files += accepted.num_rows
            file_bytes += pc.sum(accepted["size_bytes"]).as_py() or 0
        elif entity is Entity.MESSAGES:
            keys = pc.struct_field(accepted["telephony"], "recording_key")
            files += len(keys) - keys.null_count
    return files, file_bytes
