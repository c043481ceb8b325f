"""What reading and writing cost here, for the estimates that are made elsewhere: ``s3import/reporting/timing.json``."""

from __future__ import annotations

import os
import sys
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from statistics import median, quantiles
from typing import Any

import orjson
import sqlalchemy as sa

from benchmarks import generate
from benchmarks.files import copy_to_folder, late_bucket
from benchmarks.generate import ACCOUNT, Dump, cached
from benchmarks.scratch import Scratch, SQLite
from s3import.core.events import Advanced, Event, PassStarted
from s3import.core.records import HALVES, ROW_ENTITIES, Entity, Pass
from s3import.core.settings import BLOCK_BYTES, Settings
from s3import.core.tables import import_runs
from s3import.importing.requests import Request
from s3import.operations.migrate import migrate
from s3import.operations.sources import source_opener
from s3import.readers.reading import read_checked
from s3import.reporting import timing
from s3import.reporting.pace import yardstick
from s3import.reporting.timing import Experience, Place, Range
from s3import.writers import open_database
from study.dumps import source_of
from study.runs import run_once

FILE = Path("s3import/reporting/timing.json")
LONG_BODY = 6000
KINDS = {"PostgreSQL": "postgresql", "MariaDB": "mysql", "SQLite": "sqlite"}
FORM_NAMES = {"JSON Lines": "plain", "gzip": "gzip", "zstd": "zstd", "Parquet": "parquet"}
WORKERS = max(2, os.cpu_count() or 1)
ELSEWHERE = (0.65, 1.5)  # how much faster or slower another machine may be, besides
NOISE = (0.9, 1.1)  # between two runs of the same, at least: a study has too few of them to tell
LARGE = 100_000  # messages of an import that tells of more than start-up
SMALL = 100  # messages of one that tells of nothing else
STARTS = 7
COPIES, FILES, FILE_BYTES = 3, 4000, 20_000  # enough that the start of copying does not count
LARGE_FILES, LARGE_FILE_BYTES = 100, 5_000_000


def learn(scratches: dict[str, Scratch], folder: Path, messages: int, date: str) -> None:
    """Measure, and write the file anew; the factors come later, from `correct`."""
    known = orjson.loads(FILE.read_bytes())
    known["measured_at"], known["machine"] = date, f"on another machine ({date})"
    known["yardstick_seconds"] = round(median(yardstick()[0] for _ in range(STARTS)), 6)
    for name, form in FORM_NAMES.items():
        with source_of(name, messages, folder) as source:
            seconds, text, stored = _read_all(source.words[1])
            known["read_seconds_per_megabyte"][form] = round(seconds / text * timing.MB, 5)
            known["expansion"][form] = round(text / stored, 3)
    usual = cached(folder, messages)
    known["record_bytes"] |= _record_bytes(usual)
    long = _with_long_bodies(folder, max(messages // 10, 1000))
    for name, scratch in scratches.items():
        known["databases"][KINDS[name]] |= _writing(scratch, usual, long) | _starting(scratch, cached(folder, SMALL))
    known["files"] = _copying(folder, known["files"])
    _write_down(known)


def correct(rows: Sequence[dict[str, Any]], workers: int) -> None:
    """Have each database's coefficients say what the study's imports into it took, and the factors how far these were
    from that, for machines elsewhere."""
    ratios: dict[str, list[float]] = defaultdict(list)
    for row in rows:
        if ratio := _ratio(row, workers):
            ratios[KINDS[row["database"]]].append(ratio)
    if not ratios:
        return  # of a study that had no time for them
    known = orjson.loads(FILE.read_bytes())
    for database, found in ratios.items():
        for entity in ROW_ENTITIES:
            costs = known["databases"][database][entity.value]
            costs |= {name: float(f"{cost * median(found):.3g}") for name, cost in costs.items()}
    known["factors"] = _widened([one / median(found) for found in ratios.values() for one in found])
    _write_down(known)


def _widened(measured: Sequence[float]) -> dict[str, float]:
    """What was measured several times, as a range that holds on other machines, too."""
    middle = median(measured)
    deciles = quantiles(measured, n=10, method="inclusive") if len(measured) > 1 else [middle] * 9
    low, high = min(deciles[0], middle * NOISE[0]), max(deciles[-1], middle * NOISE[1])
    found = {"low": low * ELSEWHERE[0], "expected": middle, "high": high * ELSEWHERE[1]}
    return {name: float(f"{number:.3g}") for name, number in found.items()}


def _write_down(known: dict[str, Any]) -> None:
    FILE.write_bytes(orjson.dumps(known, option=orjson.OPT_INDENT_2) + b"\n")
    timing.coefficients.cache_clear()


def _ratio(row: dict[str, Any], workers: int) -> float | None:
    """What an import took, beside what the coefficients say; None where they are not of its kind."""
    if row["source"] not in FORM_NAMES or not row["complete_seconds"] or row["messages"] < LARGE:
        return None
    known, is_file = timing.coefficients(), row["database"] == "SQLite"
    place = Place.of(KINDS[row["database"]], workers, concurrent_writers=not is_file, is_here=True)
    form, said = FORM_NAMES[row["source"]], 0.0
    for share in (generate.RECENT_SHARE, 1 - generate.RECENT_SHARE):
        counts = {
            Entity.THREADS: row["messages"] / generate.MESSAGES_PER_THREAD,
            Entity.MESSAGES: row["messages"],
            Entity.ATTACHMENTS: row["messages"] / generate.MESSAGES_PER_ATTACHMENT,
        }
        loads = {}
        for entity, count in counts.items():
            text = count * share * known["record_bytes"][entity.value]
            read = text / timing.MB * known["read_seconds_per_megabyte"][form]
            loads[entity] = timing.Load(
                count * share, text, read, max(2, round(count * share / generate.PART_ROWS[entity]))
            )
        said += timing.forecast(timing.Work(loads), place, Experience(Range.exactly(1.0))).model_seconds
    fixed = known["databases"][place.database]
    took = float(row["complete_seconds"]) - fixed["start_seconds"]["expected"] - 2 * fixed["pass_seconds"]["expected"]
    return float(max(took, 0.1) / said)


def _starting(scratch: Scratch, dump: Dump) -> dict[str, dict[str, float]]:
    """What an import takes that has next to nothing to do: the command, and each pass."""
    starts, passes = [], []
    for _ in range(STARTS):
        scratch.recreate()
        words = ("--account", ACCOUNT, "--source", f"{dump.root}/{ACCOUNT}", "--database", scratch.url)
        seconds = run_once([sys.executable, "-m", "s3import", "migrate", *words]).seconds
        with closing(open_database(scratch.url)) as database, database.read() as connection:
            runs = connection.execute(sa.select(import_runs.c.started_at, import_runs.c.finished_at)).all()
        took = [(run.finished_at - run.started_at).total_seconds() for run in runs]
        passes += took
        starts.append(seconds - sum(took))
    print(f"  {scratch.tool:24} {median(starts):6.2f} s to start, {median(passes):.2f} s a pass", file=sys.stderr)
    return {"start_seconds": _widened(starts), "pass_seconds": _widened(passes)}


def _copying(folder: Path, known: dict[str, Any]) -> dict[str, Any]:
    """What a file costs: to a folder of this machine; within an S3, which is one that answers after some time."""
    small = [copy_to_folder(folder, FILES, FILE_BYTES) / FILES for _ in range(COPIES)]
    large = copy_to_folder(folder, LARGE_FILES, LARGE_FILE_BYTES) / LARGE_FILES
    a_megabyte = max((large - median(small)) / (LARGE_FILE_BYTES - FILE_BYTES) * timing.MB, 0.0)
    a_file = [max(one - a_megabyte * FILE_BYTES / timing.MB, one / 10) for one in small]
    with late_bucket(FILES) as copy:
        in_s3 = [copy() / FILES for _ in range(COPIES)]
    print(
        f"  files {median(small) * 1000:.2f} ms each to a folder, {median(in_s3) * 1000:.2f} within S3", file=sys.stderr
    )
    return {
        "folder": {"seconds": _widened(a_file), "seconds_per_megabyte": float(f"{a_megabyte:.3g}")},
        "s3": known["s3"] | {"seconds": _widened(in_s3)},
    }


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
    if not (dump.root / dump.account / "account.json").exists():  # which is written last
        usual, generate.BODY_LENGTH = generate.BODY_LENGTH, LONG_BODY
        try:
            generate.generate(dump)
        finally:
            generate.BODY_LENGTH = usual
    return dump


def _writing(scratch: Scratch, usual: Dump, long: Dump) -> dict[str, Any]:
    """What a record costs one writer, and a megabyte: of messages from two lengths of text, of the others from one. And
    how much each further writer adds to the first."""
    gain = 0.0
    if not isinstance(scratch, SQLite):
        alone, together = (sum(one[2] for one in _write(scratch, usual, workers).values()) for workers in (1, 2))
        gain = round(min(max(alone / together - 1, 0.0), 1.0), 2)
    writers = 1 + gain * (WORKERS - 1)
    first, second = _write(scratch, usual, WORKERS), _write(scratch, long, WORKERS)
    found: dict[str, Any] = {"writers_gain": gain}
    for entity in ROW_ENTITIES:
        records, size, seconds = first[entity]
        a_megabyte = 0.0
        if entity is Entity.MESSAGES:
            others, other_size, other_seconds = second[entity]
            longer = other_size / others - size / records
            a_megabyte = max((other_seconds / others - seconds / records) / longer * timing.MB, 0.0)
        a_record = max(seconds / records - a_megabyte * size / records / timing.MB, seconds / records / 10)
        found[entity.value] = {
            "seconds_per_record": float(f"{a_record * writers:.3g}"),
            "seconds_per_megabyte": float(f"{a_megabyte * writers:.3g}"),
        }
    return found


def _write(scratch: Scratch, dump: Dump, workers: int) -> dict[Entity, tuple[int, int, float]]:
    """By entity: records, bytes of text, and the seconds of its stages."""
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
    settings = Settings(database=scratch.url, workers=workers)
    request = Request(ACCOUNT, (Pass.RECENT, Pass.REMAINING), f"{dump.root}/{ACCOUNT}")
    migrate(settings, [request], observe=observe, stop=threading.Event())
    print(f"  {scratch.tool:24} {sum(seconds.values()):6.2f} s of stages, {workers} workers", file=sys.stderr)
    return {entity: (read[entity], size[entity], seconds[entity]) for entity in ROW_ENTITIES}
