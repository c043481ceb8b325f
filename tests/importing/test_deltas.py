"""A delta brings what changed since, again and again, and never turns anything back."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from s3import.core import tables
from s3import.core.events import Event, Waiting
from s3import.core.records import ROW_ENTITIES, Pass
from s3import.core.settings import Settings
from s3import.status import State
from tests import commands as app
from tests.importing.dumps import ACCOUNT, deletion, lines, records, simple_dump, write
from tests.importing.moving import code_of, counts, execute, ids, migrate, rows, settings_for

pytestmark = pytest.mark.integration

THREADS, MESSAGES, ATTACHMENTS = ROW_ENTITIES
DELTA = [Pass.DELTA]
LATER = "2024-07-01T00:00:00Z"


def put_delta(folder: Path, name: str = "1", **parts: Sequence[dict[str, Any]]) -> None:
    """Lay down a delta of these parts, by entity."""
    write({f"delta/{entity}/{name}.jsonl": lines(part) for entity, part in parts.items()}, folder)


def changed(subject: str, updated_at: str = LATER) -> dict[str, Any]:
    """The first thread of the recent pass as it is now."""
    return {**records(THREADS, 1, prefix="recent-")[0], "subject": subject, "updated_at": updated_at}


def subjects(settings: Settings) -> list[str | None]:
    """Of all threads."""
    return [row["subject"] for row in rows(settings)["threads"]]


@pytest.fixture
def moved(settings: Settings, tmp_path: Path) -> Settings:
    """The settings of an account that has its recent pass behind it."""
    write(simple_dump(), tmp_path)
    migrate(settings, passes=[Pass.RECENT])
    return settings


def test_a_delta_brings_changes_and_deletions(database_url: str, tmp_path: Path) -> None:
    """What is newer wins, what is new comes in, what is deleted goes; the account's status stays."""
    settings = settings_for(tmp_path, database_url)
    write(simple_dump(), tmp_path)
    migrate(settings)
    put_delta(
        tmp_path,
        threads=[changed("newer"), *records(THREADS, 1, prefix="new-")],
        deletions=[deletion(THREADS, "recent-t1")],
    )
    result = migrate(settings, passes=DELTA)
    assert (code_of(result), result.document["account_status"]) == (None, "active")
    assert {name: count for name, count in counts(result, Pass.DELTA).items() if any(count)} == {
        "threads": (2, 0, 0),
        "deletions": (1, 0, 0),
    }
    assert ids(settings, tables.threads)[:3] == ["new-t0", "recent-t0", "recent-t2"]
    assert "newer" in subjects(settings)


def test_the_same_delta_again_is_nothing_to_do(moved: Settings, tmp_path: Path) -> None:
    """The same parts with the same ETags were imported: nothing is read."""
    put_delta(tmp_path, threads=[changed("newer")])
    first = migrate(moved, passes=DELTA).document
    again = migrate(moved, passes=DELTA)
    assert (again.imported, again.document) == ((), first)


def test_the_same_records_again_change_nothing(moved: Settings, tmp_path: Path) -> None:
    """Under another name they are another delta, in which everything is unchanged."""
    parts: dict[str, Any] = {"threads": [changed("newer")], "deletions": [deletion(MESSAGES, "recent-m1")]}
    put_delta(tmp_path, **parts)
    migrate(moved, passes=DELTA)
    before = rows(moved)
    (tmp_path / ACCOUNT / "delta").rename(tmp_path / "old")
    put_delta(tmp_path, "2", **parts)
    found = counts(migrate(moved, passes=DELTA), Pass.DELTA)
    assert (found["threads"], found["deletions"]) == ((0, 1, 0), (0, 1, 0))
    assert rows(moved) == before


def test_an_older_delta_overwrites_nothing(moved: Settings, tmp_path: Path) -> None:
    """Deltas may come in any order."""
    put_delta(tmp_path, threads=[changed("newer")])
    migrate(moved, passes=DELTA)
    put_delta(tmp_path, threads=[changed("older", "2024-06-30T00:00:00Z")])
    assert counts(migrate(moved, passes=DELTA), Pass.DELTA)["threads"] == (0, 1, 0)
    assert "newer" in subjects(moved)


def test_a_new_delta_is_a_new_run(moved: Settings, tmp_path: Path) -> None:
    """The status shows the last one only."""
    put_delta(tmp_path, threads=[changed("first")])
    first = migrate(moved, passes=DELTA).document["passes"]["delta"]
    put_delta(tmp_path, threads=[changed("second", "2024-08-01T00:00:00Z")])
    second = migrate(moved, passes=DELTA).document["passes"]["delta"]
    assert first["run_id"] != second["run_id"]
    assert second["counts"]["threads"]["read"] == 1


def test_a_delta_holds_for_the_remaining_pass(moved: Settings, tmp_path: Path) -> None:
    """Between the two halves it brings news and deletions of what is yet to come."""
    put_delta(tmp_path, deletions=[deletion(THREADS, "remaining-t0")])
    assert migrate(moved, passes=DELTA).document["account_status"] == "active-recent-only"
    result = migrate(moved)
    assert counts(result, Pass.REMAINING) == dict.fromkeys(ROW_ENTITIES, (2, 1, 0))
    assert result.document["account_status"] == "active"


def test_a_delta_comes_after_the_recent_pass(settings: Settings, tmp_path: Path) -> None:
    """Before it there is nothing that could have changed."""
    write(simple_dump(), tmp_path)
    put_delta(tmp_path, threads=[changed("newer")])
    assert code_of(migrate(settings, passes=DELTA)) == "recent_pass_first"


def test_all_passes_are_two(moved: Settings, tmp_path: Path) -> None:
    """Who asks for all of a dump does not ask for deltas, and hears nothing of them."""
    put_delta(tmp_path, threads=[changed("newer")])
    assert migrate(moved).document["passes"].keys() == {"recent", "remaining"}


def test_a_delta_that_is_not_there_is_no_delta(moved: Settings) -> None:
    """Nothing below its folder: it was not written yet."""
    assert code_of(migrate(moved, passes=DELTA)) == "dump_not_found"


def test_rejects_of_a_delta_come_last(moved: Settings, tmp_path: Path) -> None:
    """And can be asked for by its name."""
    put_delta(tmp_path, threads=[{"id": "wrong"}, *records(THREADS, 1, prefix="new-")])
    result = migrate(moved, passes=DELTA)
    assert result.rejected == 1
    assert [reject["pass"] for reject in app.rejects(moved, ACCOUNT, tuple(Pass))] == ["delta"]


@pytest.mark.parametrize(("other", "asked"), [(Pass.REMAINING, Pass.DELTA), (Pass.DELTA, Pass.REMAINING)])
def test_a_delta_and_the_remaining_pass_take_turns(moved: Settings, tmp_path: Path, other: Pass, asked: Pass) -> None:
    """While one of them runs, the other is refused."""
    put_delta(tmp_path, threads=[changed("newer")])
    _leave_running(moved, other, lease_seconds=60)

    def beat(event: Event) -> None:
        if isinstance(event, Waiting):
            execute(moved, sa.update(tables.import_runs).values(lease_until=time.time() + 61))

    assert code_of(migrate(moved, passes=[asked], observe=beat)) == "run_is_alive"


def test_a_pass_whose_process_died_is_in_nobodys_way(moved: Settings, tmp_path: Path) -> None:
    """It ends failed, to be resumed, and the delta begins."""
    put_delta(tmp_path, threads=[changed("newer")])
    _leave_running(moved, Pass.REMAINING, lease_seconds=-1)
    result = migrate(moved, passes=DELTA)
    passes = result.document["passes"]
    assert (passes["remaining"]["state"], passes["delta"]["state"]) == (State.FAILED, State.SUCCEEDED)
    assert code_of(migrate(moved)) is None


def _leave_running(settings: Settings, pass_: Pass, *, lease_seconds: float) -> None:
    """A run that another process holds."""
    now = sa.func.current_timestamp()
    run: dict[str, Any] = {
        "run_id": "other",
        "account_id": ACCOUNT,
        "pass": pass_.value,
        "source": "elsewhere",
        "state": "running",
        "requested_at": now,
        "account_checked": True,
        "skipped_objects": [],
        "holder": "another process",
        "lease_until": time.time() + lease_seconds,
    }
    execute(settings, sa.insert(tables.import_runs).values(run))
