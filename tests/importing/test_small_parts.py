"""Small parts: one after the other where that is fastest, side by side where each would wait for the one before it.

A clock of the test's own says how long a part takes, so that no busy machine decides.
"""

from __future__ import annotations

import threading
from pathlib import Path
from types import SimpleNamespace

import pytest

from s3import.core.records import Entity, Pass
from s3import.importing.checkpoints import Part
from s3import.importing.parts import ActiveRun, PartImporter
from tests.importing.dumps import account_document, lines, records, write
from tests.importing.moving import migrate, settings_for

pytestmark = pytest.mark.integration

PARTS = 60


@pytest.mark.parametrize(
    ("latency_seconds", "large", "in_turn"),
    [(0.03, False, 1), (0.03, True, 0), (0.001, False, PARTS), (0.001, True, 0)],
    ids=["slow", "slow, and one is large", "fast", "fast, and one is large"],
)
def test_number_and_latency_decide_what_is_read_side_by_side(
    tmp_path: Path,
    sqlite_url: str,
    monkeypatch: pytest.MonkeyPatch,
    latency_seconds: float,
    large: bool,
    in_turn: int,
) -> None:
    """After the first part it shows that the others would take long; a large one says so before it is read."""
    dump = {"account.json": account_document()}
    for number in range(PARTS):
        [thread] = records(Entity.THREADS, 1, "acme", f"{number}-")
        subject = "x" * (20_000 if large and number == PARTS // 2 else 20)
        dump[f"recent/threads/part-{number:02d}.jsonl"] = lines([{**thread, "subject": subject}])
    write(dump, tmp_path)
    now, threads, import_part = [0.0], list[str](), PartImporter.import_part
    monkeypatch.setattr("s3import.importing.importer.time", SimpleNamespace(monotonic=lambda: now[0]))

    def take(parts: PartImporter, run: ActiveRun, part: Part, spare: threading.Semaphore | None) -> None:
        now[0] += latency_seconds
        threads.append(threading.current_thread().name)
        import_part(parts, run, part, spare)

    monkeypatch.setattr(PartImporter, "import_part", take)
    settings = settings_for(tmp_path, sqlite_url, workers=4, block_bytes=80_000)
    assert migrate(settings, passes=[Pass.RECENT]).error is None
    assert len(threads) == PARTS
    assert sum(not name.startswith("part") for name in threads) == in_turn
