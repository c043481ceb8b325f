"""Described calls from import to verification, and the files of a run that many share."""

from __future__ import annotations

import threading
from dataclasses import replace

from tests import commands as app
from tests.files.dumps import RECENT, FolderPlace, attachment, call, dump_of, files_of, fill, settings_for, states
from tests.importing.dumps import ACCOUNT
from tests.importing.moving import ignore, migrate, rows
from tests.server.workers.fleets import ask, fleet


def test_verify_expects_described_calls(
    source_folder: FolderPlace, target_folder: FolderPlace, sqlite_url: str
) -> None:
    """Whoever verifies need not repeat the choice: the run remembers it."""
    fill(source_folder, dump_of([attachment(0, b"x")], {"files/0": b"x"}, [call(1), call(2, body="mine")]))
    settings = settings_for(source_folder, target_folder, sqlite_url, describe_calls=True)
    migrate(settings, passes=RECENT)
    assert {row["id"]: row["body"] for row in rows(settings)["messages"] if row["body"]} == {
        "m1": "Inbound call",
        "m2": "mine",
    }
    plain = replace(settings, describe_calls=False, files_to=None)
    assert app.verify(plain, ACCOUNT, observe=ignore, stop=threading.Event()).findings.difference_count == 0


def test_the_files_of_a_spread_run_are_one_workers(
    source_folder: FolderPlace, target_folder: FolderPlace, database_url: str
) -> None:
    """Parts are imported by many; then one of them holds the run and copies."""
    bodies = {f"files/{number}": b"x" for number in range(8)}
    fill(source_folder, dump_of([attachment(number) for number in range(8)], bodies))
    settings = settings_for(source_folder, target_folder, database_url, lease_seconds=15.0, block_bytes=500)
    with fleet(settings) as workers:
        ask(settings, passes=RECENT)
        workers.work()
    shown = app.status_document(settings, ACCOUNT)["passes"]["recent"]
    assert (shown["state"], shown["files"]["copied"], shown["attempts"]) == ("succeeded", 8, 2)
    assert set(states(settings).values()) == {("copied", f"attachments/a{n}/note.txt") for n in range(8)}


def test_a_detached_request_brings_its_choice_along(
    source_folder: FolderPlace, target_folder: FolderPlace, sqlite_url: str
) -> None:
    """What was asked for is done by a worker that knows of no files."""
    fill(source_folder, dump_of([attachment(0)], {"files/0": b"x"}))
    settings = settings_for(source_folder, target_folder, sqlite_url)
    ask(settings, passes=RECENT)
    assert files_of(migrate(replace(settings, files_to=None), passes=RECENT))["copied"] == 1
