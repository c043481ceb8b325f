"""Measures how long imports take here, beside what one would use instead, and shows it in docs/explanation/timing.md.

``make study`` takes hours, ``make study ARGS=--quick`` under five minutes, ``ARGS="--minutes 20"`` as long as that;
``--render`` only makes the page again.
"""

from __future__ import annotations

import argparse
import csv
import json
import math
import os
import signal
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from benchmarks.scratch import Postgres
from study import coefficients, page
from study.dumps import SOURCES
from study.machine import describe
from study.runs import DATABASES, cells, measure, scratches_of

Rows = list[dict[str, Any]]

RESULTS = Path("study/results")
DOCS = Path("docs/explanation")
QUICK_SECONDS = 270.0
PEERS_SECONDS = 115.0  # kept for them, where the time is limited
QUICK_MESSAGES, MESSAGES = 50_000, 1_000_000  # of what peers load
LEARNT_MESSAGES = 100_000  # of what the coefficients are made of


def main() -> int:
    """Measure, keep the results, draw them. Returns the exit status."""
    options = _options()
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # scratch databases are dropped either way
    if not options.render:
        began = time.monotonic()
        options.folder.mkdir(parents=True, exist_ok=True)
        seconds = QUICK_SECONDS if options.quick else math.inf if options.minutes is None else 60 * options.minutes
        _study(options, began + seconds)
        print(f"measured in {time.monotonic() - began:.0f} s", file=sys.stderr)
    render()
    return 0


def _study(options: argparse.Namespace, until: float) -> None:
    RESULTS.mkdir(parents=True, exist_ok=True)
    with ExitStack() as stack:
        scratches = scratches_of(options.postgres, options.mariadb, options.folder)
        for scratch in scratches.values():
            stack.enter_context(scratch)
            scratch.recreate()
        machine = describe([(name, scratch.url) for name, scratch in scratches.items()])
        (RESULTS / "machine.json").write_text(json.dumps(machine, indent=2) + "\n")
        if options.learn:
            began = time.monotonic()
            coefficients.learn(scratches, options.folder, LEARNT_MESSAGES, machine["date"])
            until += time.monotonic() - began
        peers_at = until - PEERS_SECONDS
        runs = list(measure(list(cells(quick=options.quick)), scratches, options.folder, peers_at))
        keep(RESULTS / "runs.csv", sorted(runs, key=_usual_order))
        if options.learn:
            coefficients.correct(runs, max(2, os.cpu_count() or 1))
        with Postgres(options.postgres) as scratch:
            size = MESSAGES if math.isinf(until) else QUICK_MESSAGES
            from study import peers

            keep(RESULTS / "peers.csv", list(peers.measure(scratch, size, options.folder, until)))


def render() -> None:
    """Draw what is kept, and write the page."""
    machine, runs, peers, accuracy = kept()
    (DOCS / "timing.md").write_text(page.render(machine, runs, peers, accuracy))
    try:
        from study import plots
    except ModuleNotFoundError:
        print("the plots need matplotlib: pip install -e '.[study]'", file=sys.stderr)
        return
    plots.draw(runs, peers, DOCS / "timing")


def kept() -> tuple[dict[str, str], Rows, Rows, Rows]:
    """The results of the last study: of what machine, the runs, the peers, and how right estimates were."""
    return json.loads((RESULTS / "machine.json").read_text()), _rows("runs"), _rows("peers"), _rows("accuracy")


def _rows(name: str) -> Rows:
    """None where that was not measured yet."""
    path = RESULTS / f"{name}.csv"
    return list(csv.DictReader(path.open())) if path.exists() else []


def _usual_order(row: dict[str, Any]) -> tuple[int, int, int]:
    return row["messages"], SOURCES.index(row["source"]), DATABASES.index(row["database"])


def keep(path: Path, rows: Sequence[dict[str, Any]]) -> None:
    """Write the rows as CSV."""
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, rows[0].keys(), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make study", description=__doc__)
    limits = parser.add_mutually_exclusive_group()
    limits.add_argument("--quick", action="store_true", help="under five minutes: what fits, smallest first")
    limits.add_argument("--minutes", type=float, metavar="N", help="about so many: what fits, sizes in turn")
    parser.add_argument("--render", action="store_true", help="measure nothing, make the page and its plots again")
    parser.add_argument("--learn", action="store_true", help="write the coefficients that estimates begin with, too")
    parser.add_argument(
        "--folder", type=Path, default=Path(tempfile.gettempdir()) / "s3import-study", help="keeps the dumps"
    )
    parser.add_argument("--postgres", default="postgresql://postgres@127.0.0.1:5432", help="a server, by URL")
    parser.add_argument("--mariadb", default="mysql://root@127.0.0.1:3306", help="a server, by URL")
    return parser.parse_args()


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
