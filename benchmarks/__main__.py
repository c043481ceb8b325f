"""Measures and prints a Markdown table; `make bench ARGS="--messages 100000 --only postgres,latency"` chooses."""

from __future__ import annotations

import argparse
import os
import platform
import signal
import sys
import tempfile
from pathlib import Path

from benchmarks.rows import ROWS, Bench


def main() -> int:
    """Print the table row by row; what goes on meanwhile goes to stderr. Returns the exit status."""
    options = _options()
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # scratch databases are dropped either way
    bench = Bench(options.folder, options.messages, options.rounds, options.postgres, options.mariadb)
    bench.folder.mkdir(parents=True, exist_ok=True)
    machine = f"{os.cpu_count()} cores, Python {platform.python_version()}"
    print(f"{bench.messages:,} messages; {machine}; medians of {bench.rounds}\n")
    print("| what | measured | beside | ratio | asked for |\n|---|---|---|---|---|", flush=True)
    for name in options.only:
        print(f"{name} …", file=sys.stderr)
        for row in ROWS[name](bench):
            print(row.markdown(), flush=True)
    return 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parser.add_argument("--messages", type=int, default=1_000_000, help="with 1/20 as many threads, 1/10 attachments")
    parser.add_argument("--rounds", type=int, default=3, help="how often each contender runs, in turns")
    parser.add_argument("--only", type=_names, default=list(ROWS), help=f"some of {','.join(ROWS)}")
    parser.add_argument(
        "--folder", type=Path, default=Path(tempfile.gettempdir()) / "s3import-bench", help="keeps the dumps"
    )
    parser.add_argument("--postgres", default="postgresql://postgres@127.0.0.1:5432", help="a server, by URL")
    parser.add_argument("--mariadb", default="mysql://root@127.0.0.1:3306", help="a server, by URL")
    return parser.parse_args()


def _names(text: str) -> list[str]:
    names = text.split(",")
    if unknown := set(names) - ROWS.keys():
        raise argparse.ArgumentTypeError(f"no such rows: {', '.join(sorted(unknown))}")
    return names


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
