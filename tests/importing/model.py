"""The contract's rules for records as a few plain loops: what one worker makes of a dump, batch by batch."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from s3import.core.records import ROW_ENTITIES, Entity, Pass

BRANDS = ("b1", "b2")
PARENT = {Entity.THREADS: "brand_id", Entity.MESSAGES: "thread_id", Entity.ATTACHMENTS: "message_id"}
PARENT_ENTITY = {Entity.MESSAGES: Entity.THREADS, Entity.ATTACHMENTS: Entity.MESSAGES}
UNKNOWN = {
    Entity.THREADS: "unknown_brand",
    Entity.MESSAGES: "unknown_thread",
    Entity.ATTACHMENTS: "unknown_message",
}


@dataclass(frozen=True)
class Line:
    """A line of a part: its bytes, and the record in it with the codes of its own faults. Blank: neither of both."""

    text: bytes
    record: dict[str, Any] | None = None
    codes: frozenset[str] = frozenset()


@dataclass
class Model:
    """A database that takes batches: `rows` by entity and id, `counts` by pass and entity, and the rejects in order."""

    rows: dict[Entity, dict[str, dict[str, Any]]] = field(
        default_factory=lambda: {entity: {} for entity in ROW_ENTITIES}
    )
    counts: dict[tuple[Pass, Entity], Counter[str]] = field(default_factory=dict)
    rejects: list[tuple[Pass, Entity, int, list[str]]] = field(default_factory=list)

    def take(self, pass_: Pass, entity: Entity, part: Sequence[Line], *, at_once: bool) -> None:
        """Import a part, in one batch or line by line."""
        numbered = [(number, line) for number, line in enumerate(part, 1) if line.record is not None or line.codes]
        counts = self.counts.setdefault((pass_, entity), Counter())
        for batch in [numbered] if at_once else [[one] for one in numbered]:
            counts["read"] += len(batch)
            right = list(self._right(pass_, entity, batch))
            counts["rejected"] += len(batch) - len(right)
            counts["sanitised"] += sum("\0" in _text(record) for record in right)
            written = self._write(entity, right)
            counts["written"] += written
            counts["unchanged"] += len(right) - written

    def _right(self, pass_: Pass, entity: Entity, batch: Sequence[tuple[int, Line]]) -> Iterator[dict[str, Any]]:
        for number, line in batch:
            codes = line.codes
            if not codes and line.record and not self._has_parent(entity, line.record):
                codes = frozenset({UNKNOWN[entity]})
            if codes:
                self.rejects.append((pass_, entity, number, sorted(codes)))
            elif line.record:
                yield line.record

    def _has_parent(self, entity: Entity, record: dict[str, Any]) -> bool:
        there = self.rows[PARENT_ENTITY[entity]] if entity in PARENT_ENTITY else BRANDS
        return record[PARENT[entity]] in there

    def _write(self, entity: Entity, right: Sequence[dict[str, Any]]) -> int:
        newest: dict[str, dict[str, Any]] = {}
        for record in right:
            if record["id"] not in newest or _at(newest[record["id"]]) < _at(record):
                newest[record["id"]] = record
        rows = self.rows[entity]
        winners = {key: record for key, record in newest.items() if key not in rows or _at(rows[key]) < _at(record)}
        rows.update(winners)
        return len(winners)


def essence(entity: Entity, record: dict[str, Any]) -> tuple[str, str, str]:
    """What a row must have of its record: id, parent and text."""
    return record["id"], record[PARENT[entity]], _text(record).replace("\0", "\ufffd")


def _at(record: dict[str, Any]) -> str:
    at: str = record["updated_at"] or record["created_at"]
    return at


def _text(record: dict[str, Any]) -> str:
    text: str = record.get("subject") or record.get("body") or record.get("filename") or ""
    return text
