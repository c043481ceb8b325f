"""One import after the other, each as a process of its own on an empty database."""

from __future__ import annotations

import datetime as dt
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from benchmarks.scratch import MariaDB, Postgres, Scratch, SQLite
from s3import.core.tables import import_parts, import_runs
from s3import.writers import open_database
from study.dumps import SOURCES, TABLE_MESSAGES, Source, is_there, source_of

DATABASES = ("PostgreSQL", "MariaDB", "SQLite")
SIZES = (100, 10_000, 100_000, 1_000_000, 10_000_000)
QUICK_SIZES = SIZES[:4]
LARGE = 1_000_000  # from here on a quick study imports plain JSON Lines into PostgreSQL alone
A_MESSAGE = {"PostgreSQL": 30e-6, "MariaDB": 60e-6, "SQLite": 40e-6}  # seconds, about: for planning
A_RUN = 2.0
LOOK_SECONDS = 0.02
A_DUMP = 45e-6  # seconds to write a message of a dump


class ProgramFailed(RuntimeError):
    """A program that was measured has failed: how, in a line, and what it said."""


@dataclass(frozen=True, slots=True)
class Cell:
    """What is measured."""

    messages: int
    source: str
    database: str

    @property
    def about_seconds(self) -> float:
        return self.messages * A_MESSAGE[self.database] + A_RUN


@dataclass(frozen=True, slots=True)
class Usage:
    """What a process took."""

    seconds: float
    peak_bytes: int
    processor_seconds: float


def cells(*, quick: bool) -> Iterator[Cell]:
    """What is measured, the smallest first. Of a quick study, which has no time for all of it: each database, then each
    source into PostgreSQL, a large account, and what else there is time for."""
    found = [
        Cell(messages, source, database)
        for messages in (QUICK_SIZES if quick else SIZES)
        for source in SOURCES
        for database in DATABASES
        if source != SOURCES[-1] or messages <= (SIZES[0] if quick else TABLE_MESSAGES)
        if not quick or messages < LARGE or (source, database) == (SOURCES[0], DATABASES[0])
    ]
    return iter(sorted(found, key=_turn) if quick else found)


def _turn(cell: Cell) -> int:
    if cell.messages >= LARGE:
        return 2
    return 0 if cell.source == SOURCES[0] else 1 if cell.database == DATABASES[0] else 3


def measure(
    cell_list: list[Cell], scratches: dict[str, Scratch], folder: Path, until: float
) -> Iterator[dict[str, Any]]:
    """A row for each cell; those for which there is no time have none but the reason."""
    for (messages, source), group in groupby(cell_list, key=lambda cell: (cell.messages, cell.source)):
        mine = list(group)
        dump_seconds = 0.0 if is_there(source, messages, folder) else messages * A_DUMP
        if time.monotonic() + dump_seconds + min(cell.about_seconds for cell in mine) > until:
            yield from (_row(cell, left_out="no time") for cell in mine)
            continue
        with source_of(source, messages, folder) as where:
            for cell in mine:
                if time.monotonic() + cell.about_seconds > until:
                    yield _row(cell, left_out="no time")
                else:
                    yield _measured(cell, scratches[cell.database], where)


def _measured(cell: Cell, scratch: Scratch, where: Source) -> dict[str, Any]:
    scratch.recreate()
    began = dt.datetime.now(dt.UTC)
    usage = run_once(
        [
            sys.executable,
            "-m",
            "s3import",
            "migrate",
            "--account",
            where.account,
            *where.words,
            "--database",
            scratch.url,
        ],
        dict(where.environment),
    )
    with closing(open_database(scratch.url)) as database, database.read() as connection:
        ended = dict(connection.execute(sa.select(import_runs.c["pass"], import_runs.c.finished_at)).tuples().all())
        read, rejected = connection.execute(
            sa.select(sa.func.sum(import_parts.c.read_count), sa.func.sum(import_parts.c.rejected_count))
        ).one()
    row = {
        "usable_seconds": round((ended["recent"] - began).total_seconds(), 2),
        "complete_seconds": round(usage.seconds, 2),
        "peak_mb": usage.peak_bytes >> 20,
        "processor_seconds": round(usage.processor_seconds, 2),
        "records": int(read),
        "rejects": int(rejected),
    }
    print(f"  {cell.messages:>10,} {cell.source:16} {cell.database:11} {usage.seconds:7.2f} s", file=sys.stderr)
    return {**_row(cell), **row}


def _row(cell: Cell, left_out: str = "") -> dict[str, Any]:
    nothing = dict.fromkeys(
        ("usable_seconds", "complete_seconds", "peak_mb", "processor_seconds", "records", "rejects"), ""
    )
    named = {"messages": cell.messages, "source": cell.source, "database": cell.database}
    return {**named, **nothing, "left_out": left_out}


def run_once(
    command: list[str], environment: dict[str, str] | None = None, *, tolerated: tuple[int, ...] = ()
) -> Usage:
    """Run a program to its end. Raises: ProgramFailed with the end of what it said, where it fails with an exit status
    that is not `tolerated`."""
    with tempfile.TemporaryFile("w+b") as output:
        began = time.perf_counter()
        process = subprocess.Popen(
            command, env={**os.environ, **(environment or {})}, stdout=output, stderr=output, stdin=subprocess.DEVNULL
        )
        peak_bytes = 0
        while (ended := os.wait4(process.pid, os.WNOHANG))[0] == 0:
            peak_bytes = max(peak_bytes, _peak_bytes(process.pid))
            time.sleep(LOOK_SECONDS)
        _, status, usage = ended
        seconds = time.perf_counter() - began
        process.returncode = os.waitstatus_to_exitcode(status)
        output.seek(0)
        if process.returncode and process.returncode not in tolerated:
            said = output.read()[-1500:].decode(errors="replace")
            raise ProgramFailed(f"it ended with exit status {process.returncode} here\n{command[:6]}\n{said}")
    return Usage(seconds, peak_bytes, usage.ru_utime + usage.ru_stime)


def _peak_bytes(pid: int) -> int:
    """The most that the process has held so far. What `wait4` tells is never less than its parent's."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM")), 0)


def scratches_of(postgres: str, mariadb: str, folder: Path) -> dict[str, Scratch]:
    """The databases, by name."""
    found: dict[str, Callable[[], Scratch]] = {
        "PostgreSQL": lambda: Postgres(postgres),
        "MariaDB": lambda: MariaDB(mariadb),
        "SQLite": lambda: SQLite(folder),
    }
    return {name: make() for name, make in found.items()}
