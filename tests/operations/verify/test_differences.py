"""What was planted in the database after an import is found, and nothing else."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from s3import.core.records import ROW_ENTITIES, Entity, Pass
from s3import.core.settings import Settings
from s3import.core.tables import attachments, import_tombstones, messages, threads
from s3import.operations.verify.expected import DumpPart, DumpReader
from s3import.operations.verify.findings import FindingKind
from tests.databases import on_sqlite
from tests.importing.dumps import ACCOUNT, lines, records, seeded_dump, simple_dump, write
from tests.importing.moving import code_of, execute, migrate, rows, settings_for
from tests.operations.verify.verifying import changes, differences, verify

pytestmark = pytest.mark.integration

AT = dt.datetime(2024, 5, 6, 7, 8, 9, tzinfo=dt.UTC)
TICK = dt.timedelta(microseconds=1)
FIELDS: dict[Entity, dict[str, Any]] = {
    Entity.THREADS: {"tags": ["a", "b"], "custom_fields": [{"name": "n", "value": "v"}], "subject": ""},
    Entity.MESSAGES: {"body": "text", "updated_at": "2024-05-06T07:08:09Z"},
    Entity.ATTACHMENTS: {"size_bytes": 17},
}


@pytest.fixture
def settings(database_url: str, tmp_path: Path) -> Settings:
    """An imported account of ten rows of each entity, ids t0 to t9, m0 to m9 and a0 to a9."""
    dump = simple_dump(0)
    for entity, fields in FIELDS.items():
        dump[f"recent/{entity}/part-0.jsonl"] = lines([{**record, **fields} for record in records(entity, 10)])
    write(dump, tmp_path)
    settings = settings_for(tmp_path, database_url)
    assert code_of(migrate(settings)) is None
    return settings


def change(table: sa.Table, row_id: str, **values: Any) -> sa.Update:
    return sa.update(table).where(table.c.account_id == ACCOUNT, table.c.id == row_id).values(values)


def delete(table: sa.Table, row_id: str) -> sa.Delete:
    return sa.delete(table).where(table.c.account_id == ACCOUNT, table.c.id == row_id)


def lose(table: sa.Table, row_id: str) -> tuple[sa.Delete, sa.Delete]:
    """The row goes without anybody having deleted it."""
    return delete(table, row_id), delete(import_tombstones, row_id)


def message(row_id: str, at: dt.datetime) -> sa.Insert:
    fixed = {"origin": "email", "direction": "inbound", "visibility": "regular"}
    return sa.insert(messages).values(account_id=ACCOUNT, id=row_id, thread_id="t0", created_at=at, **fixed)


def test_finds_every_kind_of_difference_and_nothing_else(settings: Settings) -> None:
    """A missing row, an extra one, one character, one microsecond, NULL for an empty string, the order of tags: each
    by its id and field. What does not come from the dump, and how JSON is spelled, does not count."""
    execute(
        settings,
        *lose(attachments, "a0"),
        message("extra", AT),
        change(messages, "m1", body="texT"),
        change(messages, "m2", body="text "),
        change(messages, "m3", created_at=AT + TICK),
        change(messages, "m4", updated_at=AT + TICK),
        change(messages, "m5", updated_at=None),
        change(messages, "m6", body_html="", author_name="Ann"),
        change(threads, "t1", subject=None),
        change(threads, "t2", tags=["b", "a"]),
        change(threads, "t3", custom_fields=[{"name": "n", "value": None}]),
        change(threads, "t4", tags=sa.text("""'[ "a","b" ]'""")),
        change(attachments, "a1", size_bytes=None),
        change(attachments, "a2", state="copied", storage_key="elsewhere"),
    )
    found = verify(settings)
    assert changes(found) == set()
    assert differences(found) == {
        ("attachments", "a0", "missing"),
        ("messages", "extra", "unexpected"),
        ("messages", "m1", "different", "body"),
        ("messages", "m2", "different", "body"),
        ("messages", "m3", "different", "created_at"),
        ("messages", "m4", "different", "updated_at"),
        ("messages", "m5", "different", "updated_at"),
        ("messages", "m6", "different", "author_name", "body_html"),
        ("threads", "t1", "different", "subject"),
        ("threads", "t2", "different", "tags"),
        ("threads", "t3", "different", "custom_fields"),
        ("attachments", "a1", "different", "size_bytes"),
    }


def test_tells_what_people_did_since_from_differences(settings: Settings) -> None:
    """A row with a later time than the dump's, a deletion that left a tombstone and a row made since are no
    differences."""
    now = dt.datetime.now(dt.UTC)
    execute(
        settings,
        change(threads, "t1", subject="Solved", updated_at=now),
        change(threads, "t2", updated_at=now),
        delete(attachments, "a3"),
        message("new", now),
    )
    found = verify(settings)
    assert differences(found) == set()
    assert changes(found) == {
        ("threads", "t1", "changed_since", "subject", "updated_at"),
        ("threads", "t2", "changed_since", "updated_at"),
        ("attachments", "a3", "deleted_since"),
    }
    assert found.findings.counts()["messages"]["created_since"] == 1


@on_sqlite
def test_lists_where_a_record_stands(settings: Settings) -> None:
    """A difference names the part and the line of its record."""
    execute(settings, change(messages, "m7", body="text!"))
    (found,) = verify(settings).findings.differences
    assert (found.part, found.line) == ("recent/messages/part-0.jsonl", 8)


@pytest.mark.parametrize("seed", range(2))
def test_finds_nothing_after_an_import(database_url: str, tmp_path: Path, seed: int) -> None:
    """Every format, both passes, rejects, repaired text and repeated ids: what the import made of them is right."""
    settings = settings_for(tmp_path, database_url)
    write(seeded_dump(seed), tmp_path)
    assert code_of(migrate(settings)) is None
    found = verify(settings).findings
    assert (found.differences, found.changes) == ([], [])
    assert dict(found.expected) == dict(found.found) == {entity: len(rows(settings)[entity]) for entity in ROW_ENTITIES}


@on_sqlite
def test_compares_what_was_imported_so_far(settings: Settings, tmp_path: Path) -> None:
    """With only its recent pass imported, an account is compared with that pass."""
    write(seeded_dump(5, "half"), tmp_path, "half")
    migrate(settings, "half", passes=(Pass.RECENT,))
    found = verify(settings, "half")
    assert (found.passes, found.findings.difference_count) == ((Pass.RECENT,), 0)


@pytest.mark.parametrize(("deleted_at", "kinds"), [(AT, set()), (AT - TICK, {("messages", "m3", "missing")})])
def test_a_dumps_tombstone_explains_only_what_is_not_newer(
    settings: Settings, deleted_at: dt.datetime, kinds: set[tuple[str, ...]]
) -> None:
    """A record that is newer than the tombstone of its id should be there, whatever the tombstone says."""
    by_dump = change(import_tombstones, "m3", from_dump=True, deleted_at=deleted_at)
    execute(settings, delete(messages, "m3"), by_dump)
    assert {found for found in differences(verify(settings)) if found[0] == "messages"} == kinds


def test_rows_that_a_dump_deletes_are_to_be_gone(settings: Settings, tmp_path: Path) -> None:
    """Whether it brought them itself or they were there before, each is told once, with the place of its deletion; one
    that is newer may stay, and so may one that was made since."""
    deleted = [("messages", row_id) for row_id in ("m3", "m4", "before", "since", "never")] + [("threads", "t9")]
    deletions = [{"entity": entity, "id": row_id, "deleted_at": "2199-01-01T00:00:00Z"} for entity, row_id in deleted]
    deletions.append({"entity": "messages", "id": "newer", "deleted_at": "2024-05-06T07:08:08Z"})
    write({"delta/deletions/part-0.jsonl": lines([*deletions, *deletions])}, tmp_path)
    m3 = rows(settings)["messages"][3]
    execute(settings, message("newer", AT))
    assert code_of(migrate(settings, passes=(Pass.DELTA,))) is None
    assert {one[1:] for one in differences(verify(settings))} == {("newer", "unexpected")}
    now = dt.datetime.now(dt.UTC)
    forgotten = sa.delete(import_tombstones).where(import_tombstones.c.id.in_(["m3", "before"]))
    execute(settings, sa.insert(messages).values(m3), forgotten, message("before", AT), message("since", now))
    found = verify(settings)
    assert {one[1:] for one in differences(found)} == {(name, "unexpected") for name in ("newer", "m3", "before")}
    assert {one.id: (one.part, one.line) for one in found.findings.differences} == {
        "newer": (None, None),
        "m3": ("delta/deletions/part-0.jsonl", 1),
        "before": ("delta/deletions/part-0.jsonl", 3),
    }


@pytest.mark.parametrize("forget", [False, True])
def test_records_without_rows_are_looked_up_by_sets(settings: Settings, forget: bool) -> None:
    """However many rows are missing, no look at tombstones names their ids one by one."""
    gone = sa.delete(threads).where(threads.c.account_id == ACCOUNT)
    execute(settings, gone, *([sa.delete(import_tombstones)] if forget else []))
    most = 0

    def count(_connection: Any, _cursor: Any, statement: str, parameters: Any, *_: Any) -> None:
        nonlocal most
        if "import_tombstones" in statement:
            most = max(most, len(parameters))

    sa.event.listen(sa.Engine, "before_cursor_execute", count)
    try:
        found = verify(settings).findings
    finally:
        sa.event.remove(sa.Engine, "before_cursor_execute", count)
    kind = FindingKind.MISSING if forget else FindingKind.DELETED_SINCE
    assert [found.kinds[entity, kind] for entity in ROW_ENTITIES] == [10, 10, 10]
    assert most < 10


@on_sqlite
def test_missing_rows_need_no_further_reading(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where nothing of the account was deleted, nothing can excuse them: their records are not read once more."""
    execute(settings, sa.delete(threads).where(threads.c.account_id == ACCOUNT), sa.delete(import_tombstones))
    read: list[str] = []
    rows_of = DumpReader.rows

    def note(reader: DumpReader, part: DumpPart) -> Any:
        read.append(part.key)
        return rows_of(reader, part)

    monkeypatch.setattr(DumpReader, "rows", note)
    found = verify(settings).findings
    assert [found.kinds[entity, FindingKind.MISSING] for entity in ROW_ENTITIES] == [10, 10, 10]
    assert {finding.id for finding in found.differences} >= {"t3", "m3", "a3"}
    assert len(read) == len(set(read))


def test_many_parts_are_compared_page_by_page(
    database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is found of a part is told of that part, and no more parts than a page holds are in memory at a time."""
    monkeypatch.setattr("s3import.operations.verify.dump_parts.PAGE_PARTS", 2)
    monkeypatch.setattr("s3import.operations.spill.MOST_SMALL", 2)
    monkeypatch.setattr("s3import.importing.checkpoints.PAGE_PARTS", 2)
    dump = simple_dump(0)
    for number, record in enumerate(records(Entity.THREADS, 7)):
        dump[f"recent/threads/part-{number}.jsonl"] = lines([record])
    folder = write(dump, tmp_path)
    settings = settings_for(tmp_path, database_url)
    assert code_of(migrate(settings)) is None
    execute(settings, *lose(threads, "t1"), change(threads, "t4", subject="another"), *lose(threads, "t6"))
    (folder / "recent/threads/part-5.jsonl").unlink()
    write({"recent/threads/part-8.jsonl": lines(records(Entity.THREADS, 1, prefix="new-"))}, tmp_path)
    verified = verify(settings)
    listed = {(one.part, one.line, one.kind.value) for one in verified.findings.differences}
    assert listed == {
        ("recent/threads/part-1.jsonl", 1, "missing"),
        ("recent/threads/part-4.jsonl", 1, "different"),
        ("recent/threads/part-6.jsonl", 1, "missing"),
        ("recent/threads/part-8.jsonl", 1, "missing"),
        (None, None, "unexpected"),
    }
    assert verified.changed_parts == ("recent/threads/part-5.jsonl", "recent/threads/part-8.jsonl")


@on_sqlite
def test_only_the_first_names_of_changed_parts_are_told(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of the others the number."""
    monkeypatch.setattr("s3import.operations.verify.dump_parts.MAX_CHANGED", 1)
    write({f"recent/threads/part-{number}.jsonl": b"" for number in (1, 2, 3)}, tmp_path)
    assert verify(settings).changed_parts == ("recent/threads/part-1.jsonl", "… and 2 more")
