"""A pass that was imported is read again: what was repaired comes in, and nothing else changes."""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from s3import.console.exits import exit_status
from s3import.core import tables
from s3import.core.events import Advanced, Event
from s3import.core.records import HALVES, ROW_ENTITIES, Pass
from s3import.core.settings import Settings
from s3import.writers import write as write_rows
from tests import commands as app
from tests import forks
from tests.databases import on_sqlite
from tests.importing.dumps import ACCOUNT, deletion, lines, records, seeded_dump, simple_dump, write
from tests.importing.moving import adds_up, code_of, counts, execute, ids, migrate, rows, settings_for, snapshot
from tests.importing.strikes import Moment, Transactions, kill_process

pytestmark = pytest.mark.integration

THREADS, MESSAGES, ATTACHMENTS = ROW_ENTITIES
PART = "recent/threads/part-0.jsonl"
LATER = "2025-07-01T00:00:00Z"


def broken(folder: Path) -> None:
    """Write a dump of which one thread of the recent pass has no status."""
    first, *others = records(THREADS, 3, prefix="recent-")
    write({**simple_dump(), PART: lines([{**first, "status": "?"}, *others])}, folder)


def mend(folder: Path) -> None:
    """Write the same dump, all right."""
    write(simple_dump(), folder)


@pytest.fixture
def imported(database_url: str, tmp_path: Path) -> Settings:
    """The settings of an active account that lacks a thread, its message and its attachment."""
    settings = settings_for(tmp_path, database_url)
    broken(tmp_path)
    assert exit_status(migrate(settings)) == 3
    return settings


def test_what_was_repaired_comes_in(imported: Settings, tmp_path: Path) -> None:
    """What is there counts unchanged; rejects and counts are those of this reading, and the account stays active."""
    mend(tmp_path)
    result = migrate(imported, again=True)
    assert (code_of(result), result.imported, exit_status(result)) == (None, HALVES, 0)
    assert counts(result) == dict.fromkeys(ROW_ENTITIES, (1, 2, 0))
    assert counts(result, Pass.REMAINING) == dict.fromkeys(ROW_ENTITIES, (0, 3, 0))
    assert result.document["account_status"] == "active"
    assert list(app.rejects(imported, ACCOUNT, tuple(Pass))) == []
    assert len(ids(imported, tables.attachments)) == 6


@on_sqlite
@pytest.mark.parametrize("known", [True, False])
def test_rows_that_are_there_are_not_loaded_first(
    imported: Settings, monkeypatch: pytest.MonkeyPatch, known: bool
) -> None:
    """A pass read again is merged from its first batch on, one that finds its rows there from the next part."""
    expected: list[bool] = []

    def noted(*given: Any, expect_existing: bool, **options: Any) -> Any:
        expected.append(expect_existing)
        return write_rows(*given, expect_existing=expect_existing, **options)

    monkeypatch.setattr("s3import.importing.parts.write", noted)
    if not known:
        for table in (tables.import_rejects, tables.import_parts, tables.import_runs):
            execute(imported, sa.delete(table))
        execute(imported, sa.update(tables.accounts).values(status="migrating"))
    migrate(imported, again=known)
    assert expected == [known, True, True] * len(HALVES)


@on_sqlite
def test_nothing_was_repaired(imported: Settings) -> None:
    """The same rejects again, each once, and exit status 3; nothing fails although nothing is written."""
    before = list(app.rejects(imported, ACCOUNT, tuple(Pass)))
    result = migrate(imported, again=True)
    assert (exit_status(result), result.rejected) == (3, 3)
    assert list(app.rejects(imported, ACCOUNT, tuple(Pass))) == before


def test_brands_that_were_made_meanwhile_let_rejects_in(database_url: str, tmp_path: Path) -> None:
    """As where account.json forgot one: what it says now is not looked at any more."""
    settings = settings_for(tmp_path, database_url)
    first, *others = records(THREADS, 3, prefix="recent-")
    write({**simple_dump(), PART: lines([{**first, "brand_id": "late"}, *others])}, tmp_path)
    migrate(settings)
    execute(settings, sa.insert(tables.brands).values(account_id=ACCOUNT, id="late", name=None))
    assert counts(migrate(settings, again=True)) == dict.fromkeys(ROW_ENTITIES, (1, 2, 0))


def test_newer_replaces_older(imported: Settings, tmp_path: Path) -> None:
    """And of one instant what is there stays."""
    one, two, three = records(MESSAGES, 3, prefix="remaining-")
    newer, same = {**one, "body": "newer", "updated_at": LATER}, {**two, "body": "other words"}
    write({"remaining/messages/part-0.jsonl": lines([newer, same, three])}, tmp_path)
    result = migrate(imported, passes=[Pass.REMAINING], again=True)
    assert counts(result, Pass.REMAINING)["messages"] == (1, 2, 0)
    bodies = {row["id"]: row["body"] for row in rows(imported)["messages"]}
    assert (bodies["remaining-m0"], bodies["remaining-m1"]) == ("newer", None)


def test_nothing_deleted_comes_back(imported: Settings, tmp_path: Path) -> None:
    """Neither what a person deleted after the account became active, nor what a dump or a delta did, nor a brand of
    account.json."""
    execute(
        imported,
        sa.delete(tables.threads).where(tables.threads.c.id == "recent-t1"),
        sa.delete(tables.brands).where(tables.brands.c.id == "b2"),
    )
    write({"delta/deletions/1.jsonl": lines([deletion(MESSAGES, "remaining-m2")])}, tmp_path)
    migrate(imported, passes=[Pass.DELTA])
    mend(tmp_path)
    result = migrate(imported, again=True)
    assert counts(result) == dict.fromkeys(ROW_ENTITIES, (1, 1, 1))
    assert {reject["reasons"][0]["code"] for reject in app.rejects(imported, ACCOUNT, (Pass.RECENT,))} == {
        "deleted_in_target"
    }
    assert [row["id"] for row in rows(imported)["brands"]] == ["b1"]
    assert ids(imported, tables.attachments) == ["recent-a0", "recent-a2", "remaining-a0", "remaining-a1"]


@on_sqlite
def test_the_source_is_remembered(imported: Settings, tmp_path: Path) -> None:
    """Without one each pass is read from where it was read last; with one from there."""
    mend(tmp_path)
    nowhere = dataclasses.replace(imported, source=None)
    assert counts(migrate(nowhere, again=True)) == dict.fromkeys(ROW_ENTITIES, (1, 2, 0))
    (tmp_path / ACCOUNT).rename(tmp_path / "moved")
    elsewhere = dataclasses.replace(imported, source=str(tmp_path / "moved"))
    assert code_of(migrate(elsewhere, again=True)) is None
    assert counts(migrate(nowhere, passes=[Pass.RECENT], again=True)) == dict.fromkeys(ROW_ENTITIES, (0, 3, 0))


def test_an_account_that_was_never_read_has_no_source(settings: Settings) -> None:
    """It has to be given one; nothing is touched."""
    nowhere = dataclasses.replace(settings, source=None)
    assert code_of(migrate(nowhere, again=True)) == "configuration"


def test_again_of_what_was_never_imported_is_its_first_import(settings: Settings, tmp_path: Path) -> None:
    """The remaining pass of an account that has only its recent one, too."""
    mend(tmp_path)
    assert migrate(settings, passes=[Pass.REMAINING], again=True).error.code == "recent_pass_first"  # type: ignore[union-attr]
    assert migrate(settings, passes=[Pass.RECENT], again=True).document["account_status"] == "active-recent-only"
    result = migrate(settings, again=True)
    assert (counts(result)["threads"], counts(result, Pass.REMAINING)["threads"]) == ((0, 3, 0), (3, 0, 0))
    assert result.document["account_status"] == "active"


@on_sqlite
def test_the_status_never_goes_back(imported: Settings) -> None:
    """Not even while the recent pass is read again, nor when that fails."""
    seen = set()

    def look(event: Event) -> None:
        if isinstance(event, Advanced):
            seen.add(app.status_document(imported, ACCOUNT)["account_status"])

    result = migrate(imported, passes=[Pass.RECENT], again=True, max_rejects="0", observe=look)
    assert code_of(result) == "too_many_rejects"
    assert seen | {result.document["account_status"]} == {"active"}


@on_sqlite
def test_a_failed_reading_goes_on(imported: Settings, tmp_path: Path) -> None:
    """As the same run; without being asked to read again there is nothing to do."""
    failed = migrate(imported, passes=[Pass.RECENT], again=True, max_rejects="0").document["passes"]["recent"]
    assert migrate(imported).imported == ()
    done = migrate(imported, passes=[Pass.RECENT], again=True).document["passes"]["recent"]
    assert (done["run_id"], done["state"], done["attempts"]) == (failed["run_id"], "succeeded", 2)


@on_sqlite
def test_a_round_goes_on_where_it_stopped(imported: Settings, tmp_path: Path) -> None:
    """The recent pass is not read a second time; after its end the next round reads both."""
    mend(tmp_path)
    (tmp_path / ACCOUNT / "remaining").rename(tmp_path / "away")
    assert code_of(migrate(imported, again=True)) == "dump_not_found"
    (tmp_path / "away").rename(tmp_path / ACCOUNT / "remaining")
    result = migrate(imported, again=True)
    assert (result.imported, counts(result)) == ((Pass.REMAINING,), dict.fromkeys(ROW_ENTITIES, (1, 2, 0)))
    assert migrate(imported, again=True).imported == HALVES


@on_sqlite
def test_a_delta_is_read_again(imported: Settings, tmp_path: Path) -> None:
    """Though it was the last one."""
    write({"delta/threads/1.jsonl": lines([*records(THREADS, 1, prefix="new-"), {"id": "wrong"}])}, tmp_path)
    assert counts(migrate(imported, passes=[Pass.DELTA]), Pass.DELTA)["threads"] == (1, 0, 1)
    assert migrate(imported, passes=[Pass.DELTA]).imported == ()
    assert counts(migrate(imported, passes=[Pass.DELTA], again=True), Pass.DELTA)["threads"] == (0, 1, 1)


@on_sqlite
def test_a_purged_account_is_not_read_again(imported: Settings) -> None:
    """Nobody knows any more what people deleted."""
    app.purge(imported, ACCOUNT, confirmed=True, observe=lambda _: None, stop=threading.Event())
    assert code_of(migrate(imported, again=True)) == "account_purged"


# --- crashes, and others at work -----------------------------------------------------------------------------------


def test_a_reading_that_is_killed_goes_on(tmp_path: Path, sqlite_url: str) -> None:
    """By the same command, wherever it struck; what is there then is what an undisturbed reading leaves."""
    settings = settings_for(tmp_path, sqlite_url)
    undisturbed = _read_again(settings, tmp_path, "account-00")
    for k in range(4, 28, 7):
        assert _read_again(settings, tmp_path, f"account-{k:02}", k) == undisturbed, f"killed in transaction {k}"


def _read_again(settings: Settings, folder: Path, account: str, k: int = 0) -> dict[str, Any]:
    """What a second reading leaves, killed at its transaction `k`, if any, and asked for once more."""
    write(seeded_dump(3, account), folder, account)
    migrate(settings, account)
    write(seeded_dump(4, account), folder, account)
    if k:
        child = forks.context.Process(target=_die, args=(settings, account, k))
        child.start()
        child.join()
        assert child.exitcode == -9
    result = migrate(settings, account, again=True)
    assert (code_of(result), adds_up(result)) == (None, True)
    return snapshot(settings, account)


def _die(settings: Settings, account: str, k: int) -> None:
    with Transactions(k, Moment.COMMIT, kill_process).watched():
        migrate(settings, account, again=True)


@pytest.mark.parametrize("passes", [[Pass.RECENT], HALVES])
def test_two_at_once_are_one_reading(database_url: str, tmp_path: Path, passes: Sequence[Pass]) -> None:
    """The other one finds it at work."""
    settings = settings_for(tmp_path, database_url, lease_seconds=60.0)
    mend(tmp_path)
    migrate(settings)
    others: list[Any] = []

    def meanwhile(event: Event) -> None:
        if isinstance(event, Advanced) and not others:
            others.append(None)
            others[0] = migrate(settings, passes=passes, again=True, observe=beat)

    def beat(event: Event) -> None:
        execute(settings, sa.update(tables.import_runs).values(lease_until=tables.import_runs.c.lease_until + 1))

    first = migrate(settings, passes=passes, again=True, observe=meanwhile)
    assert (code_of(first), code_of(others[0]), exit_status(others[0])) == (None, "run_is_alive", 4)
    with app.connect(settings).read() as connection:
        runs = connection.execute(sa.select(tables.import_runs.c["pass"])).scalars().all()
    assert sorted(runs) == ["recent", "remaining"]
