"""Runs `s3import` as a process of its own, and writes the small dumps it is given."""

from __future__ import annotations

import gzip
import os
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from multiprocessing.process import BaseProcess
from multiprocessing.reduction import DupFd
from pathlib import Path
from typing import Any, BinaryIO, NoReturn

import orjson

from s3import.cli import main
from tests import forks

ACCOUNT = "acme"
NOON = "2026-01-02T12:00:00Z"
KEPT = ("PATH", "HOME", "LANG", "TMPDIR")


@dataclass(frozen=True, slots=True)
class Ended:
    """What a command left behind."""

    status: int
    out: str
    err: str

    @property
    def document(self) -> Any:
        """Its stdout as the one JSON document it is."""
        return orjson.loads(self.out)

    @property
    def lines(self) -> list[Any]:
        """Its stdout as one JSON object a line."""
        return [orjson.loads(line) for line in self.out.splitlines()]


def environment(**variables: str) -> dict[str, str]:
    """Nothing of the caller's ``S3IMPORT_`` and ``AWS_`` settings, and what is given."""
    return {name: os.environ[name] for name in KEPT if name in os.environ} | variables


def command(*words: str) -> list[str]:
    return [sys.executable, "-m", "s3import", *words]


def s3import(*words: str, **variables: str) -> Ended:
    """Run a command to its end, in a forked process: the same as what `command` starts, but for the time it takes."""
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        child = started(words, variables, out.fileno(), err.fileno())
        child.join()
        return Ended(child.exitcode or 0, *(os.pread(one.fileno(), 1 << 28, 0).decode() for one in (out, err)))


@dataclass(frozen=True, slots=True)
class Running:
    """A command at work in a forked process; `out` and `err` are the ends of its pipes, as bytes."""

    process: BaseProcess
    out: BinaryIO
    err: BinaryIO

    def send_signal(self, number: int) -> None:
        os.kill(self.process.pid or 0, number)

    def ended(self, seconds: float = 120.0) -> Ended:
        """Wait for it: what it said from here on, and its exit status, negative where a signal ended it."""
        with ThreadPoolExecutor() as pool:
            out, err = pool.map(lambda pipe: pipe.read().decode(), (self.out, self.err))
        self.process.join(seconds)
        assert self.process.exitcode is not None, "it did not end in time"
        return Ended(self.process.exitcode, out, err)


@contextmanager
def running(*words: str, **variables: str) -> Iterator[Running]:
    """The command as `s3import` starts it; whatever happens, its process does not stay."""
    (out, out_end), (err, err_end) = os.pipe(), os.pipe()
    try:
        child = started(words, variables, out_end, err_end)
    finally:
        os.close(out_end)
        os.close(err_end)
    with open(out, "rb") as said, open(err, "rb") as told:  # noqa: PTH123 # they have no paths
        try:
            yield Running(child, said, told)
        finally:
            if child.is_alive():
                os.kill(child.pid or 0, signal.SIGKILL)
            child.join()


def started(
    words: Sequence[str], variables: Mapping[str, str], out: int, err: int, folder: str | None = None
) -> BaseProcess:
    """The command in a forked process, whose output and errors go into these open files, in that folder."""
    given = words, environment(**variables), _Descriptor(out), _Descriptor(err), folder or str(Path.cwd())
    child = forks.context.Process(target=_run, args=given)
    child.start()
    return child


@dataclass(frozen=True, slots=True)
class _Descriptor:
    """An open file of this process, which is handed over when a process starts, and is a number there."""

    number: int

    def __reduce__(self) -> tuple[Callable[[Any], int], tuple[Any]]:
        return _taken, (DupFd(self.number),)


def _taken(handed: Any) -> int:
    return int(handed.detach())


def _run(words: Sequence[str], variables: Mapping[str, str], out: int, err: int, folder: str) -> NoReturn:
    os.dup2(out, 1)
    os.dup2(err, 2)
    os.close(out)
    os.close(err)
    os.environ.clear()
    os.environ.update(variables)
    os.chdir(folder)
    time.tzset()
    sys.argv = ["s3import", *words]
    main()


# --- dumps ------------------------------------------------------------------------------------------------------------


def thread(number: int, account: str = ACCOUNT, **fields: Any) -> dict[str, Any]:
    return {
        "id": f"t{number}",
        "account_id": account,
        "brand_id": "b",
        "channel_id": "c",
        "status": "open",
        "created_at": NOON,
    } | fields


def message(number: int, account: str = ACCOUNT, **fields: Any) -> dict[str, Any]:
    return {
        "id": f"m{number}",
        "account_id": account,
        "thread_id": "t0",
        "kind": "email",
        "direction": "inbound",
        "created_at": NOON,
        "body": "hello",
    } | fields


def json_lines(*records: Any) -> bytes:
    """Records on a line each; bytes stand for themselves."""
    return b"".join(record if isinstance(record, bytes) else orjson.dumps(record) + b"\n" for record in records)


def account_document(account: str = ACCOUNT) -> bytes:
    channel = {"id": "c", "brand_id": "b", "kind": "email", "name": "Post"}
    return orjson.dumps({"id": account, "name": "Acme", "brands": [{"id": "b", "name": "B"}], "channels": [channel]})


@dataclass(frozen=True, slots=True)
class Dump:
    """A folder of dumps, one folder an account."""

    root: Path
    options: list[str] = field(default_factory=list)

    @property
    def source(self) -> str:
        return f"{self.root}/{{account}}"

    def put(self, key: str, body: bytes = b"", account: str = ACCOUNT) -> Path:
        """Write an object, compressed where its name says so."""
        path = self.root / account / key
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(gzip.compress(body) if path.suffix == ".gz" else body)
        return path

    def fill(self, account: str = ACCOUNT, *, bad: int = 0) -> None:
        """Both passes of a small account, with so many bad threads in the recent one."""
        broken = [thread(100 + number, account, status="lost") for number in range(bad)]
        self.put("account.json", account_document(account), account)
        self.put("recent/threads/a.jsonl", json_lines(thread(0, account), *broken), account)
        self.put("recent/messages/a.jsonl.gz", json_lines(message(0, account), message(1, account)), account)
        self.put("remaining/threads/a.jsonl", json_lines(thread(1, account)), account)
        self.put("remaining/messages/a.jsonl", json_lines(message(2, account, thread_id="t1")), account)


def migrate(dump: Dump, database_url: str, *words: str, account: str = ACCOUNT, **variables: str) -> Ended:
    """Migrate one account of the dump into the database."""
    where = ["--source", dump.source, "--database", database_url]
    return s3import("migrate", "--account", account, *where, *words, **variables)
