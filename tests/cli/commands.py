"""Runs `s3import` as a process of its own, and writes the small dumps it is given."""

from __future__ import annotations

import gzip
import os
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn

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
    with tempfile.TemporaryDirectory() as folder:
        out, err = Path(folder, "out"), Path(folder, "err")
        child = forks.context.Process(target=_run, args=(words, environment(**variables), out, err))
        child.start()
        child.join()
        return Ended(child.exitcode or 0, out.read_bytes().decode(), err.read_bytes().decode())


def _run(words: Sequence[str], variables: Mapping[str, str], out: Path, err: Path) -> NoReturn:
    for path, descriptor in ((out, 1), (err, 2)):
        os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT), descriptor)
    os.environ.clear()
    os.environ.update(variables)
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
