"""Whoever watches an import is told how far it is as its status document says it."""

from __future__ import annotations

from pathlib import Path

import pytest

from s3import.core.events import Advanced, Event, FilesAdvanced, PassStarted
from s3import.core.records import Pass
from tests import commands as app
from tests.importing.dumps import ACCOUNT, seeded_dump, write
from tests.importing.moving import code_of, migrate, settings_for

pytestmark = pytest.mark.integration


def test_it_is_what_the_status_document_says(sqlite_url: str, tmp_path: Path) -> None:
    """From the plan on, by what was estimated; later what the last heartbeat saw."""
    write(seeded_dump(3), tmp_path)
    settings = settings_for(tmp_path, sqlite_url)
    told: list[Event] = []

    def observe(event: Event) -> None:
        if isinstance(event, PassStarted):
            progress = app.status_document(settings, ACCOUNT)["passes"]["recent"]["progress"]
            assert event.how_far is not None
            assert (event.how_far.fraction, event.how_far.seconds_left) == (
                progress["fraction"],
                progress["eta_seconds"],
            )
            told.append(event)
        if isinstance(event, Advanced):
            assert event.how_far is not None
            told.append(event)

    assert code_of(migrate(settings, passes=(Pass.RECENT,), observe=observe)) is None
    assert [type(event) for event in told[:2]] == [PassStarted, Advanced]


def test_files_are_seen_as_well(sqlite_url: str, tmp_path: Path) -> None:
    """Before they are copied, and while they are."""
    write(seeded_dump(3), tmp_path / "dump")
    settings = settings_for(tmp_path / "dump", sqlite_url, files_to=str(tmp_path / "copies"), heartbeat_seconds=0.01)
    seen: list[FilesAdvanced] = []
    moved = migrate(settings, observe=lambda event: seen.append(event) if isinstance(event, FilesAdvanced) else None)
    assert code_of(moved) is None
    assert seen
    assert all(event.how_far is not None and event.how_far.fraction < 1 for event in seen)
