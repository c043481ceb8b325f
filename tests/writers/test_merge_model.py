"""Any rows, in any order and any batches, against a model of the contract's rules in a few lines."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass, field

import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from s3import.core import tables
from s3import.core.records import Entity
from s3import.writers import Database
from tests.writers.rows import HOUR, NOON, Row, execute, put, stored, thread, tombstone

IDS = ["k", "K", "k ", "gone"]  # the last is one that a person deleted


@dataclass
class Model:
    """What is in the table, by id, and what became of the rows so far."""

    rows: dict[str, Row] = field(default_factory=dict)
    written: int = 0
    unchanged: int = 0
    rejected: int = 0

    def put(self, batch: list[Row]) -> None:
        accepted = [row for row in batch if row["brand_id"] == "b" and row["id"] != "gone"]
        self.rejected += len(batch) - len(accepted)
        for row_id in {row["id"] for row in accepted}:
            rivals = [row for row in accepted if row["id"] == row_id]
            best = max(rivals, key=when)  # max gives the first of equals
            wins = row_id not in self.rows or when(best) > when(self.rows[row_id])
            self.written += wins
            self.unchanged += len(rivals) - wins
            if wins:
                self.rows[row_id] = best


def when(row: Row) -> dt.datetime:
    effective: dt.datetime = row["updated_at"] or row["created_at"]
    return effective


hours = st.integers(0, 3).map(lambda number: NOON + number * HOUR)
rows = st.builds(
    thread,
    st.sampled_from(IDS),
    brand_id=st.sampled_from(["b", "b", "b", "nowhere"]),
    created_at=hours,
    updated_at=st.none() | hours,
    subject=st.text("ab\\\t", max_size=3),
)
batches = st.lists(st.tuples(st.lists(rows, max_size=8), st.booleans()), max_size=4)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(batches=batches, somebody_deleted=st.booleans())
def test_the_rules_hold_for_any_rows(
    database: Database, batches: list[tuple[list[Row], bool]], somebody_deleted: bool
) -> None:
    """Table and counts are the model's, whichever way each batch took."""
    execute(database, sa.delete(tables.threads), sa.delete(tables.import_tombstones))
    if somebody_deleted:
        execute(database, tombstone("threads", "gone"))
    model = Model()
    counts = [0, 0, 0]
    for batch, expect_existing in batches:
        batch = [row for row in batch if somebody_deleted or row["id"] != "gone"]
        model.put(batch)
        outcome = put(database, Entity.THREADS, *batch, expect_existing=expect_existing)
        for place, number in enumerate((outcome.written, outcome.unchanged, len(outcome.rejected))):
            counts[place] += number
    assert counts == [model.written, model.unchanged, model.rejected]
    expected = sorted((row["id"], row["subject"], when(row)) for row in model.rows.values())
    found = stored(database, Entity.THREADS, "id", "subject", "created_at", "updated_at")
    assert sorted((row_id, subject, updated or created) for row_id, subject, created, updated in found) == expected
