"""Makes a dump of any size by seed: random ids, a fifth of it recent, several parts per entity, kept for the next time.

For every 20 messages there is one thread, for every 10 one attachment; a million messages are about 710 MB of JSON
Lines. ``python -m benchmarks.generate FOLDER --messages N --form plain|gzip|parquet`` makes one by hand.
"""

from __future__ import annotations

import argparse
import datetime as dt
import gzip
import math
import random
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from itertools import islice
from pathlib import Path
from typing import Any

import orjson
import pyarrow as pa
import pyarrow.json as pj
import pyarrow.parquet as pq

from s3import.core.records import ROW_ENTITIES, SCHEMAS, TIMESTAMP, Entity, Pass

Record = dict[str, Any]

ACCOUNT = "bench"
SEED = 20261122
MESSAGES_PER_THREAD = 20
MESSAGES_PER_ATTACHMENT = 10
RECENT_SHARE = 0.2
PART_ROWS = {Entity.THREADS: 10_000, Entity.MESSAGES: 100_000, Entity.ATTACHMENTS: 20_000}
LEAST_PARTS = 2
SMALL_ROWS = 1000  # fewer than these make one part, as any writer would have it
LEAST_MESSAGES = 50  # of an account, where sizes are mixed
BODY_LENGTH = 540  # characters, at most
CHUNK_ROWS = 10_000  # written, or turned into a row group, at once
KINDS = ("email",) * 5 + ("chat",) * 4 + ("sms", "call", "whatsapp", "note")
STATUSES = ("open", "pending", "resolved", "resolved", "archived")
PERIODS = {  # the first moment of a pass, and how many seconds it covers
    Pass.RECENT: (dt.datetime(2026, 10, 1, tzinfo=dt.UTC), 50 * 86_400),
    Pass.REMAINING: (dt.datetime(2021, 1, 1, tzinfo=dt.UTC), 2_000 * 86_400),
}


class Form(StrEnum):
    """How the parts are stored."""

    PLAIN = "plain"
    GZIP = "gzip"
    PARQUET = "parquet"


EXTENSIONS = {Form.PLAIN: ".jsonl", Form.GZIP: ".jsonl.gz", Form.PARQUET: ".parquet"}


@dataclass(frozen=True, slots=True)
class Dump:
    """A dump below `root`, one folder per account."""

    root: Path
    messages: int
    form: Form = Form.PLAIN
    account: str = ACCOUNT

    @property
    def source(self) -> str:
        return f"{self.root}/{{account}}"


def cached(folder: Path, messages: int, form: Form = Form.PLAIN) -> Dump:
    """The dump of that size and form below `folder`, made if it is not there yet.

    A process of its own makes it: the peak memory of whoever starts programs would count as theirs.
    """
    dump = Dump(folder / f"{form}-{messages}", messages, form)
    if not dump.root.exists():
        make = (sys.executable, "-m", "benchmarks.generate", folder, "--messages", str(messages), "--form", form)
        subprocess.run(make, stdout=subprocess.DEVNULL, check=True)
    return dump


def cached_accounts(folder: Path, accounts: int, messages: int) -> tuple[Dump, list[str]]:
    """Many small dumps below one root, and the ids of their accounts."""
    names = [f"bench-{number:03d}" for number in range(accounts)]
    root = folder / f"{accounts}-accounts-of-{messages}"
    for name in names:
        if not (root / name / "account.json").exists():
            generate(Dump(root, messages, account=name))
    return Dump(root, messages), names


def cached_mixture(folder: Path, accounts: int, messages: int) -> tuple[Dump, list[str]]:
    """Accounts of mixed sizes below one root, so many messages in all, and their ids: the largest first."""
    names = [f"bench-{number:03d}" for number in range(accounts)]
    root = folder / f"{accounts}-accounts-with-{messages}"
    for name, size in zip(names, zipf_sizes(accounts, messages), strict=True):
        if not (root / name / "account.json").exists():
            generate(Dump(root, size, account=name))
    return Dump(root, messages), names


def zipf_sizes(accounts: int, messages: int) -> list[int]:
    """The messages of each account: the second has half as many as the first, the third a third, as Zipf's law has it;
    none fewer than `LEAST_MESSAGES`, and all together so many, which the first makes up for."""
    unit = messages / sum(1 / rank for rank in range(1, accounts + 1))
    _, *others = (max(round(unit / rank), LEAST_MESSAGES) for rank in range(1, accounts + 1))
    return [max(messages - sum(others), LEAST_MESSAGES), *others]


def cached_parts(folder: Path, parts: int) -> Dump:
    """An account whose recent pass is so many parts of one thread each."""
    dump = Dump(folder / f"{parts}-parts", 0)
    if not (dump.root / dump.account / "account.json").exists():
        threads = dump.root / dump.account / Pass.RECENT / Entity.THREADS
        threads.mkdir(parents=True, exist_ok=True)
        known = {"account_id": dump.account, "brand_id": "brand-0", "channel_id": "channel-0", "status": "open"}
        for number in range(parts):
            thread = {"id": f"thread-{number}", "created_at": "2026-10-01T12:00:00Z", "subject": "Hello", **known}
            (threads / f"part-{number:06d}.jsonl").write_bytes(orjson.dumps(thread) + b"\n")
        (dump.root / dump.account / "account.json").write_bytes(orjson.dumps(_document(dump.account)))
    return dump


def generate(dump: Dump) -> None:
    """Write the dump; account.json comes last, so that its presence means that all is there."""
    folder = dump.root / dump.account
    recent = round(dump.messages * RECENT_SHARE)
    for pass_, messages in ((Pass.RECENT, recent), (Pass.REMAINING, dump.messages - recent)):
        _write_pass(folder / pass_, _Pass(dump.account, pass_, messages), dump.form)
    (folder / "account.json").write_bytes(orjson.dumps(_document(dump.account)))


def _document(account: str) -> Record:
    brands = [{"id": f"brand-{number}", "name": f"Brand {number}"} for number in range(2)]
    channels = [
        {"id": f"channel-{number}", "brand_id": f"brand-{number % 2}", "kind": "email", "name": f"Channel {number}"}
        for number in range(4)
    ]
    return {"id": account, "name": "Benchmark", "brands": brands, "channels": channels}


class _Pass:
    """The records of one pass, in the order threads, messages, attachments: each refers to the ones before."""

    def __init__(self, account: str, pass_: Pass, messages: int) -> None:
        self._random = random.Random(f"{SEED} {account} {pass_} {messages}")
        self._account = account
        self._begin, self._seconds = PERIODS[pass_]
        self._messages = messages
        self._thread_ids = [self._id() for _ in range(max(1, messages // MESSAGES_PER_THREAD))]
        self._with_attachment: list[str] = []
        self._text = self._prose()

    def rows(self, entity: Entity) -> int:
        attachments = math.ceil(self._messages / MESSAGES_PER_ATTACHMENT)
        return {
            Entity.THREADS: len(self._thread_ids),
            Entity.MESSAGES: self._messages,
            Entity.ATTACHMENTS: attachments,
        }[entity]

    def records(self, entity: Entity) -> Iterator[Record]:
        make = {
            Entity.THREADS: self._threads,
            Entity.MESSAGES: self._all_messages,
            Entity.ATTACHMENTS: self._attachments,
        }
        return make[entity]()

    def _threads(self) -> Iterator[Record]:
        choose = self._random.choice
        for id_ in self._thread_ids:
            number = self._random.getrandbits(1)
            customer = self._random.randrange(1_000_000)
            yield {
                "id": id_,
                "account_id": self._account,
                "brand_id": f"brand-{number}",
                "channel_id": f"channel-{number + 2 * self._random.getrandbits(1)}",
                "subject": self._excerpt(60),
                "status": choose(STATUSES),
                "tags": ["vip", "imported"] if number else [],
                "custom_fields": [{"name": "order", "value": str(customer)}],
                "customer": _person(customer),
                "assignee_id": f"agent-{customer % 20}",
                "created_at": self._time(),
                "updated_at": self._time(),
            }

    def _all_messages(self) -> Iterator[Record]:
        choose = self._random.choice
        for number in range(self._messages):
            id_ = self._id()
            if number % MESSAGES_PER_ATTACHMENT == 0:
                self._with_attachment.append(id_)
            kind, inbound = choose(KINDS), self._random.getrandbits(1)
            message = {
                "id": id_,
                "account_id": self._account,
                "thread_id": choose(self._thread_ids),
                "kind": kind,
                "direction": "inbound" if inbound else "outbound",
                "created_at": self._time(),
                "author": {"type": "customer" if inbound else "staff", **_person(self._random.randrange(1_000_000))},
                "visibility": "regular",
                "body": self._excerpt(BODY_LENGTH),
            }
            if kind == "call":
                message["telephony"] = {"call_id": id_[:12], "from": "+15550100", "duration_seconds": number % 900}
            yield message

    def _attachments(self) -> Iterator[Record]:
        for number, message_id in enumerate(self._with_attachment):
            id_ = self._id()
            yield {
                "id": id_,
                "account_id": self._account,
                "message_id": message_id,
                "filename": f"photo-{number}.jpg",
                "content_type": "image/jpeg",
                "size_bytes": self._random.randrange(10_000_000),
                "sha256": self._id() + self._id(),
                "key": f"files/{id_[:2]}/{id_}.jpg",
                "created_at": self._time(),
            }

    def _id(self) -> str:
        return f"{self._random.getrandbits(128):032x}"

    def _time(self) -> str:
        at = self._begin + dt.timedelta(seconds=self._random.random() * self._seconds)
        return at.strftime("%Y-%m-%dT%H:%M:%S.%fZ")

    def _prose(self) -> str:
        syllables = ("bo", "at", "ri", "ver", "lo", "“ka”", "it's", "pad", "dle", "sün", "or", "der", "ten", "mi", "\n")
        words = ["".join(self._random.choices(syllables, k=self._random.randint(1, 4))) for _ in range(5_000)]
        return " ".join(self._random.choices(words, k=200_000))

    def _excerpt(self, longest: int) -> str:
        """Up to that many characters of prose, hardly ever the same twice."""
        begin = self._random.randrange(len(self._text) - longest)
        return self._text[begin : begin + self._random.randint(5, longest)]


def _person(number: int) -> Record:
    return {"id": f"customer-{number}", "name": f"Customer {number}", "email": f"customer-{number}@example.com"}


def _write_pass(folder: Path, pass_: _Pass, form: Form) -> None:
    for entity in ROW_ENTITIES:
        (folder / entity).mkdir(parents=True, exist_ok=True)
        records, left = pass_.records(entity), pass_.rows(entity)
        parts = max(LEAST_PARTS if left >= SMALL_ROWS else 1, math.ceil(left / PART_ROWS[entity]))
        for number in range(parts):
            rows = math.ceil(left / (parts - number))
            path = folder / entity / f"part-{number:04d}{EXTENSIONS[form]}"
            _write_part(path, entity, islice(records, rows), form)
            left -= rows


def _write_part(path: Path, entity: Entity, records: Iterator[Record], form: Form) -> None:
    if form is Form.PARQUET:
        with pq.ParquetWriter(path, _parquet_schema(entity)) as writer:
            for text in _chunks(records):
                writer.write_table(_table(entity, text))
        return
    with path.open("wb") if form is Form.PLAIN else gzip.open(path, "wb", compresslevel=6) as file:
        for text in _chunks(records):
            file.write(text)


def _chunks(records: Iterator[Record]) -> Iterator[bytes]:
    while chunk := list(islice(records, CHUNK_ROWS)):
        yield b"".join(orjson.dumps(record, option=orjson.OPT_APPEND_NEWLINE) for record in chunk)


def _parquet_schema(entity: Entity) -> pa.Schema:
    return pa.schema([(f.name, TIMESTAMP if f.name.endswith("_at") else f.type) for f in SCHEMAS[entity]])


def _table(entity: Entity, text: bytes) -> pa.Table:
    schema = _parquet_schema(entity)
    options = pj.ParseOptions(explicit_schema=schema, unexpected_field_behavior="error")
    return pj.read_json(pa.BufferReader(text), parse_options=options).select(schema.names).cast(schema)


def main() -> None:
    """Make one dump and say where it is."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--messages", type=int, default=1_000_000)
    parser.add_argument("--form", type=Form, choices=list(Form), default=Form.PLAIN)
    options = parser.parse_args()
    finished = options.folder / f"{options.form}-{options.messages}"
    unfinished = Dump(finished.with_suffix(".unfinished"), options.messages, options.form)
    shutil.rmtree(unfinished.root, ignore_errors=True)
    generate(unfinished)
    unfinished.root.rename(finished)
    print(finished)


if __name__ == "__main__":
    main()
