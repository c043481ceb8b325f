"""What is measured: each function fills some rows of the table."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from benchmarks.clock import S3IMPORT, Command, Timing, alternate, run
from benchmarks.generate import Dump, Form, cached, cached_accounts
from benchmarks.scratch import FORGET, MariaDB, Postgres, Scratch, SQLite
from s3import.console.exits import SOME_REJECTED

SMALL_MESSAGES = 100
SMALL_ACCOUNTS = 200
STARTS = 7  # start-up times vary more than long runs


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table: what was measured, the figure, what it was compared with, and what the issue asks for."""

    what: str
    measured: str
    beside: str = ""
    ratio: float | None = None
    target: str = ""

    def markdown(self) -> str:
        ratio = "" if self.ratio is None else f"{self.ratio:.2f}"
        return f"| {self.what} | {self.measured} | {self.beside} | {ratio} | {self.target} |"


@dataclass(frozen=True, slots=True)
class Bench:
    """How large, how often, and where. `folder` keeps the dumps from one time to the next."""

    folder: Path
    messages: int
    rounds: int
    postgres: str
    mariadb: str

    def dump(self, form: Form = Form.PLAIN) -> Dump:
        return cached(self.folder, self.messages, form)


def migrate(scratch: Scratch, dump: Dump, accounts: tuple[str, ...] = (), *, keys: str = "auto") -> Timing:
    """The whole process, both passes, start-up included."""
    named = [word for account in accounts or (dump.account,) for word in ("--account", account)]
    command: Command = (S3IMPORT, "migrate", *named, "--source", dump.source, "--database", scratch.url)
    return run(command, environment={"S3IMPORT_KEYS": keys})


def afresh(scratch: Scratch, work: Callable[[], Timing]) -> Callable[[], Timing]:
    """The work, each time on empty tables; emptying them is not timed."""

    def done() -> Timing:
        scratch.recreate()
        return work()

    return done


@contextmanager
def exported(scratch: Scratch, dump: Dump) -> Iterator[Path]:
    """A folder with the dump's rows as files that the database's own tool loads."""
    with tempfile.TemporaryDirectory(prefix="s3import-bench-") as name:
        scratch.recreate()
        migrate(scratch, dump)
        scratch.export(Path(name))
        yield Path(name)


def postgres(bench: Bench) -> Iterator[Row]:
    """`s3import migrate`, keys in sets and in rows, beside `psql \\copy` of ready-made CSV, in one connection and in
    two."""
    dump = bench.dump()
    with Postgres(bench.postgres) as scratch, exported(scratch, dump) as files:
        contenders = {
            "psql \\copy": afresh(scratch, partial(scratch.load, files)),
            "sets": afresh(scratch, partial(migrate, scratch, dump, keys="sets")),
            "rows": afresh(scratch, partial(migrate, scratch, dump, keys="rows")),
            "psql \\copy, two connections": afresh(scratch, partial(scratch.load_by_two, files)),
        }
        timings = alternate(contenders, bench.rounds)
    for keys, targets in (("sets", ("at most 0.64", "at most 1.05")), ("rows", ("at most 0.69", "at most 1.12"))):
        for name, target in zip(("psql \\copy", "psql \\copy, two connections"), targets, strict=True):
            yield _compared(f"PostgreSQL, keys in {keys}", timings[keys], name, timings[name], target)


def formats(bench: Bench) -> Iterator[Row]:
    """gzip and Parquet beside plain JSON Lines."""
    with Postgres(bench.postgres) as scratch:
        contenders = {str(form): afresh(scratch, partial(migrate, scratch, bench.dump(form))) for form in Form}
        timings = alternate(contenders, bench.rounds)
    plain = timings[Form.PLAIN]
    yield _compared("gzip parts", timings[Form.GZIP], "plain JSON Lines", plain, "at most 1.10")
    yield _compared("Parquet parts", timings[Form.PARQUET], "plain JSON Lines", plain, "at most 0.85")


def again(bench: Bench) -> Iterator[Row]:
    """The same dump a second time, into the full tables."""
    with Postgres(bench.postgres) as scratch:

        def second() -> Timing:
            scratch.execute(FORGET)
            return migrate(scratch, bench.dump())

        contenders = {"first": afresh(scratch, partial(migrate, scratch, bench.dump())), "second": second}
        timings = alternate(contenders, bench.rounds)
    yield _compared("second import, all `unchanged`", timings["second"], "the first", timings["first"], "at most 0.65")


def verify(bench: Bench) -> Iterator[Row]:
    """`s3import verify` of what was just imported, on every database."""
    dump = bench.dump()
    for database in (Postgres(bench.postgres), MariaDB(bench.mariadb), SQLite(bench.folder)):
        with database as scratch:
            contenders: dict[str, Callable[[], Timing]] = {
                "migrate": afresh(scratch, partial(migrate, scratch, dump)),
                "verify": partial(run, (S3IMPORT, "verify", "--account", dump.account, "--database", scratch.url)),
            }
            timings = alternate(contenders, bench.rounds)
        what = f"{type(database).__name__}: verify"
        yield _compared(what, timings["verify"], "migrate", timings["migrate"], "at most 1.00")


def validate(bench: Bench) -> Iterator[Row]:
    """`s3import validate`, which finds that the dump comes without its files."""
    dump = bench.dump()
    command = (S3IMPORT, "validate", dump.source, "--account", dump.account)
    timing = alternate({"validate": partial(run, command, status=SOME_REJECTED)}, bench.rounds)["validate"]
    measured = f"{timing.seconds:.1f} s, {timing.peak_bytes >> 20} MB: {bench.messages / timing.seconds:,.0f} a second"
    yield Row("validate", measured, target="at least 100,000 a second")


def mariadb(bench: Bench) -> Iterator[Row]:
    """`s3import migrate` beside LOAD DATA LOCAL INFILE of ready-made files."""
    with MariaDB(bench.mariadb) as scratch:
        yield _beside_its_tool("MariaDB", scratch, bench, "at most 0.75")


def sqlite(bench: Bench) -> Iterator[Row]:
    """`s3import migrate` beside sqlite3's .import of ready-made CSV, which checks no foreign keys."""
    with SQLite(bench.folder) as scratch:
        yield _beside_its_tool("SQLite", scratch, bench, "at most 1.60")


def memory(bench: Bench) -> Iterator[Row]:
    """Peak memory of dumps of 100,000 messages and of the chosen size."""
    with Postgres(bench.postgres) as scratch:
        for messages in sorted({100_000, bench.messages}):
            peak = afresh(scratch, partial(migrate, scratch, cached(bench.folder, messages)))().peak_bytes
            yield Row(f"peak memory, {messages:,} messages", f"{peak >> 20} MB", target="at most 400 MB")


def latency(bench: Bench) -> Iterator[Row]:
    """What an operator waits for: a small dump, the help, the status."""
    dump = cached(bench.folder, SMALL_MESSAGES)
    with Postgres(bench.postgres) as scratch:
        status = (S3IMPORT, "status", "--account", dump.account, "--database", scratch.url)
        contenders: dict[str, Callable[[], Timing]] = {
            f"a dump of {SMALL_MESSAGES} messages": afresh(scratch, partial(migrate, scratch, dump)),
            "`s3import status`": partial(run, status),
            "`s3import --help`": partial(run, (S3IMPORT, "--help")),
        }
        timings = alternate(contenders, max(STARTS, bench.rounds))
    for (name, timing), target in zip(timings.items(), (1.5, 0.8, 0.3), strict=True):
        yield Row(name, f"{timing.seconds:.2f} s", target=f"under {target} s")


def accounts(bench: Bench) -> Iterator[Row]:
    """Many small accounts in one command."""
    dump, names = cached_accounts(bench.folder, SMALL_ACCOUNTS, SMALL_MESSAGES)
    with Postgres(bench.postgres) as scratch:
        contender = afresh(scratch, partial(migrate, scratch, dump, tuple(names)))
        seconds = alternate({"accounts": contender}, bench.rounds)["accounts"].seconds
    what = f"{SMALL_ACCOUNTS} accounts of {SMALL_MESSAGES} messages, one command"
    yield Row(what, f"{seconds:.1f} s: {SMALL_ACCOUNTS / seconds:.0f} accounts a second", target="at least 20")


def _beside_its_tool(database: str, scratch: Scratch, bench: Bench, target: str) -> Row:
    dump = bench.dump()
    with exported(scratch, dump) as files:
        contenders = {
            scratch.tool: afresh(scratch, partial(scratch.load, files)),
            "s3import": afresh(scratch, partial(migrate, scratch, dump)),
        }
        timings = alternate(contenders, bench.rounds)
    return _compared(database, timings["s3import"], scratch.tool, timings[scratch.tool], target)


def _compared(what: str, ours: Timing, name: str, theirs: Timing, target: str) -> Row:
    measured = f"{ours.seconds:.1f} s, {ours.peak_bytes >> 20} MB"
    return Row(what, measured, f"{name}: {theirs.seconds:.1f} s", ours.seconds / theirs.seconds, target)


ROWS: dict[str, Callable[[Bench], Iterator[Row]]] = {
    measure.__name__: measure
    for measure in (postgres, formats, again, verify, validate, mariadb, sqlite, memory, latency, accounts)
}
"""What can be asked for by name."""
