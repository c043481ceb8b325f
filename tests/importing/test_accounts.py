"""Accounts come from account.json once, and go when a person deletes them, even under a run."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import sqlalchemy as sa

from s3import.core import tables
from s3import.core.events import Advanced, Event
from s3import.core.records import ROW_ENTITIES, Pass
from s3import.core.settings import Settings
from s3import.writers import open_database
from tests.importing.dumps import ACCOUNT, account_document, lines, records, simple_dump, write
from tests.importing.moving import code_of, counts, execute, migrate, rows, settings_for, snapshot

pytestmark = pytest.mark.integration

NO_TRACE = {"account_id": ACCOUNT, "account_status": None, "passes": {"recent": None, "remaining": None}}
DELETION = sa.delete(tables.accounts).where(tables.accounts.c.id == ACCOUNT)


def test_an_account_that_never_existed_leaves_no_trace(settings: Settings, tmp_path: Path) -> None:
    """No account and no account.json: an error that says what to do, and nothing in the database."""
    dump = simple_dump()
    del dump["account.json"]
    write(dump, tmp_path)
    result = migrate(settings)
    assert (code_of(result), result.document) == ("account_not_found", NO_TRACE)


def test_what_exists_already_stays_as_it_is(settings: Settings, tmp_path: Path) -> None:
    """Of account.json only what is missing is created."""
    folder = write(simple_dump(), tmp_path)
    (folder / "account.json").unlink()
    migrate(settings)  # creates the tables
    execute(settings, *_account_with_brand("b1", name="Ours"))
    write(simple_dump(), tmp_path)
    assert code_of(migrate(settings)) is None
    assert [(brand["id"], brand["name"]) for brand in rows(settings)["brands"]] == [("b1", "Ours"), ("b2", "Two")]


def test_a_brand_that_was_deleted_does_not_come_back(settings: Settings, tmp_path: Path) -> None:
    """account.json has its one chance with the account's first run."""
    write(simple_dump(), tmp_path)
    migrate(settings, passes=(Pass.RECENT,))
    execute(settings, sa.delete(tables.brands).where(tables.brands.c.id == "b2"))
    assert code_of(migrate(settings)) is None
    assert [brand["id"] for brand in rows(settings)["brands"]] == ["b1"]


@pytest.mark.parametrize(
    "document",
    [
        b"{",
        account_document("other"),
        account_document(brands=[{"id": ""}]),
        account_document(channels=[{"id": "c9", "brand_id": "nowhere"}]),
    ],
    ids=["no JSON", "another account's", "no id", "unknown brand"],
)
def test_a_wrong_account_document_changes_nothing(settings: Settings, tmp_path: Path, document: bytes) -> None:
    """It is applied as a whole or not at all, and once it is repaired the run goes on."""
    write({**simple_dump(), "account.json": document}, tmp_path)
    result = migrate(settings)
    assert (code_of(result), result.document) == ("invalid_account_json", NO_TRACE)
    write({"account.json": account_document()}, tmp_path)
    assert code_of(migrate(settings)) is None


def test_an_account_deleted_under_its_run_is_gone(database_url: str, tmp_path: Path) -> None:
    """The run ends at its next batch as cancelled; no row, reject or checkpoint is left, and the next run brings
    nothing back."""
    settings = settings_for(tmp_path, database_url)
    write(_dump_with_rejects(), tmp_path)
    result = migrate(settings, observe=_deleting_after(4, settings))
    shown = result.document["passes"]["recent"]
    assert (code_of(result), shown["state"]) == ("account_deleted", "cancelled")
    assert shown["error"]["code"] == "account_deleted"
    assert _traces(settings) == 0
    assert code_of(migrate(settings)) == "account_not_found"
    assert _traces(settings) == 0


@pytest.mark.parametrize("batches", [1, 3, 9])
def test_an_account_may_go_between_any_two_batches(settings: Settings, tmp_path: Path, batches: int) -> None:
    """Whatever is imported at that moment, and however it is done."""
    write(_dump_with_rejects(), tmp_path)
    assert code_of(migrate(settings, observe=_deleting_after(batches, settings))) == "account_deleted"
    assert _traces(settings) == 0


def test_an_account_that_was_made_again_starts_from_nothing(database_url: str, tmp_path: Path) -> None:
    """Checkpoints of a deleted account do not hold for another one of its name."""
    settings = settings_for(tmp_path, database_url)
    write({**simple_dump(4), "recent/messages/z.jsonl.gz": b"broken"}, tmp_path)
    assert code_of(migrate(settings)) == "part_unreadable"
    execute(settings, DELETION)
    execute(settings, *_account_with_brand("b1"), sa.insert(tables.channels).values(_CHANNEL))
    (tmp_path / ACCOUNT / "recent/messages/z.jsonl.gz").unlink()
    result = migrate(settings)
    assert (code_of(result), counts(result)) == (None, dict.fromkeys(ROW_ENTITIES, (4, 0, 0)))
    assert snapshot(settings)["status"] == "active"


_CHANNEL = {"account_id": ACCOUNT, "id": "c1", "brand_id": "b1"}


def _account_with_brand(brand: str, name: str | None = None) -> list[sa.Insert]:
    now = sa.func.current_timestamp()
    account = {"id": ACCOUNT, "status": "migrating", "created_at": now, "updated_at": now}
    return [
        sa.insert(tables.accounts).values(account),
        sa.insert(tables.brands).values(account_id=ACCOUNT, id=brand, name=name),
    ]


def _dump_with_rejects() -> dict[str, bytes]:
    """Several batches of each entity, some of nothing but rejects."""
    dump = simple_dump(20)
    parts = {f"recent/{entity}/part-0.jsonl": records(entity, 20, prefix="recent-") for entity in ROW_ENTITIES}
    return {**dump, **{key: lines([*[b"junk"] * 200, *made]) for key, made in parts.items()}}


def _deleting_after(batches: int, settings: Settings) -> Callable[[Event], None]:
    left = iter(range(batches))

    def watch(event: Event) -> None:
        if isinstance(event, Advanced) and next(left, None) == batches - 1:
            execute(settings, DELETION)

    return watch


def _traces(settings: Settings) -> int:
    """The rows left in all tables that have to do with the account, besides its runs and their diary."""
    kept = {tables.import_runs.name, tables.import_events.name}
    found = 0
    with open_database(settings.database).read() as connection:
        for table in tables.metadata.sorted_tables:
            if table.name not in kept:
                found += connection.execute(sa.select(sa.func.count()).select_from(table)).scalar_one()
    return found
