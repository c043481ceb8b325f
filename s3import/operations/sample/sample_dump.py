"""Writes the sample: both passes with their manifests, the files, and with faults what must become of them."""

from __future__ import annotations

import gzip
import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson

from s3import.core.errors import ConfigurationError, MigrationFailed, system_reason
from s3import.core.records import HALVES, ROW_ENTITIES, Entity, Pass
from s3import.operations.sample.conversations import ACCOUNT, DOCUMENT, NEWEST, Conversations, Record
from s3import.operations.sample.faults import faulty_lines
from s3import.readers.dump.account_document import ACCOUNT_DOCUMENT
from s3import.readers.dump.objects import MANIFEST
from s3import.reporting.progress import rfc3339

EXPECTED_REJECTS = "expected-rejects.jsonl"
MESSAGES_A_PART = 50_000  # in memory at once
PLAIN, COMPRESSED = ".jsonl", ".jsonl.gz"


@dataclass(frozen=True, slots=True)
class SampleDump:
    """What was written: `folder` is the source of `account_id`; how many right records there are of each entity, and
    how many faulty ones in all."""

    folder: Path
    account_id: str
    counts: Mapping[Entity, int]
    faulty: int


def write_sample(folder: Path, messages: int, *, faults: bool) -> SampleDump:
    """Write a dump with so many messages (at least 1) into a new or empty folder, the same for the same number.

    With `faults` the recent pass has a record for each fault besides, and `expected-rejects.jsonl` the rejects that
    must come of them: the lines of `s3import rejects --json` as far as they can be foretold, in the same order.
    Raises: ConfigurationError where something lies there; MigrationFailed where it cannot be written.
    """
    try:
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise ConfigurationError(f"{folder} is there and not an empty folder; name a new one for the sample")
        _write(folder / ACCOUNT_DOCUMENT, _indented(DOCUMENT))
        conversations = Conversations()
        recent, remaining = (_PassWriter(folder, pass_) for pass_ in HALVES)
        recent.write(conversations, messages - messages // 2)
        faulty = recent.write_faults() if faults else 0
        recent.write_manifest()
        remaining.write(conversations, messages // 2)
        gone = {"entity": "threads", "id": "thread-of-long-ago", "deleted_at": rfc3339(NEWEST)}
        remaining.write_part(Entity.DELETIONS, f"part-0{PLAIN}", [orjson.dumps(gone)])
        remaining.write_manifest()
    except OSError as error:
        raise MigrationFailed(
            f"the sample could not be written below {folder} ({system_reason(error)}); make room there, or name "
            "another folder"
        ) from error
    return SampleDump(folder, ACCOUNT, recent.counts + remaining.counts, faulty)


@dataclass(slots=True)
class _PassWriter:
    """Writes the parts of a pass, then its manifest. `examples`: a right record of each entity, where there is one."""

    folder: Path
    pass_: Pass
    counts: Counter[Entity] = field(default_factory=Counter)
    examples: dict[Entity, Record] = field(default_factory=dict)
    _parts: list[dict[str, Any]] = field(default_factory=list)

    def write(self, conversations: Conversations, messages: int) -> None:
        """Write so many messages with all that belongs to them."""
        for number, begun in enumerate(range(0, messages, MESSAGES_A_PART)):
            records: dict[Entity, list[Record]] = {entity: [] for entity in ROW_ENTITIES}
            for conversation in conversations.take(min(MESSAGES_A_PART, messages - begun)):
                for entity, told in zip(ROW_ENTITIES, conversation, strict=True):
                    records[entity] += told
            for entity, some in records.items():
                ending = COMPRESSED if entity is Entity.MESSAGES else PLAIN
                self.write_part(entity, f"part-{number}{ending}", map(orjson.dumps, some))
                self.counts[entity] += len(some)
                if some:
                    self.examples.setdefault(entity, some[0])
            for key, content in conversations.taken_files():
                _write(self.folder / key, content)

    def write_faults(self) -> int:
        """Write a part of faulty records for each entity, and what must become of them; how many they are."""
        expected = []
        for entity, lines in faulty_lines(self.examples).items():
            key = self.write_part(entity, f"part-faulty{COMPRESSED}", [line.text for line in lines])
            for number, line in enumerate(lines, 1):
                place = {"pass": self.pass_, "entity": entity, "part": key, "line": number, "id": line.record_id}
                expected.append({**place, "reasons": [{"code": line.code, "field": line.field}]})
        _write(self.folder / EXPECTED_REJECTS, _text(map(orjson.dumps, expected)))
        return len(expected)

    def write_part(self, entity: Entity, name: str, lines: Iterable[bytes]) -> str:
        """Write a part of these lines; its key."""
        key, text = f"{entity}/{name}", _text(lines)
        stored = gzip.compress(text, 6, mtime=0) if name.endswith(COMPRESSED) else text
        _write(self.folder / self.pass_ / key, stored)
        sizes = {"rows": text.count(b"\n"), "bytes": len(stored)}
        self._parts.append({"entity": entity, "key": key, **sizes, "sha256": hashlib.sha256(stored).hexdigest()})
        return key

    def write_manifest(self) -> None:
        """Write what the pass consists of, as its last object."""
        document = {"version": 1, "account_id": ACCOUNT, "pass": self.pass_, "parts": self._parts}
        _write(self.folder / self.pass_ / MANIFEST, _indented(document))


def _write(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


def _text(lines: Iterable[bytes]) -> bytes:
    return b"".join(line + b"\n" for line in lines)


def _indented(document: Any) -> bytes:
    return orjson.dumps(document, option=orjson.OPT_INDENT_2) + b"\n"
