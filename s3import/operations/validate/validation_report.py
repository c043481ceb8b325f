"""What a validation found, pass by pass: the first rejects with their places, of all of them the number."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from s3import.core.errors import RejectCode, S3ImportError
from s3import.core.records import ROW_ENTITIES, Entity, Pass, Plan, PlannedPart, Reason

REJECTS_SHOWN = 100  # of each pass
IDS_SHOWN = 10  # of ids that occur more than once, of each entity
FILE_CODES = (RejectCode.FILE_MISSING, RejectCode.FILE_DIFFERS)
COUNTED = ("read", "accepted", "rejected", "sanitised")

_ORDER = {entity: number for number, entity in enumerate(Entity)}


@dataclass(frozen=True, slots=True)
class RecordPlace:
    """Where a record stands: its part by its number in the plan, its line (from 1) and its id, where it has one."""

    entity: Entity
    part: int
    line: int
    id: str | None

    def __lt__(self, other: RecordPlace) -> bool:
        return (_ORDER[self.entity], self.part, self.line) < (_ORDER[other.entity], other.part, other.line)


@dataclass(slots=True)
class PassReport:
    """One pass. Safe to add to from several threads."""

    plan: Plan | None = None
    counts: dict[Entity, Counter[str]] = field(default_factory=lambda: {entity: Counter() for entity in ROW_ENTITIES})
    by_code: Counter[str] = field(default_factory=Counter)
    failed_files: int = 0
    ignored_fields: frozenset[str] = frozenset()
    errors: list[S3ImportError] = field(default_factory=list)
    _first: list[tuple[RecordPlace, Sequence[Reason]]] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def count(self, entity: Entity, ignored_fields: frozenset[str] = frozenset(), **numbers: int) -> None:
        """Add to what was counted of an entity."""
        with self._lock:
            self.counts.setdefault(entity, Counter()).update(numbers)
            self.ignored_fields |= ignored_fields

    def reject(self, entity: Entity, rejects: Sequence[tuple[RecordPlace, Sequence[Reason]]], number: int) -> None:
        """Set so many records aside; `rejects` are at least the first of them."""
        self._note(rejects)
        self.count(entity, rejected=number)

    def reject_files(self, code: str, rejects: Sequence[tuple[RecordPlace, Sequence[Reason]]], number: int) -> None:
        """So many files cannot be copied, though their records are right; `rejects` are at least the first of them."""
        self._note(rejects)
        with self._lock:
            self.by_code[code] += number
            self.failed_files += number

    def count_codes(self, codes: Counter[str]) -> None:
        """Add to the number of rejects that have each code."""
        with self._lock:
            self.by_code.update(codes)

    def fail(self, error: S3ImportError) -> None:
        """Note what ended a part, or the whole pass."""
        with self._lock:
            self.errors.append(error)

    def _note(self, rejects: Sequence[tuple[RecordPlace, Sequence[Reason]]]) -> None:
        with self._lock:
            self._first += rejects
            if len(self._first) > 2 * REJECTS_SHOWN:
                self._first = self._shown()

    def _shown(self) -> list[tuple[RecordPlace, Sequence[Reason]]]:
        return sorted(self._first, key=lambda reject: reject[0])[:REJECTS_SHOWN]

    @property
    def rejected(self) -> int:
        """The records and the files."""
        return sum(count["rejected"] for count in self.counts.values()) + self.failed_files

    def document(self, pass_: Pass) -> dict[str, Any]:
        """What there is to tell, as JSON takes it."""
        return {
            "from_manifest": self.plan.from_manifest if self.plan else None,
            "parts": len(self.plan.parts) if self.plan else None,
            "counts": {
                entity.value: {what: count[what] for what in COUNTED} for entity, count in sorted_by_order(self.counts)
            },
            "rejects": {"total": self.rejected, "by_code": dict(sorted(self.by_code.items()))},
            "first_rejects": _documents(pass_, self.plan.parts, self._shown()) if self.plan else [],
            "ignored_fields": sorted(self.ignored_fields),
            "skipped_objects": list(self.plan.skipped_objects) if self.plan else [],
            "errors": [{"code": error.code, "message": error.message} for error in self.errors],
        }


def _documents(
    pass_: Pass, parts: Sequence[PlannedPart], rejects: Sequence[tuple[RecordPlace, Sequence[Reason]]]
) -> list[dict[str, Any]]:
    return [
        {
            "pass": pass_.value,
            "entity": place.entity.value,
            "part": parts[place.part].key,
            "line": place.line,
            "id": place.id,
            "reasons": [{"code": reason.code, "field": reason.field, "message": reason.message} for reason in reasons],
        }
        for place, reasons in rejects
    ]


def sorted_by_order(counts: dict[Entity, Counter[str]]) -> list[tuple[Entity, Counter[str]]]:
    """The counts, parents' entities first."""
    return sorted(counts.items(), key=lambda item: _ORDER[item[0]])


@dataclass(slots=True)
class ValidationReport:
    """All that was found of one dump.

    `repeated`: by entity, how many ids occur more than once in the two halves, and the first of them; `deletions`: how
    many take a record of the dump away, are older than it, or name none; `not_checked`: what could not be, and why.
    """

    source: str
    account_id: str
    passes: dict[Pass, PassReport] = field(default_factory=dict)
    errors: list[S3ImportError] = field(default_factory=list)
    files: Counter[str] = field(default_factory=Counter)
    repeated: dict[Entity, tuple[int, list[str]]] = field(default_factory=dict)
    deletions: Counter[str] = field(default_factory=Counter)
    other_folders: list[str] = field(default_factory=list)
    not_checked: list[str] = field(default_factory=list)

    @property
    def rejected(self) -> int:
        """The records and files of all passes that would be rejected."""
        return sum(report.rejected for report in self.passes.values())

    @property
    def failures(self) -> list[S3ImportError]:
        """Why this is no dump that could be imported as a whole."""
        return [*self.errors, *(error for report in self.passes.values() for error in report.errors)]

    def document(self) -> dict[str, Any]:
        """What there is to tell, as JSON takes it."""
        return {
            "source": self.source,
            "account_id": self.account_id,
            "valid": not self.failures and not self.rejected,
            "errors": [{"code": error.code, "message": error.message} for error in self.errors],
            "passes": {pass_.value: report.document(pass_) for pass_, report in self.passes.items()},
            "files": {what: self.files[what] for what in ("named", *FILE_CODES)},
            "repeated_ids": {
                entity.value: {"total": number, "first": first} for entity, (number, first) in self.repeated.items()
            },
            "deletions": {what: self.deletions[what] for what in ("effective", "outdated", "of_nothing")},
            "other_folders": self.other_folders,
            "not_checked": self.not_checked,
        }
