"""What is wrong with the records of a batch, collected row by row for the few that are wrong."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from s3import.core.records import Fault, Reason


@dataclass(frozen=True, slots=True)
class BrokenRule:
    """The rows (whole numbers from 0, repeats allowed) that break a rule, and the reason to give."""

    rows: pa.Array
    reason: Reason


def where(wrong: pa.BooleanArray, code: str, field: str, message: str) -> BrokenRule:
    """The rule is broken by the rows in which `wrong` is true; null counts as false."""
    return BrokenRule(pc.indices_nonzero(wrong), Reason(code, field, message))


class RowFindings:
    """The reasons of a batch's rejects: the reader's faults first, then what the rules find.

    `fields` are the entity's columns in the order in which a reject lists its reasons.
    """

    def __init__(self, faults: Iterable[Fault], fields: Sequence[str]) -> None:
        self._order = {field: number for number, field in enumerate(fields)}
        self._reasons: dict[int, list[Reason]] = {}
        self._settled: set[tuple[int, str | None]] = set()
        for fault in faults:
            self._keep(fault.row, fault.reason)
            self._settled.add((fault.row, fault.reason.field))

    def add(self, broken: BrokenRule) -> None:
        """Note the reason, except where the reader found that row or that field unusable already."""
        for row in broken.rows.to_pylist():
            if (row, None) not in self._settled and (row, broken.reason.field) not in self._settled:
                self._keep(row, broken.reason)

    def by_row(self) -> dict[int, list[Reason]]:
        return {row: sorted(reasons, key=self._place) for row, reasons in self._reasons.items()}

    def _keep(self, row: int, reason: Reason) -> None:
        reasons = self._reasons.setdefault(row, [])
        if reason not in reasons:
            reasons.append(reason)

    def _place(self, reason: Reason) -> int:
        return self._order.get((reason.field or "").partition(".")[0], -1)
