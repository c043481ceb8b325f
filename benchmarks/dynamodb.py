"""How fast items of DynamoDB are imported: from an export's files, and from tables beside a bare pager.

python -m benchmarks.dynamodb [--messages N] [--table-messages N] [--rounds N]

Prints a Markdown table, medians: items of messages to accepted records; a whole import into PostgreSQL, both passes of
threads, messages and attachments, start-up included; and the read units that tables counted for it. The tables are
those of dynalite where `make test` has installed it, else of moto's server.
"""

from __future__ import annotations

import argparse
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.clock import S3IMPORT, run
from benchmarks.items import ACCOUNT, Items, fill_tables, in_order, write_beside, write_exports
from benchmarks.scratch import Postgres
from s3import.core.records import HALVES, Entity, Pass, PlannedPart, Position
from s3import.core.settings import BLOCK_BYTES
from s3import.readers.dynamodb import opening
from s3import.readers.dynamodb.budget import ReadBudget
from s3import.readers.dynamodb.items import ItemSource
from s3import.readers.dynamodb.mapping import read_mapping
from s3import.transform.validators import check

DYNALITE = Path("build/dynalite/node_modules/dynalite/cli.js")
CREDENTIALS = {"AWS_ACCESS_KEY_ID": "x", "AWS_SECRET_ACCESS_KEY": "x", "AWS_DEFAULT_REGION": "us-east-1"}


class Counting(ReadBudget):
    """As much as one likes, counted."""

    def __init__(self) -> None:
        super().__init__(None)
        self.units = 0.0

    def spend(self, units: float) -> None:
        self.units += units


def main() -> int:
    """Print the table. Returns the exit status."""
    given = _options()
    print("| what | messages | seconds | a second | beside | ratio |\n|---|---|---|---|---|---|", flush=True)
    with tempfile.TemporaryDirectory(dir=given.folder) as name, Postgres(given.postgres) as scratch:
        folder = Path(name)
        mapping = folder / "mapping.toml"
        mapping.write_text(write_beside(folder / "beside"))
        for row in chain(_of_export(folder / "exports", mapping, scratch, given), _of_tables(mapping, scratch, given)):
            print(row, flush=True)
    return 0


def _of_export(folder: Path, mapping: Path, scratch: Postgres, given: argparse.Namespace) -> Iterator[str]:
    messages, rounds = given.messages, range(given.rounds)
    write_exports(folder, Items(messages), 2 * given.workers)
    read = [_read_all(str(folder), mapping, given.workers) for _ in rounds]
    seconds, processor = median(one[0] for one in read), median(one[1] for one in read)
    yield _row(
        "export: items to records", messages, seconds, f"{messages / processor:,.0f} in a second of one processor"
    )
    yield _row("export into PostgreSQL", messages, median(_import(str(folder), mapping, scratch) for _ in rounds))


def _of_tables(mapping: Path, scratch: Postgres, given: argparse.Namespace) -> Iterator[str]:
    import boto3

    messages, rounds = given.table_messages, range(given.rounds)
    with endpoint() as url:
        os.environ.update(CREDENTIALS, AWS_ENDPOINT_URL=url)
        client = boto3.client("dynamodb")
        fill_tables(client, Items(messages))
        read = [(_timed(lambda: _page_through(client))[0], _read_all("dynamodb:", mapping, 1)[0]) for _ in rounds]
        bare, ours = median(one[0] for one in read), median(one[1] for one in read)
        yield _row("tables: items to records", messages, ours, f"a bare pager: {bare:.2f} s", ours / bare)
        yield _row("tables into PostgreSQL", messages, median(_import("dynamodb:", mapping, scratch) for _ in rounds))
        ordered = mapping.with_name("in-order.toml")
        ordered.write_text(in_order(mapping.read_text()))
        for what, known in (("of that", mapping), ("of tables in order", ordered)):
            once, in_all = _units(known, passes=False), _units(known, passes=True)
            yield _row(
                f"{in_all:,.0f} read units {what}", messages, None, f"each item once: {once:,.0f}", in_all / once
            )


def _row(what: str, messages: int, seconds: float | None, beside: str = "", ratio: float | None = None) -> str:
    took = f"{seconds:.2f} | {messages / seconds:,.0f}" if seconds else " | "
    return f"| {what} | {messages:,} | {took} | {beside} | {f'{ratio:.2f}' if ratio else ''} |"


def _timed(work: Callable[[], int]) -> tuple[float, float]:
    """The seconds that work took, and those of processors, which a busy machine does not change."""
    began, used = time.perf_counter(), time.process_time()
    work()
    return time.perf_counter() - began, time.process_time() - used


def _open(uri: str, mapping: Path, budget: ReadBudget | None = None) -> ItemSource:
    return opening.open_items(uri, ACCOUNT, items=opening.Items(read_mapping(str(mapping)), budget=budget))


def _read_all(uri: str, mapping: Path, workers: int) -> tuple[float, float]:
    """How long it takes to read and check every part of messages, of whatever pass, as `_timed` tells it."""
    source = _open(uri, mapping)
    parts = [part for part in source.plan(Pass.RECENT).parts if part.entity is Entity.MESSAGES]

    def read(part: PlannedPart) -> int:
        undivided = PlannedPart(part.entity, part.key, part.stored)
        batches = source.read_part(undivided, Position(), BLOCK_BYTES)
        return sum(check(batch, Entity.MESSAGES, ACCOUNT).accepted.num_rows for batch in batches)

    with ThreadPoolExecutor(workers) as reading:
        return _timed(lambda: sum(reading.map(read, parts)))


def _import(source: str, mapping: Path, scratch: Postgres) -> float:
    """The seconds of a whole command that imports everything."""
    scratch.recreate()
    where = ("--source", source, "--mapping", mapping, "--database", scratch.url)
    return run((S3IMPORT, "migrate", "--account", ACCOUNT, *where)).seconds


def _units(mapping: Path, *, passes: bool) -> float:
    """The read units that tables count for both passes of an import, or for reading everything once."""
    budget = Counting()
    source = _open("dynamodb:", mapping, budget)
    window = source.window()
    for pass_ in HALVES if passes else HALVES[:1]:
        for part in source.plan(pass_, lambda: window).parts:
            one = part if passes else PlannedPart(part.entity, part.key, part.stored)
            for _ in source.read_part(one, Position(), BLOCK_BYTES):
                pass
    return budget.units


def _page_through(client: Any) -> int:
    pages = client.get_paginator("query").paginate(
        TableName="messages",
        KeyConditionExpression="accountId = :a",
        ExpressionAttributeValues={":a": {"S": ACCOUNT}},
    )
    return sum(len(page["Items"]) for page in pages)


@contextmanager
def endpoint() -> Iterator[str]:
    """A DynamoDB in a process of its own, so that it does not share our interpreter's lock."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    node = shutil.which("node")
    moto = (Path(sys.executable).with_name("moto_server"), "-p", port)
    dynalite = (node, DYNALITE, "--host", "127.0.0.1", "--port", port, "--createTableMs", "0")
    name, command = ("dynalite", dynalite) if node and DYNALITE.exists() else ("moto", moto)
    print(f"the tables are those of {name}", file=sys.stderr)
    server = subprocess.Popen([str(word) for word in command], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        _wait_for(int(port))
        yield f"http://127.0.0.1:{port}"
    finally:
        server.kill()
        server.wait()


def _wait_for(port: int) -> None:
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        with socket.socket() as knocking:
            if knocking.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    raise TimeoutError("the tables did not come up")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.dynamodb", description=__doc__)
    parser.add_argument("--messages", type=int, default=1_000_000, help="in the export; 1/20 threads, 1/10 attachments")
    parser.add_argument("--table-messages", type=int, default=10_000, help="in the tables")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--folder", type=Path, help="where the export is written, and removed again")
    parser.add_argument("--postgres", default="postgresql://postgres@127.0.0.1:5432", help="a server, by URL")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
