"""What a verification found: differences, changes by people, and how many of each."""

from __future__ import annotations

import datetime as dt
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import Any

import orjson

from s3import.core.records import Entity, Pass
from s3import.core.tables import TARGETS
from s3import.reporting.progress import rfc3339

MAX_LISTED = 10_000  # of differences, and of changes; all of them are counted


class FindingKind(StrEnum):
    """What can be said of a record or row where dump and database do not agree."""

    MISSING = "missing"
    UNEXPECTED = "unexpected"
    DIFFERENT = "different"
    CHANGED_SINCE = "changed_since"
    DELETED_SINCE = "deleted_since"
    CREATED_SINCE = "created_since"

    @property
    def is_difference(self) -> bool:
        """Whether the import is to blame, not people who went on working."""
        return self in (FindingKind.MISSING, FindingKind.UNEXPECTED, FindingKind.DIFFERENT)


@dataclass(frozen=True, slots=True)
class Finding:
    """One record or row: `fields` names the columns that differ; `part` and `line` are its place in the dump."""

    entity: Entity
    id: str
    kind: FindingKind
    fields: tuple[str, ...] = ()
    part: str | None = None
    line: int | None = None


@dataclass(slots=True)
class Findings:
    """All that was found: `expected` records of the dump (the winner of each id), `found` rows, the rest by kind;
    `digests`: over the rows of each entity."""

    expected: Counter[Entity] = field(default_factory=Counter)
    found: Counter[Entity] = field(default_factory=Counter)
    digests: dict[Entity, str] = field(default_factory=dict)
    kinds: Counter[tuple[Entity, FindingKind]] = field(default_factory=Counter)
    differences: list[Finding] = field(default_factory=list)
    changes: list[Finding] = field(default_factory=list)

    def add(self, finding: Finding) -> None:
        """Count the finding, and list it while there are few."""
        self.kinds[finding.entity, finding.kind] += 1
        listed = self.differences if finding.kind.is_difference else self.changes
        if len(listed) < MAX_LISTED:
            listed.append(finding)

    def add_all(
        self,
        entity: Entity,
        kind: FindingKind,
        ids: Sequence[str],
        part: str,
        lines: Sequence[int],
        *,
        count: int | None = None,
    ) -> None:
        """Note many records of a part at once. `count`: how many they are, where only the first are given."""
        self.kinds[entity, kind] += len(ids) if count is None else count
        listed = self.differences if kind.is_difference else self.changes
        room = max(MAX_LISTED - len(listed), 0)
        places = zip(ids[:room], lines[:room], strict=True)
        listed.extend(Finding(entity, row_id, kind, (), part, line) for row_id, line in places)

    @property
    def difference_count(self) -> int:
        return sum(count for (_, kind), count in self.kinds.items() if kind.is_difference)

    def counts(self) -> dict[str, dict[str, int]]:
        """By entity: `expected`, `found`, and each `FindingKind`."""
        return {
            entity.value: {
                "expected": self.expected[entity],
                "found": self.found[entity],
                **{kind.value: self.kinds[entity, kind] for kind in FindingKind},
            }
            for entity in TARGETS
        }


@dataclass(frozen=True, slots=True)
class Verified:
    """The result of a verification. `changed_parts`: those that are not as they were imported, new or gone;
    `rejected`: records that were not imported, and so are not expected; `sources`: where the dump was read."""

    account_id: str
    passes: tuple[Pass, ...]
    verified_at: dt.datetime
    changed_parts: tuple[str, ...]
    findings: Findings
    rejected: int = 0
    sources: tuple[str, ...] = ()

    def summary(self) -> dict[str, Any]:
        """What is kept with the runs."""
        return {
            "verified_at": rfc3339(self.verified_at),
            "differences": self.findings.difference_count,
            "rejected": self.rejected,
            "counts": self.findings.counts(),
            "digests": {entity.value: self.findings.digests[entity] for entity in TARGETS},
        }

    def document(self) -> dict[str, Any]:
        """All of it as a JSON document."""
        return {
            "account_id": self.account_id,
            "passes": [pass_.value for pass_ in self.passes],
            **self.summary(),
            "sources": list(self.sources),
            "changed_parts": list(self.changed_parts),
            "listed": {
                "differences": list(map(asdict, self.findings.differences)),
                "changes": list(map(asdict, self.findings.changes)),
            },
        }


# --- one record and its row -------------------------------------------------------------------------------------


def different_fields(record: dict[str, Any], row: dict[str, Any]) -> tuple[str, ...]:
    """The columns of `row` whose values are not the record's; JSON is compared by what it says."""
    return tuple(name for name in row if not _same(name, record[name], row[name]))


def is_changed_since(fields: Iterable[str], record: dict[str, Any], row: dict[str, Any], began: dt.datetime) -> bool:
    """Whether a row that differs in these fields is newer than its record, by the contract's rule for which one wins.

    Where nothing but `updated_at` differs that counts only since the import began: nobody touched the row before.
    """
    changed_at = row["updated_at"]
    if changed_at is None or changed_at <= (record["updated_at"] or record["created_at"]):
        return False
    return set(fields) != {"updated_at"} or bool(changed_at >= began)


def _same(name: str, value: Any, stored: Any) -> bool:
    if value == stored and type(value) is type(stored):
        return True
    return name in ("tags", "custom_fields") and _parsed(value) == _parsed(stored)


def _parsed(text: str) -> Any:
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        return text
