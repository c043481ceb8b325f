"""A dry run finds what a migration would stumble over, and writes nothing."""

from __future__ import annotations

import dataclasses
import threading
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from s3import.core import tables
from s3import.core.limits import RejectLimit
from s3import.core.records import HALVES, ROW_ENTITIES, Pass
from s3import.core.settings import Settings
from s3import.importing.requests import Request, Result
from tests import commands as app
from tests.databases import on_sqlite
from tests.importing.dumps import ACCOUNT, account_document, lines, records, simple_dump, write
from tests.importing.moving import code_of, execute, ignore, migrate, rows, settings_for

pytestmark = pytest.mark.integration

THREADS, MESSAGES, ATTACHMENTS = ROW_ENTITIES


def dry_run_accounts(settings: Settings, *passes: Pass, limit: str | None = None, again: bool = False) -> Result:
    """What `migrate --dry-run` does for one account."""
    allowed = RejectLimit.parse(limit) if limit else RejectLimit()
    request = Request(ACCOUNT, passes or HALVES, settings.source, allowed, again)
    return app.dry_run_accounts(settings, [request], observe=ignore, stop=threading.Event())[0]


def codes(result: Result, pass_: Pass = Pass.RECENT) -> dict[str, int]:
    found: dict[str, int] = result.document["passes"][pass_]["rejects"]["by_code"]
    return found


@pytest.fixture
def dump(tmp_path: Path) -> dict[str, bytes]:
    """A dump of which two threads name a brand and a channel that are nowhere; it is written."""
    one, two, three = records(THREADS, 3, prefix="recent-")
    odd = lines([{**one, "brand_id": "lost"}, {**two, "brand_id": "lost", "channel_id": "lost"}, three])
    made = {**simple_dump(), "recent/threads/part-0.jsonl": odd}
    write(made, tmp_path)
    return made


def test_unknown_parents_are_found(database_url: str, tmp_path: Path, dump: Any) -> None:
    """By the account's brands and channels and what its account.json would make of them."""
    settings = settings_for(tmp_path, database_url)
    result = dry_run_accounts(settings)
    assert (code_of(result), codes(result)) == (None, {"unknown_brand": 2, "unknown_channel": 1})
    second = result.document["passes"]["recent"]["first_rejects"][1]
    assert (second["part"], second["line"], second["id"]) == ("threads/part-0.jsonl", 2, "recent-t1")
    assert [reason["code"] for reason in second["reasons"]] == ["unknown_brand", "unknown_channel"]


def test_it_is_the_databases_brands_that_count(settings: Settings, tmp_path: Path, dump: Any) -> None:
    """Once account.json was applied."""
    migrate(settings)
    execute(settings, sa.insert(tables.brands).values(account_id=ACCOUNT, id="lost"))
    execute(settings, sa.delete(tables.brands).where(tables.brands.c.id == "b2"))
    before = rows(settings)
    assert codes(dry_run_accounts(settings, again=True)) == {"unknown_channel": 1}
    assert codes(dry_run_accounts(settings, again=True), Pass.REMAINING) == {}
    assert rows(settings) == before


def test_nothing_is_written(bare_database_url: str, tmp_path: Path, dump: Any) -> None:
    """No table, no file."""
    settings = settings_for(tmp_path, bare_database_url)
    assert codes(dry_run_accounts(settings)) == {"unknown_brand": 2, "unknown_channel": 1}
    assert not (tmp_path / "test.db").exists()
    if not bare_database_url.startswith("sqlite"):
        with app.connect(settings).read() as connection:
            assert sa.inspect(connection).get_table_names() == []


def test_without_a_database_no_parent_is_looked_for(tmp_path: Path, dump: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where none was named, and the default one does not exist."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / ACCOUNT / "account.json").unlink()
    result = dry_run_accounts(settings_for(tmp_path, Settings().database))
    assert (code_of(result), codes(result), list(tmp_path.glob("*.db*"))) == (None, {}, [])


def test_it_fails_where_the_migration_would_fail(settings: Settings, tmp_path: Path, dump: Any) -> None:
    """At once, or once it has read the pass."""
    assert code_of(dry_run_accounts(settings, limit="1")) == "too_many_rejects"
    assert code_of(dry_run_accounts(settings, Pass.REMAINING)) == "recent_pass_first"
    assert (
        code_of(dry_run_accounts(dataclasses.replace(settings, source=f"{tmp_path}/nowhere/{{account}}")))
        == "dump_not_found"
    )
    (tmp_path / ACCOUNT / "account.json").unlink()
    assert code_of(dry_run_accounts(settings)) == "account_not_found"
    execute(settings, sa.text("ALTER TABLE import_tombstones RENAME TO something"))
    assert code_of(dry_run_accounts(settings)) == "schema_mismatch"


@on_sqlite
def test_a_dump_of_which_nothing_would_come_over(database_url: str, tmp_path: Path, dump: Any) -> None:
    """As an account without brands: its messages have no thread to belong to. It says why, and what to do."""
    settings = settings_for(tmp_path, database_url)
    write({"account.json": account_document(brands=[], channels=[])}, tmp_path)
    result = dry_run_accounts(settings)
    assert code_of(result) == code_of(migrate(settings)) == "all_rejected"
    assert result.error is not None
    assert "the account has no brands; create them" in result.error.message


def test_a_wrong_account_document_is_found(settings: Settings, tmp_path: Path, dump: Any) -> None:
    """Before any record is read."""
    write({"account.json": account_document(channels=[{"id": "c", "brand_id": "nowhere"}])}, tmp_path)
    assert code_of(dry_run_accounts(settings)) == "invalid_account_json"
