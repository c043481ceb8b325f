"""What is certified, and what is not."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import jsonschema_rs
import orjson
import pytest
import sqlalchemy as sa

from s3import.core.errors import (
    ChangedSinceVerified,
    ConfigurationError,
    DifferencesFound,
    Interrupted,
    NotImported,
    NotVerified,
    RunIsAlive,
)
from s3import.core.events import Event, Reading
from s3import.core.json_schemas import schema_text
from s3import.core.records import HALVES, ROW_ENTITIES, Entity, Pass
from s3import.core.settings import Settings
from s3import.core.tables import attachments, import_events, import_parts, import_runs, messages, threads
from s3import.operations.verify import evidence
from s3import.operations.verify.certify import certify
from s3import.reporting.certificate import checked, signing_key
from s3import.writers import open_database
from tests.importing.dumps import ACCOUNT, deletion, lines, records, simple_dump, write
from tests.importing.moving import execute, migrate, settings_for
from tests.operations.verify.verifying import verify

pytestmark = pytest.mark.integration

SECRET = "0123456789abcdef0123456789abcdef"
BODY = "the customer's own words"


def certified(settings: Settings, **options: Any) -> dict[str, Any]:
    return certify(settings, ACCOUNT, **{"observe": lambda _: None, "stop": threading.Event(), **options})


@pytest.fixture
def verified(settings: Settings, tmp_path: Path) -> Settings:
    """The settings of an account that was imported and verified."""
    return verified_in(settings, tmp_path)


def verified_in(settings: Settings, folder: Path) -> Settings:
    settings = replace(settings, certificate_secret=SECRET)
    write(dump_of_everything(), folder)
    migrate(settings)
    verify(settings)
    return settings


def dump_of_everything() -> dict[str, bytes]:
    """Right records, one that repeats another, a wrong one, a tombstone and a body that nobody else may read."""
    threads_, messages_, _ = ROW_ENTITIES
    secretive = [{**one, "body": BODY, "id": "secretive"} for one in records(messages_, 1, prefix="recent-")]
    wrong = [{**one, "status": "?"} for one in records(threads_, 1, prefix="x-")]
    return {
        **simple_dump(),
        "recent/threads/more.jsonl": lines([*records(threads_, 1, prefix="recent-"), *wrong]),
        "recent/messages/more.jsonl": lines(secretive),
        "remaining/deletions/part-0.jsonl": lines([deletion(threads_, "recent-t2")]),
    }


def test_a_certificate_says_what_became_of_every_record(database_url: str, tmp_path: Path) -> None:
    """Read is written + unchanged + rejected, in each pass and in all; the document has the shape that it declares,
    and a key that it can be checked with."""
    settings = verified_in(settings_for(tmp_path, database_url), tmp_path)
    document = certified(settings)
    assert checked(orjson.dumps(document), signing_key(settings)) == document
    jsonschema_rs.Draft202012Validator(orjson.loads(schema_text("certificate"))).validate(document)
    assert document["totals"]["threads"] == {"read": 8, "written": 6, "unchanged": 1, "rejected": 1, "sanitised": 0}
    recent, remaining = document["runs"]
    assert (recent["pass"], recent["by_code"], remaining["by_code"]) == ("recent", {"invalid_value": 1}, {})
    assert document["deleted"]["threads"] == {"by_dump": 1, "by_people": 0}
    assert {entity: table["rows"] for entity, table in document["tables"].items()} == {
        "threads": 5,
        "messages": 6,
        "attachments": 5,
    }
    verification = document["verification"]
    assert (verification["differences"], verification["rejected"], document["is_as_verified"]) == (0, 1, False)
    assert BODY.encode() not in orjson.dumps(document)


def test_the_digests_are_the_same_as_long_as_the_tables_are(database_url: str, tmp_path: Path) -> None:
    """Of two certificates only the instants differ, and of two verifications."""
    settings = verified_in(settings_for(tmp_path, database_url), tmp_path)
    first = certified(settings)
    verify(settings)
    second = certified(settings)
    assert {name for name in first if first[name] != second[name]} == {"issued_at", "verification", "signature"}


def test_the_lists_have_the_digests_that_are_certified(database_url: str, tmp_path: Path) -> None:
    """A part a line with its ETag and a file a line with its checksum; any program for SHA-256 compares them."""
    settings = verified_in(settings_for(tmp_path, database_url), tmp_path)
    document = certified(settings, lists=tmp_path / "lists")
    for name in ("parts", "files"):
        text = (tmp_path / f"lists/{name}.jsonl").read_bytes()
        assert document[name]["sha256"] == hashlib.sha256(text).hexdigest()
        assert document[name]["count"] == text.count(b"\n") > 1
    parts = [orjson.loads(line) for line in (tmp_path / "lists/parts.jsonl").read_bytes().splitlines()]
    assert document["parts"]["size_bytes"] == sum(part["size_bytes"] for part in parts)
    assert all(part["read"] == part["written"] + part["unchanged"] + part["rejected"] for part in parts)
    assert {part["run_id"] for part in parts} == {run["run_id"] for run in document["runs"]}
    files = [orjson.loads(line) for line in (tmp_path / "lists/files.jsonl").read_bytes().splitlines()]
    assert [file["id"] for file in files] == sorted(file["id"] for file in files)
    assert document["files"]["by_state"] == {"referenced": 5}


def test_lists_are_never_written_over(verified: Settings, tmp_path: Path) -> None:
    """The list that is there stays, and no half of the other is left."""
    (tmp_path / "files.jsonl").write_text("mine")
    with pytest.raises(ConfigurationError, match=r"files\.jsonl"):
        certified(verified, lists=tmp_path)
    assert (tmp_path / "files.jsonl").read_text() == "mine"


@pytest.mark.parametrize("entity", [threads, messages])
def test_rows_that_changed_since_are_not_certified(database_url: str, tmp_path: Path, entity: sa.Table) -> None:
    """The message names the table and what to do; what the verification saw is certified on request, and is marked."""
    settings = verified_in(settings_for(tmp_path, database_url), tmp_path)
    before = certified(settings)
    column = {"threads": "subject", "messages": "body"}[entity.name]
    execute(settings, sa.update(entity).where(entity.c.id == "remaining-" + entity.name[0] + "1").values({column: "!"}))
    with pytest.raises(ChangedSinceVerified, match=rf"{entity.name} changed since .* `s3import verify --account"):
        certified(settings)
    document = certified(settings, as_verified=True)
    assert (document["is_as_verified"], document["tables"]) == (True, before["tables"])


def test_what_a_file_s_copy_changes_is_no_change(verified: Settings) -> None:
    """Files may be copied after the verification: the tables' digests are about what the dump says."""
    execute(verified, sa.update(attachments).values(state="copied", storage_key="x"))
    assert certified(verified)["files"]["by_state"] == {"copied": 5}


def test_a_pass_that_came_after_the_verification_has_to_be_verified(settings: Settings, tmp_path: Path) -> None:
    """The message names it."""
    settings = replace(settings, certificate_secret=SECRET)
    write(simple_dump(), tmp_path)
    migrate(settings, passes=HALVES[:1])
    with pytest.raises(NotVerified, match="was not verified yet; run `s3import verify --account acme` first"):
        certified(settings)
    verify(settings)
    assert [run["pass"] for run in certified(settings)["runs"]] == ["recent"]
    migrate(settings)
    with pytest.raises(NotVerified, match="the remaining pass was imported after the last verification"):
        certified(settings)


def test_a_pass_that_was_read_again_has_to_be_verified_again(verified: Settings) -> None:
    """Its counts are those of the new reading."""
    migrate(verified, again=True)
    with pytest.raises(NotVerified, match=r"not verified yet|was imported after"):
        certified(verified)


def test_differences_are_not_certified(verified: Settings) -> None:
    """However many there are, with where they are listed."""
    execute(verified, sa.update(threads).where(threads.c.id == "recent-t1").values(subject="other"))
    verify(verified)
    with pytest.raises(DifferencesFound, match=r"found 1 differences?; `s3import verify --account acme` lists"):
        certified(verified)


def test_counts_that_do_not_add_up_are_not_certified(verified: Settings) -> None:
    """That would be a fault of s3import, and it is said with the numbers."""
    mine = import_parts.c.entity == Entity.MESSAGES.value
    execute(verified, sa.update(import_parts).where(mine).values(read_count=import_parts.c.read_count + 1))
    with pytest.raises(DifferencesFound, match=r"\d messages were read, but \d written"):
        certified(verified)


def test_a_verification_of_an_earlier_version_has_to_be_made_again(verified: Settings) -> None:
    """It has no digests that the tables could be compared with."""
    kept = {"verified_at": "2026-01-01T00:00:00Z", "differences": 0, "rejected": 0, "counts": {}}
    execute(verified, sa.update(import_runs).values(verified=kept))
    with pytest.raises(NotVerified, match="earlier version"):
        certified(verified)


def test_nothing_is_certified_without_a_secret(verified: Settings) -> None:
    """Nor of an account that was never imported."""
    with pytest.raises(ConfigurationError, match="no secret"):
        certified(replace(verified, certificate_secret=None))
    execute(verified, sa.delete(import_runs))
    with pytest.raises(NotImported):
        certified(verified)


def test_a_pass_that_ends_meanwhile_spoils_it(
    verified: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was read of it before and after would not be one whole. No list is left, so that the same command can be
    run again."""
    look: Callable[..., Any] = evidence.files

    def files(*words: Any, **options: Any) -> Any:
        verify(verified)
        return look(*words, **options)

    monkeypatch.setattr(evidence, "files", files)
    with pytest.raises(RunIsAlive, match="run the same command again"):
        certified(verified, lists=tmp_path / "lists")
    monkeypatch.undo()
    assert certified(verified, lists=tmp_path / "lists")["parts"]["count"] > 1


def test_it_can_be_stopped(verified: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also in the midst of a long list."""
    monkeypatch.setattr(evidence, "ROWS_AT_ONCE", 2)
    stop = threading.Event()
    stop.set()
    with pytest.raises(Interrupted):
        certified(verified, stop=stop)


def test_it_says_what_it_reads(verified: Settings) -> None:
    """Each table before it is read, with its rows as they were verified."""
    events: list[Event] = []
    document = certified(verified, observe=events.append)
    tables = {entity: table["rows"] for entity, table in document["tables"].items()}
    assert {event.what: event.rows for event in events if isinstance(event, Reading)} == tables


def test_the_diary_tells_of_each_certificate(verified: Settings) -> None:
    """And of none that was refused."""
    certified(verified)
    execute(verified, sa.update(threads).values(subject="other"))
    with pytest.raises(ChangedSinceVerified):
        certified(verified)
    assert _events(verified)[-2:] == ["verified", "certified"]


def _events(settings: Settings) -> list[str]:
    with closing(open_database(settings.database)) as database, database.read() as connection:
        return list(connection.scalars(sa.select(import_events.c.event).order_by(import_events.c.id)))


def test_every_delta_is_certified(verified: Settings, tmp_path: Path) -> None:
    """Each reading stands there in its order, with its own numbers."""
    for name in "ab":
        write({"delta/threads/part.jsonl": lines(records(Entity.THREADS, 1, prefix=name))}, tmp_path / name)
        migrate(replace(verified, source=f"{tmp_path}/{name}/{{account}}"), passes=(Pass.DELTA,))
    verify(replace(verified, source=None))
    document = certified(verified)
    assert [run["pass"] for run in document["runs"]] == ["recent", "remaining", "delta", "delta"]
    assert document["totals"]["threads"]["read"] == 10
