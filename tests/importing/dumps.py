"""Dumps by seed: both passes, several parts of every format, and everything that a dump may have wrong with it."""

from __future__ import annotations

import gzip
import hashlib
import random
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import orjson
import pyarrow as pa
import pyarrow.parquet as pq

from s3import.core.records import HALVES, ROW_ENTITIES, SCHEMAS, Entity, Pass
from tests.records import right

ACCOUNT = "acme"
Record = dict[str, Any]
Dump = dict[str, bytes]
"""A dump's objects by their key below the source."""

NEITHER_RIGHT_NOR_EMPTY = (
    b'{"id":"broken"',
    b"[1,2]",
    b'{"id":"twice"} {"id":"on one line"}',
    b'{"id":"bytes \xff"}',
    b'{"id":""}',
)
BLANK = (b"", b"   ", b"\t\r")


def account_document(account: str = ACCOUNT, **changes: Any) -> bytes:
    """An account with the brands b1 and b2 and the channel c1."""
    document = {
        "id": account,
        "name": "Acme",
        "brands": [{"id": "b1", "name": "One"}, {"id": "b2", "name": "Two"}],
        "channels": [{"id": "c1", "brand_id": "b1", "kind": "email", "name": "Mail"}],
    }
    return orjson.dumps({**document, **changes})


def lines(records: Sequence[Record | bytes]) -> bytes:
    """The text of a JSON Lines part; what is bytes already stands there as it is."""
    return b"".join((record if isinstance(record, bytes) else orjson.dumps(record)) + b"\n" for record in records)


def records(entity: Entity, count: int, account: str = ACCOUNT, prefix: str = "") -> list[Record]:
    """Right records with the ids t0, t1 ... (m0, a0), each the child of the parent with the same number."""
    letter = entity[0]
    parents = {"m": "thread_id", "a": "message_id"}
    made = []
    for number in range(count):
        parent = {parents[letter]: f"{prefix}{'t' if letter == 'm' else 'm'}{number}"} if letter in parents else {}
        made.append(right(entity, id=f"{prefix}{letter}{number}", account_id=account, **parent))
    return made


def deletion(entity: Entity, row_id: str, deleted_at: str = "2024-06-01T00:00:00Z") -> Record:
    """A tombstone, by default later than any right record."""
    return right(Entity.DELETIONS, entity=entity, id=row_id, deleted_at=deleted_at)


def simple_dump(count: int = 3, account: str = ACCOUNT) -> Dump:
    """Both passes with one part of plain JSON Lines for each entity, all right."""
    dump = {"account.json": account_document(account)}
    for pass_ in HALVES:
        for entity in ROW_ENTITIES:
            dump[f"{pass_}/{entity}/part-0.jsonl"] = lines(records(entity, count, account, prefix=f"{pass_}-"))
    return dump


def manifest(dump: Mapping[str, bytes], pass_: Pass, account: str = ACCOUNT, **changes: Any) -> bytes:
    """A manifest that names every part of the pass with its size and checksum; `changes` go into its every part."""
    keys = sorted(key.removeprefix(f"{pass_}/") for key in dump if key.startswith(f"{pass_}/") and key.count("/") == 2)
    parts = []
    for key in keys:
        stored = dump[f"{pass_}/{key}"]
        promise = {"bytes": len(stored), "sha256": hashlib.sha256(stored).hexdigest(), **changes}
        parts.append({"entity": key.partition("/")[0], "key": key, **promise})
    return orjson.dumps({"version": 1, "account_id": account, "pass": pass_.value, "parts": parts})


def write(dump: Mapping[str, bytes], folder: Path, account: str = ACCOUNT) -> Path:
    """Put the dump below ``folder/account``, which is also the result; what is there already stays."""
    root = folder / account
    for key, body in dump.items():
        path = root / key
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(body)
    return root


# --- by seed -------------------------------------------------------------------------------------------------------


def seeded_dump(seed: int, account: str = ACCOUNT, threads: int = 4) -> Dump:
    """A dump with something of everything: the same seed gives the same dump, whatever the account."""
    draw = random.Random(seed)
    dump = {"account.json": account_document(account), "recent/threads/README.txt": b"no part"}
    for pass_ in HALVES:
        made = _Pass(draw, account, pass_, threads)
        for entity in ROW_ENTITIES:
            dump.update(made.parts(entity))
        dump.update(made.deletions())
    return dump


class _Pass:
    """What one pass is made of; ids run through both passes, so that the second one repeats some of the first."""

    def __init__(self, draw: random.Random, account: str, pass_: Pass, threads: int) -> None:
        self._draw, self._account, self._pass = draw, account, pass_
        first = 0 if pass_ is Pass.RECENT else threads // 2
        self._numbers = {
            Entity.THREADS: range(first, first + threads),
            Entity.MESSAGES: range(2 * first, 2 * (first + threads)),
            Entity.ATTACHMENTS: range(first, first + threads),
        }

    def parts(self, entity: Entity) -> Dump:
        """The entity's records over two parts, the second of which has another format for each entity."""
        made = [self._record(entity, number) for number in self._numbers[entity]]
        made += [self._changed(record) for record in self._draw.sample(made, 3)]
        self._draw.shuffle(made)
        first, second = made[: len(made) // 2], made[len(made) // 2 :]
        key = f"{self._pass}/{entity}/part"
        parts = {f"{key}-0.jsonl": self._text(first)}
        if entity is Entity.THREADS:
            return {**parts, f"{key}-1.jsonl.gz": gzip.compress(self._text(second), mtime=0)}
        if entity is Entity.MESSAGES:
            return {**parts, f"{key}-1.parquet": parquet(entity, second)}
        return {**parts, f"{key}-1.jsonl.zst": bytes(pa.compress(self._text(second), "zstd", asbytes=True))}

    def deletions(self) -> Dump:
        """Of rows of this pass, of the next one and of none; some of them twice, some of rows that are newer."""
        made = [
            deletion(entity, f"{entity[0]}{self._draw.randrange(3 * len(self._numbers[entity]))}", self._day())
            for entity in ROW_ENTITIES * 4
        ]
        return {f"{self._pass}/deletions/part-0.jsonl": self._text(made)}

    def _day(self) -> str:
        return f"2024-05-0{self._draw.randrange(1, 9)}T00:00:00Z"

    def _record(self, entity: Entity, number: int) -> Record:
        draw = self._draw
        parent: Record
        if entity is Entity.THREADS:
            parent = {"brand_id": draw.choice(["b1", "b2"]), "channel_id": draw.choice(["c1"] * 19 + ["lost"])}
            parent |= {"subject": draw.choice(["Hello", "", "nul \0 here", None]), "tags": ["x"] * draw.randrange(3)}
        elif entity is Entity.MESSAGES:
            parent = {"thread_id": f"t{number // 2 + 99 * (draw.random() < 0.05)}", "body": "text " * draw.randrange(9)}
        else:
            parent = {"message_id": f"m{number}", "size_bytes": draw.choice([0] * 4 + [17] * 4 + [-1])}
        at = self._day()
        wrong = {"account_id": "other"} if draw.random() < 0.05 else {"account_id": self._account}
        return right(entity, id=f"{entity[0]}{number}", updated_at=draw.choice([None, at]), **parent, **wrong)

    def _changed(self, record: Record) -> Record:
        """The record again: older, as old or newer."""
        at = self._draw.choice(["2023-01-01T00:00:00Z", record["updated_at"], "2025-01-01T00:00:00Z"])
        return {**record, "updated_at": at}

    def _text(self, part: Sequence[Record]) -> bytes:
        mixed: list[Record | bytes] = [*part, self._draw.choice(NEITHER_RIGHT_NOR_EMPTY), self._draw.choice(BLANK)]
        self._draw.shuffle(mixed)
        return lines(mixed)


def parquet(entity: Entity, part: Sequence[Record]) -> bytes:
    """The records as a Parquet part."""
    sink = pa.BufferOutputStream()
    pq.write_table(pa.Table.from_pylist(list(part), schema=SCHEMAS[entity]), sink, row_group_size=3)
    return bytes(sink.getvalue())
