"""A pass of which nothing was imported fails, and says why and what to do."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from s3import.console.exits import exit_status
from s3import.core import limits, tables
from s3import.core.records import HALVES, ROW_ENTITIES, Pass
from s3import.core.settings import Settings
from s3import.importing.requests import Result
from tests import commands as app
from tests.databases import on_sqlite
from tests.importing.dumps import ACCOUNT, account_document, deletion, lines, manifest, records, simple_dump, write
from tests.importing.moving import code_of, counts, execute, ids, migrate, rows, settings_for

pytestmark = pytest.mark.integration

THREADS, MESSAGES, ATTACHMENTS = ROW_ENTITIES
NO_BRANDS = account_document(brands=[], channels=[])


def message_of(result: Result) -> str:
    assert result.error is not None
    return result.error.message


def listed(settings: Settings) -> int:
    """How many rejects are kept."""
    return len(list(app.rejects(settings, ACCOUNT, tuple(Pass))))


@on_sqlite
def test_an_account_without_brands_fails(database_url: str, tmp_path: Path) -> None:
    """With exit status 1, its first cause, and the cure; the account is not thought imported."""
    settings = settings_for(tmp_path, database_url)
    write({**simple_dump(), "account.json": NO_BRANDS}, tmp_path)
    result = migrate(settings)
    assert (code_of(result), exit_status(result)) == ("all_rejected", 1)
    assert (result.document["account_status"], listed(settings)) == ("migrating", 9)
    assert "unknown_brand" in message_of(result)
    assert "the account has no brands; create them, or give the dump an account.json" in message_of(result)


@pytest.mark.parametrize("by", ["people", "account.json"])
def test_the_cure_helps(settings: Settings, tmp_path: Path, by: str) -> None:
    """The same command again reads the parts from their beginning, and account.json: nothing of it was there yet."""
    write({**simple_dump(), "account.json": NO_BRANDS}, tmp_path)
    failed = migrate(settings).document["passes"]["recent"]
    if by == "people":
        missing: Any = [sa.insert(tables.brands).values(account_id=ACCOUNT, id=brand) for brand in ("b1", "b2")]
        channel = sa.insert(tables.channels).values(account_id=ACCOUNT, id="c1", brand_id="b1")
        execute(settings, *missing, channel)
    else:
        write(simple_dump(), tmp_path)
    result = migrate(settings)
    assert (code_of(result), counts(result), listed(settings)) == (None, dict.fromkeys(ROW_ENTITIES, (3, 0, 0)), 0)
    assert result.document["passes"]["recent"]["run_id"] == failed["run_id"]


def test_a_brand_that_somebody_deleted_meanwhile_stays_deleted(settings: Settings, tmp_path: Path) -> None:
    """Though account.json has another chance, and names it still."""
    wrong = {f"recent/{entity}/part-0.jsonl": lines([{"id": "x"}]) for entity in ROW_ENTITIES}
    write({**simple_dump(), **wrong}, tmp_path)
    assert code_of(migrate(settings)) == "all_rejected"
    execute(settings, sa.delete(tables.brands).where(tables.brands.c.id == "b1"))
    write({**simple_dump(), "recent/threads/0.jsonl": lines([records(THREADS, 1)[0] | {"brand_id": "b2"}])}, tmp_path)
    migrate(settings)
    assert [row["id"] for row in rows(settings)["brands"]] == ["b2"]
    assert rows(settings)["channels"] == []


def test_the_rejects_stay_until_the_next_attempt(settings: Settings, tmp_path: Path) -> None:
    """Each once, however often it fails."""
    write({**simple_dump(), "account.json": NO_BRANDS}, tmp_path)
    for _ in range(2):
        assert code_of(migrate(settings)) == "all_rejected"
        assert listed(settings) == 9


@pytest.mark.parametrize("at_once", [True, False])
def test_the_first_ten_thousand_rejects_are_enough(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at_once: bool
) -> None:
    """It does not go on to read what will be rejected too. (Of ten here.)"""
    monkeypatch.setattr(limits, "ENOUGH_TO_DESPAIR", 10)
    wrong = [{**record, "status": "?"} for record in records(THREADS, 40, prefix="recent-")]
    write({**simple_dump(), "recent/threads/part-0.jsonl": lines(wrong)}, tmp_path)
    result = migrate(settings if at_once else dataclasses.replace(settings, block_bytes=1))
    shown = result.document["passes"]["recent"]["counts"]
    assert (code_of(result), shown["messages"]["read"]) == ("all_rejected", 0)
    assert 10 <= shown["threads"]["read"] < 40
    assert "invalid_value" in message_of(result)


def test_one_record_that_came_over_is_enough(settings: Settings, tmp_path: Path) -> None:
    """Of any entity; a deletion that holds is one."""
    wrong = {f"recent/{entity}/part-0.jsonl": lines([{"id": "x"}]) for entity in ROW_ENTITIES}
    last = {"recent/deletions/part-0.jsonl": lines([deletion(THREADS, "t9")])}
    write({**simple_dump(), **wrong, **last}, tmp_path)
    result = migrate(settings, passes=[Pass.RECENT])
    assert (code_of(result), exit_status(result)) == (None, 3)


def test_whoever_allows_rejects_gets_them(settings: Settings, tmp_path: Path) -> None:
    """With --max-rejects its own rule holds alone."""
    write({**simple_dump(), "account.json": NO_BRANDS}, tmp_path)
    assert (exit_status(migrate(settings, max_rejects="100%")), listed(settings)) == (3, 18)


def test_a_pass_without_any_record_succeeds(settings: Settings, tmp_path: Path) -> None:
    """A manifest without parts, and parts without records."""
    dump = {"account.json": NO_BRANDS, "remaining/threads/0.jsonl": b"\n \n"}
    write({**dump, "recent/manifest.json": manifest({}, Pass.RECENT)}, tmp_path)
    result = migrate(settings)
    assert (code_of(result), result.imported, result.document["account_status"]) == (None, HALVES, "active")


def test_a_later_pass_does_not_speak_of_account_json(settings: Settings, tmp_path: Path) -> None:
    """It had its chance."""
    only = {key: body for key, body in simple_dump().items() if not key.startswith("recent/")}
    write({**only, "account.json": NO_BRANDS, "recent/manifest.json": manifest({}, Pass.RECENT)}, tmp_path)
    result = migrate(settings)
    assert (code_of(result), result.imported) == ("all_rejected", (Pass.RECENT,))
    assert "create them" in message_of(result)
    assert "account.json" not in message_of(result)


def test_a_delta_of_which_nothing_came_over_fails(settings: Settings, tmp_path: Path) -> None:
    """And is tried again as the same run."""
    write(simple_dump(), tmp_path)
    migrate(settings)
    write({"delta/threads/1.jsonl": lines([{"id": "x"}])}, tmp_path)
    assert code_of(migrate(settings, passes=[Pass.DELTA])) == "all_rejected"
    write({"delta/threads/1.jsonl": lines(records(THREADS, 1, prefix="new-"))}, tmp_path)
    result = migrate(settings, passes=[Pass.DELTA])
    assert (code_of(result), counts(result, Pass.DELTA)["threads"]) == (None, (1, 0, 0))
    assert "new-t0" in ids(settings, tables.threads)


# --- what is kept of rejects ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("at_once", [True, False])
def test_the_text_of_the_first_rejects_is_kept(database_url: str, tmp_path: Path, at_once: bool) -> None:
    """Of later ones only place and reasons; a resumed run goes on counting."""
    settings = settings_for(tmp_path, database_url, keep_raw=3, **({} if at_once else {"block_bytes": 1}))
    wrong = [{"id": f"x{number}"} for number in range(4)]
    parts = {f"recent/{entity}/part-1.jsonl": lines(wrong) for entity in ("threads", "messages")}
    write({**simple_dump(), **parts}, tmp_path)
    (tmp_path / ACCOUNT / "recent/attachments/part-0.jsonl").write_bytes(b"{\n")
    migrate(settings, passes=[Pass.RECENT], max_rejects="5")
    migrate(settings, passes=[Pass.RECENT])
    kept = list(app.rejects(settings, ACCOUNT, (Pass.RECENT,)))
    assert [reject["raw"] for reject in kept] == ['{"id":"x0"}', '{"id":"x1"}', '{"id":"x2"}', *[None] * 6]
    assert [reject["raw_truncated"] for reject in kept] == [False] * 3 + [True] * 6
    assert all(reject["reasons"] and reject["line"] for reject in kept)


def test_what_was_rejected_goes_page_by_page(
    database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However many parts there were, no statement takes them all away; cut off in between, the next attempt goes on."""
    monkeypatch.setattr("s3import.importing.bookkeeping.PAGE_ROWS", 2)
    settings = settings_for(tmp_path, database_url)
    parts = {f"recent/threads/{number}.jsonl": lines(records(THREADS, 1, prefix=f"{number}-")) for number in range(5)}
    write({**simple_dump(), **parts, "account.json": NO_BRANDS}, tmp_path)
    assert code_of(migrate(settings, passes=[Pass.RECENT])) == "all_rejected"
    write(simple_dump(), tmp_path)
    deleted: list[int] = []

    def note(_connection: Any, cursor: Any, statement: str, *_: Any) -> None:
        if statement.startswith("DELETE FROM import_parts"):
            deleted.append(cursor.rowcount)
            if len(deleted) == 1:
                raise RuntimeError("the process dies")

    sa.event.listen(sa.Engine, "after_cursor_execute", note)
    try:
        assert code_of(migrate(settings, passes=[Pass.RECENT])) == "internal_error"
        assert listed(settings) < 14
        result = migrate(settings, passes=[Pass.RECENT])
    finally:
        sa.event.remove(sa.Engine, "after_cursor_execute", note)
    assert (code_of(result), listed(settings)) == (None, 0)
    assert counts(result)["threads"] == (8, 0, 0)
    assert 0 < max(deleted) <= 2


def test_a_part_that_is_read_anew_frees_its_texts(settings: Settings, tmp_path: Path) -> None:
    """Others may have them, and never more than the run may have in all."""
    settings = dataclasses.replace(settings, keep_raw=3)
    bad = lines([{"id": f"x{number}"} for number in range(4)])
    write({**simple_dump(), "recent/threads/part-1.jsonl": bad, "recent/messages/0.jsonl": b"\x1f\x8b\x08"}, tmp_path)
    assert code_of(migrate(settings, passes=[Pass.RECENT])) == "part_unreadable"
    write({"recent/threads/part-1.jsonl": lines([{"id": "x"}]), "recent/messages/0.jsonl": bad}, tmp_path)
    assert code_of(migrate(settings, passes=[Pass.RECENT])) is None
    raw = [reject["raw"] for reject in app.rejects(settings, ACCOUNT, (Pass.RECENT,))]
    assert raw == ['{"id":"x"}', '{"id":"x0"}', '{"id":"x1"}', None, None]
