"""Records a real run as tests replay it: what the status document is made of, look by look, until the run has ended.

``python -m study.record OUT.json --source URI --database URL [--files-to URI] [--account A]``
"""

from __future__ import annotations

import argparse
import datetime as dt
import gzip
import os
import platform
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from itertools import groupby, pairwise
from pathlib import Path
from typing import Any

import orjson
import sqlalchemy as sa

from s3import.core.records import Entity
from s3import.core.tables import import_runs
from s3import.reporting import status_document as report
from s3import.writers import Database, open_database

LOOK_SECONDS = 0.5
MOST_SWING = 1.25  # of a recording that tells how right a time left is
RATES = ("rows_per_second", "bytes_per_second", "files_per_second")
FILES = ("files_total", "files_copied", "files_missing", "files_differ")
SLICE = ("entity", "parts_total", "parts_done", "bytes_total", "bytes_done", "read")


def main() -> int:
    """Import an account, recording its runs; the import's exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path)
    parser.add_argument("--account", default="bench")
    parser.add_argument("--source", required=True)
    parser.add_argument("--database", required=True)
    parser.add_argument("--files-to")
    parser.add_argument("--extension", default="jsonl", help="of the dump's parts")
    parser.add_argument("--workers", type=int, default=2)
    options = parser.parse_args()
    program = [sys.executable, "-m", "s3import", "migrate", "--account", options.account]
    program += ["--source", options.source, "--database", options.database, "--workers", str(options.workers)]
    program += ["--files-to", options.files_to] if options.files_to else []
    subprocess.run([*program[:3], "db", "init", "--database", options.database], check=True)
    with subprocess.Popen(program) as importing, closing(open_database(options.database)) as database:
        looks = list(_looks(database, options.account, importing))
    machine = f"{os.cpu_count()} processors, Python {platform.python_version()}"
    told = {"recorded_at": dt.datetime.now(dt.UTC).date(), "machine": machine, "database": database.dialect.name}
    told |= {"extension": options.extension, "workers": options.workers}
    runs = _by_run(looks)
    if not runs:
        print("nothing was recorded: no run of the account went through; is the database empty?", file=sys.stderr)
        return importing.returncode or 1
    options.out.write_bytes(gzip.compress(orjson.dumps({**told, "runs": runs}), mtime=0))
    for run in runs:
        found = swing(run["looks"])
        again = ": record it again while nothing else is at work" if found > MOST_SWING else ""
        print(
            f"{run['pass']}: {run['seconds']:.0f} s, slowest quarter {found:.2f} x the fastest{again}", file=sys.stderr
        )
    return importing.returncode


def _looks(database: Database, account_id: str, importing: subprocess.Popen[bytes]) -> Iterator[dict[str, Any]]:
    """One look after the other at the account's runs, the last one once the import has ended."""
    query = report.with_slices(report.runs().where(import_runs.c.account_id == account_id), sa.asc("number"))
    over = False
    while not over:
        over = importing.poll() is not None
        with database.read() as connection:
            rows = connection.execute(query).all()
        now = dt.datetime.now(dt.UTC)
        for _, of_run in groupby(rows, key=lambda row: row.run_id):
            run, *_ = slices = list(of_run)
            yield {
                "run_id": run.run_id,
                "pass": run._mapping["pass"],
                "state": run.state,
                "files_to": run.files_to,
                "started_at": run.started_at,
                "finished_at": run.finished_at,
                "at": now,
                "run": {name: getattr(run, name) for name in (*RATES, *FILES)},
                "slices": [[getattr(one, name) for name in SLICE] for one in slices if one.entity is not None],
            }
        time.sleep(LOOK_SECONDS)


def _by_run(looks: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The looks of each run that succeeded, by the seconds since it began."""
    found = []
    for run_id in dict.fromkeys(look["run_id"] for look in looks):
        mine = [look for look in looks if look["run_id"] == run_id and look["started_at"]]
        shown = [_look(look, look["started_at"]) for look in mine if look["state"] == "running"]
        if shown and mine[-1]["state"] == "succeeded":
            last, began = mine[-1], mine[-1]["started_at"]
            seconds = (last["finished_at"] - began).total_seconds()
            told = {name: last[name] for name in ("pass", "files_to")}
            found.append({**told, "seconds": round(seconds, 2), "looks": shown})
    return found


def _look(look: dict[str, Any], began: dt.datetime) -> list[Any]:
    rates = [None if value is None else round(value, 1) for value in look["run"].values()]
    return [round((look["at"] - began).total_seconds(), 2), rates, look["slices"]]


def swing(looks: list[list[Any]]) -> float:
    """How many times as long as the fastest quarter of its longest stage the slowest one took."""
    stages = [[(look[0], one[4]) for look in looks for one in look[2] if one[0] == entity] for entity in Entity]
    stages.append([(seconds, sum(numbers[-3:])) for seconds, numbers, _ in looks])
    quarters = [_quarters(stage) for stage in stages if stage and stage[-1][1]]
    longest = max(quarters, key=sum, default=[1.0])
    return max(*longest, LOOK_SECONDS) / max(min(longest), LOOK_SECONDS)


def _quarters(done: list[tuple[float, int]]) -> list[float]:
    """The seconds that each quarter of a stage took, by what was done of it when."""
    last = done[-1][1]
    began = max((seconds for seconds, number in done if number == 0), default=done[0][0])
    ends = [next(seconds for seconds, number in done if number >= last * part / 4) for part in (1, 2, 3, 4)]
    return [end - start for start, end in pairwise([began, *ends])]


if __name__ == "__main__":
    sys.exit(main())
