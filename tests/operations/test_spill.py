"""Rows that go to disk come back, range by range."""

from __future__ import annotations

import random
import tempfile
from pathlib import Path

import pyarrow as pa
import pytest

from s3import.core.errors import MigrationFailed
from s3import.operations.spill import Spill, spans
from s3import.transform.fingerprints import RANGES

SCHEMA = pa.schema([("id", pa.string()), ("key_range", pa.int16())])


def filled(rows_held: int, count: int = 100) -> Spill:
    draw = random.Random(1)
    spill = Spill(SCHEMA, rows_held)
    for start in range(0, count, 10):
        ids = [str(number) for number in range(start, start + 10)]
        spill.add(pa.table([ids, [draw.randrange(RANGES) for _ in ids]], schema=SCHEMA))
    return spill


@pytest.mark.parametrize("rows_held", [1, 32, 100, 100_000])
def test_gives_back_every_row_once(rows_held: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many it keeps in memory: the spans together hold each row once, and no file is left behind."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    spill = filled(rows_held)
    found = [row for first, end in spans(spill) for row in spill.rows(first, end)["id"].to_pylist()]
    assert sorted(found, key=int) == [str(number) for number in range(100)]
    assert list(tmp_path.iterdir()) == []


def test_a_span_is_bounded() -> None:
    """What is in memory at a time does not grow with the number of rows."""
    spill = filled(100, 1000)
    assert max(spill.rows(*span).num_rows for span in spans(spill)) < 200


def test_says_which_folder_is_in_the_way(monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder for temporary files that cannot be written to is named."""
    monkeypatch.setattr(tempfile, "tempdir", "/nowhere")
    with pytest.raises(MigrationFailed, match=r"/nowhere .*TMPDIR"):
        filled(1)
