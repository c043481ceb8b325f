"""How right estimates are: six accounts that nothing was learnt from, estimated, then imported.

``python -m study.accuracy [--folder FOLDER]`` keeps a row each in ``study/results/accuracy.csv``: records and seconds,
as said and as they were. ``python -m study --render`` shows them.
"""

from __future__ import annotations

import argparse
import datetime as dt
import hashlib
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import Any

import orjson
import sqlalchemy as sa

from benchmarks.generate import ACCOUNT, Form, cached
from benchmarks.scratch import Postgres
from s3import.core.settings import Settings
from s3import.core.tables import import_parts
from s3import.operations.estimate.estimate import estimate
from s3import.writers import open_database
from study.__main__ import RESULTS, keep
from study.runs import run_once

FILE = b"x" * 20_000


@dataclass(frozen=True, slots=True)
class Case:
    """An account of so many messages; `change` makes something of the dump that it was generated as."""

    name: str
    messages: int
    form: Form
    change: Callable[[Path], None] | None = None
    with_files: bool = False


def main() -> int:
    """Estimate, import, and keep the rows. Returns the exit status: 0 where at least five of six times lie within."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--folder", type=Path, default=Path(tempfile.gettempdir()) / "s3import-study", help="keeps the dumps"
    )
    parser.add_argument("--postgres", default="postgresql://postgres@127.0.0.1:5432", help="a server, by URL")
    options = parser.parse_args()
    with Postgres(options.postgres) as scratch:
        rows = [_try(case, scratch, options.folder) for case in CASES]
    keep(RESULTS / "accuracy.csv", rows)
    return 0 if sum(row["within"] == "yes" for row in rows) >= len(rows) - 1 else 1


def _try(case: Case, scratch: Postgres, folder: Path) -> dict[str, Any]:
    root = _dump(case, folder)
    copies = folder / "copies"
    shutil.rmtree(copies, ignore_errors=True)
    to = str(copies) if case.with_files else None
    settings = Settings(source=f"{root}/{{account}}", database=scratch.url, files_to=to)
    files = ("--files-to", to) if to else ()
    scratch.recreate()
    began = time.perf_counter()
    said = estimate(settings, ACCOUNT)
    asked = time.perf_counter() - began
    words = ["--account", ACCOUNT, "--source", settings.source or "", "--database", scratch.url, *files]
    took = run_once([sys.executable, "-m", "s3import", "migrate", *words], tolerated=(3,)).seconds
    with closing(open_database(scratch.url)) as database, database.read() as connection:
        records = int(connection.execute(sa.select(sa.func.sum(import_parts.c.read_count))).scalar_one())
    assert said.complete is not None
    low, expected, high = astuple(said.complete)
    row = {
        "account": case.name,
        "measured": dt.datetime.now(dt.UTC).date().isoformat(),
        "records_said": round(sum(one.expected for one in said.records.values())),
        "records": records,
        "low_seconds": round(low, 2),
        "expected_seconds": round(expected, 2),
        "high_seconds": round(high, 2),
        "seconds": round(took, 2),
        "asked_seconds": round(asked, 2),
        "within": "yes" if low <= took <= high else "no",
    }
    print("  " + ", ".join(f"{name} {value}" for name, value in row.items()), file=sys.stderr)
    return row


def _dump(case: Case, folder: Path) -> Path:
    made = cached(folder, case.messages, case.form).root
    if case.change is None:
        return made
    changed = folder / f"{made.name}-{case.change.__name__.strip('_')}"
    if not changed.exists():
        unfinished = changed.with_suffix(".unfinished")
        shutil.rmtree(unfinished, ignore_errors=True)
        shutil.copytree(made, unfinished)
        case.change(unfinished / ACCOUNT)
        unfinished.rename(changed)
    return changed


def _spoilt(account: Path) -> None:
    """Each twentieth message has no id; none that has an attachment, which would be rejected too."""
    for path in account.glob("*/messages/*"):
        path.write_bytes(b"".join(_spoil(path.read_bytes().splitlines())))


def _spoil(lines: list[bytes]) -> Iterator[bytes]:
    for number, line in enumerate(lines):
        record = orjson.loads(line)
        if number % 20 == 1:
            del record["id"]
        yield orjson.dumps(record) + b"\n"


def _with_files(account: Path) -> None:
    """Each attachment has its file, of 20 KB."""
    for path in account.glob("*/attachments/*"):
        records = [orjson.loads(line) for line in path.read_bytes().splitlines()]
        for record in records:
            record |= {"size_bytes": len(FILE), "sha256": hashlib.sha256(FILE).hexdigest()}
            file = account / record["key"]
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(FILE)
        path.write_bytes(b"".join(orjson.dumps(record) + b"\n" for record in records))


CASES = (
    Case("1,000 messages, JSON Lines", 1_000, Form.PLAIN),
    Case("8,000 messages, Parquet", 8_000, Form.PARQUET),
    Case("40,000 messages, JSON Lines, 5 % rejects", 40_000, Form.PLAIN, _spoilt),
    Case("60,000 messages, JSON Lines, with files", 60_000, Form.PLAIN, _with_files, with_files=True),
    Case("250,000 messages, Parquet", 250_000, Form.PARQUET),
    Case("1,000,000 messages, gzip", 1_000_000, Form.GZIP),
)

if __name__ == "__main__":
    sys.exit(main())
