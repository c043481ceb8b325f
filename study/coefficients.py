"""What reading and writing cost here, for the estimates that are made elsewhere: ``s3import/reporting/timing.json``."""

from __future__ import annotations

import os
import sys
import threading
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from statistics import median, quantiles
from typing import Any

import orjson

from benchmarks import generate
from benchmarks.generate import ACCOUNT, Dump, cached
from benchmarks.scratch import Scratch, SQLite
from s3import.core.events import Advanced, Event, PassStarted
from s3import.core.records import HALVES, ROW_ENTITIES, Entity, Pass
from s3import.core.settings import BLOCK_BYTES, Settings
from s3import.importing.requests import Request
from s3import.operations.migrate import migrate
from s3import.operations.sources import source_opener
from s3import.readers.reading import read_checked
from s3import.reporting import timing
from s3import.reporting.timing import Experience, Place, Range
from study.dumps import FORMS, source_of

FILE = Path("s3import/reporting/timing.json")
LONG_BODY = 6000
KINDS = {"PostgreSQL": "postgresql", "MariaDB": "mysql", "SQLite": "sqlite"}
FORM_NAMES = {"JSON Lines": "plain", "gzip": "gzip", "zstd": "zstd", "Parquet": "parquet"}
ELSEWHERE = (0.6, 1.6)  # how much faster or slower another machine may be, besides


def learn(scratches: dict[str, Scratch], folder: Path, messages: int, date: str) -> None:
    """Measure, and write the file anew; the factors come later, from `correct`."""
    known = orjson.loads(FILE.read_bytes())
    known["measured_at"], known["machine"] = date, f"on another machine ({date})"
    for name, form in FORM_NAMES.items():
        with source_of(name, messages, folder) as source:
            seconds, text, stored = _read_all(source.words[1])
            known["read_seconds_per_megabyte"][form] = round(seconds / text * timing.MB, 5)
            known["expansion"][form] = round(text / stored, 3)
    usual = cached(folder, messages)
    known["record_bytes"] |= _record_bytes(usual)
    long = _with_long_bodies(folder, max(messages // 10, 1000))
    for name, scratch in scratches.items():
        known["databases"][KINDS[name]] |= _writing(scratch, usual, long)
    FILE.write_bytes(orjson.dumps(known, option=orjson.OPT_INDENT_2) + b"\n")
    timing.coefficients.cache_clear()


def correct(rows: Sequence[dict[str, Any]], workers: int) -> None:
    """Have the factors be what imports took here, divided by what the coefficients say of them."""
    ratios = [ratio for row in rows if (ratio := _ratio(row, workers))]
    known = orjson.loads(FILE.read_bytes())
    if len(ratios) < 2:
        return  # of a study that had no time for them
    deciles = quantiles(ratios, n=10, method="inclusive")
    low, high = deciles[0] * ELSEWHERE[0], deciles[-1] * ELSEWHERE[1]
    known["factors"] = {"low": round(low, 3), "expected": round(median(ratios), 3), "high": round(high, 3)}
    small = [float(row["complete_seconds"]) for row in rows if row["messages"] == 100 and row["complete_seconds"]]
    known["start_seconds"] = round(max(min(small) - 2 * known["pass_seconds"], 0.2), 3)
    FILE.write_bytes(orjson.dumps(known, option=orjson.OPT_INDENT_2) + b"\n")
    timing.coefficients.cache_clear()


def _ratio(row: dict[str, Any], workers: int) -> float | None:
    if row["source"] not in FORMS or not row["complete_seconds"] or row["messages"] < 100_000:
        return None
    known = timing.coefficients()
    place = Place.of(KINDS[row["database"]], workers, row["database"] != "SQLite")
    form, said = FORM_NAMES[row["source"]], 0.0
    for share in (generate.RECENT_SHARE, 1 - generate.RECENT_SHARE):
        counts = {
            Entity.THREADS: row["messages"] / 20,
            Entity.MESSAGES: row["messages"],
            Entity.ATTACHMENTS: row["messages"] / 10,
        }
        loads = {}
        for entity, count in counts.items():
            text = count * share * known["record_bytes"][entity.value]
            read = text / timing.MB * known["read_seconds_per_megabyte"][form]
            loads[entity] = timing.Load(
                count * share, text, read, max(2, round(count * share / generate.PART_ROWS[entity]))
            )
        said += timing.forecast(timing.Work(loads), place, Experience(Range.exactly(1.0))).model_seconds
    took = float(row["complete_seconds"]) - known["start_seconds"] - 2 * known["pass_seconds"]
    return float(max(took, 0.1) / said)


def _read_all(source: str) -> tuple[float, int, int]:
    """Seconds to read and check everything in one thread, its bytes of text, and those stored."""
    opened = source_opener(Settings(), 1)(source.replace("{account}", ACCOUNT), ACCOUNT)
    text = stored = 0
    began = time.perf_counter()
    for pass_ in HALVES:
        for part in opened.plan(pass_).parts:
            stored += part.stored.size_bytes
            for one in read_checked(opened, part, ACCOUNT, block_bytes=BLOCK_BYTES):
                is_table = part.key.endswith(".parquet")
                text += one.batch.records.nbytes if is_table else one.batch.end.offset - one.batch.start.offset
    return time.perf_counter() - began, text, stored


def _record_bytes(dump: Dump) -> dict[str, float]:
    found = {}
    for entity in ROW_ENTITIES:
        paths = list(dump.root.glob(f"*/*/{entity}/*"))
        size = sum(path.stat().st_size for path in paths)
        rows = sum(path.read_bytes().count(b"\n") for path in paths)
        found[entity.value] = round(size / rows, 1)
    return found


def _with_long_bodies(folder: Path, messages: int) -> Dump:
    """A dump whose messages have ten times as much text."""
    dump = Dump(folder / f"long-{messages}", messages)
    if not dump.root.exists():
        usual, generate.BODY_LENGTH = generate.BODY_LENGTH, LONG_BODY
        try:
            generate.generate(dump)
        finally:
            generate.BODY_LENGTH = usual
    return dump


def _writing(scratch: Scratch, usual: Dump, long: Dump) -> dict[str, dict[str, float]]:
    """What a record costs, and a megabyte: of messages from two lengths of text, of the others from one."""
    first, second = _write(scratch, usual), _write(scratch, long)
    found = {}
    for entity in ROW_ENTITIES:
        records, size, seconds = first[entity]
        a_megabyte = 0.0
        if entity is Entity.MESSAGES:
            others, other_size, other_seconds = second[entity]
            longer = other_size / others - size / records
            a_megabyte = max((other_seconds / others - seconds / records) / longer * timing.MB, 0.0)
        a_record = max(seconds / records - a_megabyte * size / records / timing.MB, seconds / records / 10)
        found[entity.value] = {
            "seconds_per_record": float(f"{a_record:.3g}"),
            "seconds_per_megabyte": float(f"{a_megabyte:.3g}"),
        }
    return found


def _write(scratch: Scratch, dump: Dump) -> dict[Entity, tuple[int, int, float]]:
    """By entity: records, bytes of text, and the seconds of its stages, times the writers at work."""
    read, size, seconds = Counter[Entity](), Counter[Entity](), dict.fromkeys(ROW_ENTITIES, 0.0)
    latest = time.perf_counter()
    lock = threading.Lock()

    def observe(event: Event) -> None:
        nonlocal latest
        with lock:
            now = time.perf_counter()
            if isinstance(event, Advanced) and event.entity is not None:
                seconds[event.entity] += now - latest
                read[event.entity] += event.read
                size[event.entity] += event.bytes
            if isinstance(event, PassStarted | Advanced):
                latest = now

    scratch.recreate()
    settings = Settings(database=scratch.url)
    request = Request(ACCOUNT, (Pass.RECENT, Pass.REMAINING), f"{dump.root}/{ACCOUNT}")
    migrate(settings, [request], observe=observe, stop=threading.Event())
    writers = 1 if isinstance(scratch, SQLite) else max(2, os.cpu_count() or 1)
    print(f"  {scratch.tool:24} {sum(seconds.values()):6.2f} s of stages", file=sys.stderr)
    return {entity: (read[entity], size[entity], seconds[entity] * writers) for entity in ROW_ENTITIES}
