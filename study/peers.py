"""The same work by what one would use instead: each with its version, its command and what it leaves out."""

from __future__ import annotations

import math
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from benchmarks.generate import cached
from benchmarks.rows import exported
from benchmarks.scratch import ENTITIES, Postgres
from s3import.core.tables import metadata
from s3import.writers import open_database
from study.machine import said
from study.runs import ProgramFailed, Usage, run_once

SCRIPTS = Path(__file__).with_name("scripts")
PACKAGES = ("dlt[postgres,parquet]==1.31.0", "adbc-driver-postgresql==1.13.0", "duckdb==2.0.1")
EVERYTHING = "checks, rejects, resume, deletions, replacing older rows"
NO_EXTENSION = "its postgres extension is not in its package and would have to be downloaded"


class LeftOut(Exception):
    """A peer cannot be measured here, and why."""


@dataclass(frozen=True, slots=True)
class Peer:
    """What is used instead. `load` loads the dump's rows and gives the version, too."""

    name: str
    command: str
    leaves_out: str
    load: Callable[[], tuple[Usage, str]]


def measure(scratch: Postgres, messages: int, folder: Path, until: float) -> Iterator[dict[str, Any]]:
    """A row for s3import and each peer, on PostgreSQL; a peer that cannot be had is left out with the reason."""
    dump = cached(folder, messages)
    with exported(scratch, dump) as files:
        for peer in _peers(scratch, dump.root, files, partial(_python, folder / "peers", until)):
            row = {"peer": peer.name, "messages": messages, "command": peer.command, "leaves_out": peer.leaves_out}
            nothing = dict.fromkeys(("version", "seconds", "processor_seconds", "peak_mb", "rows"), "")
            if time.monotonic() > until:
                yield {**row, **nothing, "left_out": "no time"}
                continue
            try:
                scratch.recreate()
                usage, version = peer.load()
            except (LeftOut, ProgramFailed) as reason:
                yield {**row, **nothing, "left_out": str(reason).partition("\n")[0]}
                continue
            print(f"  {peer.name:24} {usage.seconds:7.2f} s", file=sys.stderr)
            yield {
                **row,
                "version": version,
                "seconds": round(usage.seconds, 2),
                "processor_seconds": round(usage.processor_seconds, 2),
                "peak_mb": usage.peak_bytes >> 20,
                "rows": _rows(scratch),
                "left_out": "",
            }


def _peers(scratch: Postgres, dump: Path, files: Path, python: Callable[[], str]) -> list[Peer]:
    """The slowest comes last. `python`: the program that has what they need."""
    source = f"{dump}/{{account}}"
    dlt = partial(_dlt, scratch, dump / "bench", python)
    return [
        Peer("s3import", "s3import migrate --account A --source DIR", "", partial(_s3import, scratch, source)),
        Peer(
            "psql \\copy",
            "psql -c '\\copy TABLE FROM FILE.csv (FORMAT csv)', table by table",
            f"reading JSON (the CSV is ready-made), {EVERYTHING}",
            partial(_psql, scratch, files),
        ),
        Peer(
            "SQLAlchemy script",
            "study/scripts/plain_sqlalchemy.py, 1,000 rows a statement",
            EVERYTHING,
            partial(_sqlalchemy, scratch, dump / "bench"),
        ),
        Peer(
            "pgloader",
            "pgloader FILE.load: LOAD CSV … INTO postgresql://…, table by table",
            f"reading JSON (the CSV is ready-made), {EVERYTHING}",
            partial(_pgloader, scratch, files),
        ),
        Peer("DuckDB", "INSERT INTO pg.TABLE SELECT … FROM read_json(…)", EVERYTHING, partial(_duckdb, python)),
        Peer(
            "dlt, Arrow and Parquet",
            "study/scripts/dlt_load.py DIR URL tuned",
            f"{EVERYTHING}; keys, foreign keys, indexes; everything nested (author, customer, telephony, tags)",
            partial(dlt, "tuned"),
        ),
        Peer(
            "dlt, defaults",
            "study/scripts/dlt_load.py DIR URL defaults",
            f"{EVERYTHING}; keys, foreign keys, indexes: its tables are its own",
            partial(dlt, "defaults"),
        ),
    ]


def _s3import(scratch: Postgres, source: str) -> tuple[Usage, str]:
    words = ["migrate", "--account", "bench", "--source", source, "--database", scratch.url]
    return run_once([sys.executable, "-m", "s3import", *words]), said(sys.executable, "-m", "s3import", "--version")


def _psql(scratch: Postgres, files: Path) -> tuple[Usage, str]:
    _load_parents(scratch, files)
    statements = [
        word for table in ENTITIES for word in ("-c", rf"\copy {table} FROM '{files / table}.csv' (FORMAT csv)")
    ]
    return run_once(["psql", scratch.url, "--no-psqlrc", "--quiet", *statements]), said("psql", "--version")


def _sqlalchemy(scratch: Postgres, dump: Path) -> tuple[Usage, str]:
    command = [sys.executable, str(SCRIPTS / "plain_sqlalchemy.py"), str(dump), scratch.url]
    return run_once(command), f"SQLAlchemy {sa.__version__}, psycopg"


def _dlt(scratch: Postgres, dump: Path, python: Callable[[], str], how: str) -> tuple[Usage, str]:
    program = python()
    scratch.execute(("DROP SCHEMA IF EXISTS peer CASCADE",))
    quiet = {"RUNTIME__DLTHUB_TELEMETRY": "false", "DLT_DATA_DIR": str(Path(program).parent.parent / f"dlt-{how}")}
    url = scratch.url.replace("postgres@", "postgres:postgres@")  # it wants a password, which the server need not
    command = [program, str(SCRIPTS / "dlt_load.py"), str(dump), url, how]
    return run_once(command, quiet), said(program, "-c", "import dlt; print('dlt', dlt.__version__)")


def _pgloader(scratch: Postgres, files: Path) -> tuple[Usage, str]:
    version = said("pgloader", "--version")
    if not version:
        raise LeftOut("the package pgloader is not installed")
    _load_parents(scratch, files)
    loads = []
    for table in ENTITIES:
        names = ", ".join(column.name for column in metadata.tables[table].columns)
        loads.append(
            f"LOAD CSV FROM '{files / table}.csv' ({names}) INTO {scratch.url}?{table} ({names}) "
            "WITH fields terminated by ',', fields optionally enclosed by '\"', fields escaped by double-quote;"
        )
    script = files / "study.load"
    script.write_text("\n".join(loads))
    return run_once(["pgloader", str(script)]), version


def _duckdb(python: Callable[[], str]) -> tuple[Usage, str]:
    program = python()
    done = subprocess.run(
        [program, "-c", "import duckdb; duckdb.connect().execute('LOAD postgres')"], capture_output=True, check=False
    )
    if done.returncode:
        raise LeftOut(NO_EXTENSION)
    raise LeftOut("its postgres extension is here, but the study has no statements for it yet")


def _python(environment: Path, until: float) -> str:
    """The Python of an environment with the peers' packages, made if it is not there yet. Raises: LeftOut."""
    program = environment / "bin/python"
    if not (environment / "ready").exists():
        for command in (
            [sys.executable, "-m", "venv", environment],
            [program, "-m", "pip", "install", "-q", *PACKAGES],
        ):
            _prepare([str(word) for word in command], until)
        (environment / "ready").touch()
    return str(program)


def _prepare(command: list[str], until: float) -> None:
    seconds = None if math.isinf(until) else max(until - time.monotonic(), 1.0)
    try:
        subprocess.run(command, capture_output=True, check=True, timeout=seconds)
    except subprocess.TimeoutExpired:
        raise LeftOut("no time to install its package") from None
    except subprocess.CalledProcessError:
        raise LeftOut("its package could not be installed here") from None


def _load_parents(scratch: Postgres, files: Path) -> None:
    for table in ("accounts", "brands", "channels"):
        scratch.execute((rf"\copy {table} FROM '{files / table}.csv' (FORMAT csv)",))


def _rows(scratch: Postgres) -> int:
    """How many rows there are now, wherever the peer puts them."""
    with closing(open_database(scratch.url)) as database, database.read() as connection:
        names = sa.inspect(connection).get_table_names("peer")
        schema = "peer." if names else ""
        counts = [
            connection.exec_driver_sql(f"SELECT count(*) FROM {schema}{table}").scalar_one() for table in ENTITIES
        ]
        return sum(map(int, counts))
