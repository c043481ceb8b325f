"""How a run may end before its dump does, and go on later: too many rejects, a signal, a source that fails."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from s3import.core.events import Advanced, Event
from s3import.core.records import Entity
from s3import.core.settings import Settings
from tests.importing.dumps import lines, records, seeded_dump, simple_dump, write
from tests.importing.moving import adds_up, code_of, counts, migrate, settings_for, snapshot, undisturbed

pytestmark = pytest.mark.integration

THREADS = "recent/threads/part-0.jsonl"
BAD = [b"junk"] * 5


@pytest.mark.parametrize(("limit", "too_low"), [("5", "4"), ("15%", "14%"), ("5", "0"), ("100%", "0%")])
def test_a_limit_ends_a_pass_with_more_rejects(settings: Settings, tmp_path: Path, limit: str, too_low: str) -> None:
    """The run fails and keeps what it has; the same command with a higher limit goes on to the end."""
    dump = simple_dump(10)
    write({**dump, THREADS: lines([*records(Entity.THREADS, 10, prefix="recent-"), *BAD])}, tmp_path)
    failed = migrate(settings, max_rejects=too_low)
    assert (code_of(failed), failed.document["passes"]["recent"]["state"]) == ("too_many_rejects", "failed")
    assert failed.document["passes"]["recent"]["rejects"]["total"] > 0
    result = migrate(settings, max_rejects=limit)
    assert (code_of(result), counts(result)["threads"]) == (None, (10, 0, 5))


def test_a_limit_stops_early(settings: Settings, tmp_path: Path) -> None:
    """A bad dump is not read to its end, and trying again with the same limit reads no more of it."""
    write({**simple_dump(), THREADS: lines(BAD * 1000)}, tmp_path)
    first, second = (migrate(settings, max_rejects="20").document["passes"]["recent"] for _ in range(2))
    assert first["rejects"]["total"] < 1000
    assert second["rejects"] == first["rejects"]


def test_a_repaired_part_starts_again_within_the_limit(settings: Settings, tmp_path: Path) -> None:
    """What the broken version had for rejects does not count any more."""
    write({**simple_dump(10), THREADS: lines(BAD)}, tmp_path)
    assert code_of(migrate(settings, max_rejects="0")) == "too_many_rejects"
    write({THREADS: lines(records(Entity.THREADS, 10, prefix="recent-"))}, tmp_path)
    assert code_of(migrate(settings, max_rejects="0")) is None


def test_an_interrupted_run_keeps_its_checkpoint(database_url: str, tmp_path: Path) -> None:
    """It ends after the batch at hand as failed and interrupted, and the same command resumes it."""
    settings = settings_for(tmp_path, database_url)
    write(seeded_dump(3, "interrupted"), tmp_path, "interrupted")
    stop = threading.Event()

    def interrupt(event: Event) -> None:
        if isinstance(event, Advanced):
            stop.set()

    ended = migrate(settings, "interrupted", observe=interrupt, stop=stop)
    shown = ended.document["passes"]["recent"]
    assert (shown["state"], shown["error"]["code"], shown["attempts"]) == ("failed", "interrupted", 1)
    assert shown["counts"]["threads"]["read"] > 0
    again = migrate(settings, "interrupted")
    assert again.document["passes"]["recent"]["attempts"] == 2
    assert snapshot(settings, "interrupted") == undisturbed(settings, 3)


def test_several_workers_bring_in_the_same_rows(database_url: str, tmp_path: Path) -> None:
    """Side by side the same rows win; how many were replaced on the way depends on who comes first."""
    settings = settings_for(tmp_path, database_url)
    for account in ("one-after-another", "all-side-by-side!"):
        write(seeded_dump(4, account), tmp_path, account)
    migrate(settings, "one-after-another")
    result = migrate(settings_for(tmp_path, database_url, workers=4), "all-side-by-side!")
    assert (code_of(result), adds_up(result)) == (None, True)
    one, other = (snapshot(settings, account) for account in ("one-after-another", "all-side-by-side!"))
    assert {name: one[name] for name in ("threads", "messages")} == {n: other[n] for n in ("threads", "messages")}
