"""Polls /check-migration while `s3import serve` imports a dump: how long answers take, what polling costs the import.

`python -m benchmarks.polling --messages 1000000 --rate 100` compares imports that are polled so often with imports that
are polled once a second, in turns, server, worker, database and poller on the same machine.
"""

from __future__ import annotations

import argparse
import asyncio
import datetime as dt
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median, quantiles
from typing import Any
from urllib.request import Request, urlopen

from benchmarks.clock import S3IMPORT
from benchmarks.generate import ACCOUNT, cached
from benchmarks.scratch import Postgres

IDLE_RATE = 1.0
CONNECTIONS = 64
MOST_SECONDS = 600.0  # of one import
Document = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Measured:
    """What one import took, and what each answer to a poll did: seconds from when it was due to be sent."""

    import_seconds: float
    answer_seconds: list[float]

    def percentile(self, number: int) -> float:
        return quantiles(self.answer_seconds, n=100)[number - 1] * 1000


def main() -> None:
    """Print the table; what goes on meanwhile goes to stderr."""
    options = _options()
    options.folder.mkdir(parents=True, exist_ok=True)
    dump = cached(options.folder, options.messages)
    rates = (IDLE_RATE, options.rate)
    measured: dict[float, list[Measured]] = {rate: [] for rate in rates}
    with Postgres(options.postgres) as scratch:
        for number in range(options.rounds):
            for rate in rates:
                scratch.recreate()
                with serving(scratch.url, dump.source) as port:
                    measured[rate].append(asyncio.run(Poller(port, rate).watch()))
                print(f"  {number + 1}/{options.rounds} {rate:g}/s: {_line(measured[rate][-1:])}", file=sys.stderr)
    print("| polls a second | import, s | answer p50, ms | p99, ms | longest, ms |\n|---|---|---|---|---|")
    for rate, runs in measured.items():
        print(f"| {rate:g} | {_line(runs)} |")


def _line(runs: list[Measured]) -> str:
    seconds = median(run.import_seconds for run in runs)
    together = Measured(seconds, [answer for run in runs for answer in run.answer_seconds])
    longest = max(together.answer_seconds) * 1000
    return f"{seconds:.2f} | {together.percentile(50):.1f} | {together.percentile(99):.1f} | {longest:.0f}"


@contextmanager
def serving(database: str, source: str) -> Iterator[int]:
    """The port of `s3import serve` over that database."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = int(free.getsockname()[1])
    command = [str(S3IMPORT), "serve", "--port", str(port), "--database", database, "--source", source]
    environment = {name: value for name, value in os.environ.items() if name != "S3IMPORT_API_TOKENS"}
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=environment)
    try:
        _wait_until_ready(port, process)
        yield port
    finally:
        process.terminate()
        process.wait()


def _wait_until_ready(port: int, process: subprocess.Popen[bytes]) -> None:
    for _ in range(300):
        if process.poll() is not None:
            raise RuntimeError(f"s3import serve ended with exit {process.returncode}")
        try:
            urlopen(f"http://127.0.0.1:{port}/health", timeout=1).close()
        except OSError:
            time.sleep(0.1)
        else:
            return
    raise RuntimeError("s3import serve does not get ready")


class Poller:
    """Asks for a migration and polls its status at a steady rate, however long answers take."""

    def __init__(self, port: int, rate: float) -> None:
        self._port = port
        self._seconds = 1 / rate
        self._free: asyncio.Queue[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = asyncio.Queue()
        self._answers: list[float] = []
        self._document: Document = {}

    async def watch(self) -> Measured:
        """See the import through to its end."""
        for _ in range(CONNECTIONS):
            self._free.put_nowait(await asyncio.open_connection("127.0.0.1", self._port))
        await asyncio.to_thread(self._start)
        due = time.perf_counter()
        async with asyncio.timeout(MOST_SECONDS), asyncio.TaskGroup() as polls:
            while not self._ended():
                polls.create_task(self._poll(due))
                due += self._seconds
                await asyncio.sleep(max(0.0, due - time.perf_counter()))
        return Measured(_import_seconds(self._document), self._answers)

    def _start(self) -> None:
        """Create the account, whose brands and channels come with the dump, and ask for its migration."""
        for path, body in (("accounts", {"id": ACCOUNT}), ("migrate", {"account_id": ACCOUNT})):
            headers = {"Content-Type": "application/json"}
            urlopen(Request(f"http://127.0.0.1:{self._port}/{path}", json.dumps(body).encode(), headers)).close()

    async def _poll(self, due: float) -> None:
        reader, writer = await self._free.get()
        writer.write(f"GET /check-migration?account_id={ACCOUNT} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        head = await reader.readuntil(b"\r\n\r\n")
        length = int(head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0])
        body = await reader.readexactly(length)
        self._answers.append(time.perf_counter() - due)
        self._free.put_nowait((reader, writer))
        self._document = json.loads(body)

    def _ended(self) -> bool:
        passes = self._document.get("passes", {}).values()
        if any(shown and shown["state"] == "failed" for shown in passes):
            raise RuntimeError(f"the import failed: {json.dumps(self._document)[:2000]}")
        return bool(passes) and all(shown and shown["state"] == "succeeded" for shown in passes)


def _import_seconds(document: Document) -> float:
    """From the request to the end of the last pass."""
    passes = document["passes"].values()
    return max(_moment(shown["finished_at"]) for shown in passes) - min(
        _moment(shown["requested_at"]) for shown in passes
    )


def _moment(text: str) -> float:
    return dt.datetime.fromisoformat(text).timestamp()


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.polling", description=__doc__)
    parser.add_argument("--messages", type=int, default=1_000_000)
    parser.add_argument("--rate", type=float, default=100.0, help="polls a second")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--folder", type=Path, default=Path(tempfile.gettempdir()) / "s3import-bench")
    parser.add_argument("--postgres", default="postgresql://postgres@127.0.0.1:5432", help="a server, by URL")
    return parser.parse_args()


if __name__ == "__main__":
    main()
