"""What a run consists of, and what becomes of that when the dump changes between two attempts."""

from __future__ import annotations

import gzip
import itertools
import shutil
import threading
from pathlib import Path
from typing import Any

import orjson
import pytest

from s3import.core.events import Advanced, Event
from s3import.core.records import HALVES, ROW_ENTITIES, Entity, Pass
from s3import.core.settings import Settings
from tests.importing.dumps import Dump, lines, manifest, parquet, records, simple_dump, write
from tests.importing.moving import adds_up, code_of, counts, migrate, rows, snapshot

pytestmark = pytest.mark.integration

RECENT = (Pass.RECENT,)
MESSAGES = "recent/messages/part-0.jsonl"


def test_both_passes_make_the_account_active(settings: Settings, tmp_path: Path) -> None:
    """The status follows the passes, and every right record is in."""
    write(simple_dump(3), tmp_path)
    result = migrate(settings)
    assert (code_of(result), result.document["account_status"]) == (None, "active")
    assert counts(result) == counts(result, Pass.REMAINING) == dict.fromkeys(ROW_ENTITIES, (3, 0, 0))


def test_a_second_run_has_nothing_to_do(settings: Settings, tmp_path: Path) -> None:
    """An active account is left alone, even when its dump is gone."""
    dump = write(simple_dump(), tmp_path)
    migrate(settings)
    before = snapshot(settings)
    shutil.rmtree(dump)
    result = migrate(settings)
    assert (code_of(result), result.imported, snapshot(settings)) == (None, (), before)


def test_the_remaining_pass_comes_second(settings: Settings, tmp_path: Path) -> None:
    """Asked for alone before the recent pass was imported it fails and leaves nothing."""
    write(simple_dump(), tmp_path)
    result = migrate(settings, passes=(Pass.REMAINING,))
    assert (code_of(result), result.document["passes"]["remaining"]) == ("recent_pass_first", None)
    migrate(settings, passes=RECENT)
    assert code_of(migrate(settings, passes=(Pass.REMAINING,))) is None


def test_a_dump_that_is_not_there_is_no_empty_one(settings: Settings, tmp_path: Path) -> None:
    """Without any object below the pass the run fails and leaves no trace of the account."""
    write({"account.json": simple_dump()["account.json"]}, tmp_path)
    result = migrate(settings)
    assert code_of(result) == "dump_not_found"
    assert result.document == {
        "account_id": "acme",
        "account_status": None,
        "passes": {"recent": None, "remaining": None},
    }


def test_a_manifest_without_parts_is_an_empty_pass(settings: Settings, tmp_path: Path) -> None:
    """It succeeds with nothing read."""
    dump = {"account.json": simple_dump()["account.json"]}
    write({**dump, **{f"{pass_}/manifest.json": manifest({}, pass_) for pass_ in HALVES}}, tmp_path)
    result = migrate(settings)
    assert (code_of(result), result.document["account_status"]) == (None, "active")


@pytest.mark.parametrize("name", ["part.jsonl", "part.jsonl.gz", "part.jsonl.zst", "part.parquet"])
@pytest.mark.parametrize("promised", [True, False])
def test_an_empty_part_has_no_records(settings: Settings, tmp_path: Path, name: str, promised: bool) -> None:
    """Whatever its format, with a manifest or without."""
    dump = {**simple_dump(1), f"recent/messages/{name}": b""}
    if promised:
        dump["recent/manifest.json"] = manifest(dump, Pass.RECENT)
    write(dump, tmp_path)
    result = migrate(settings)
    assert (code_of(result), result.document["passes"]["recent"]["progress"]["parts_done"]) == (None, 4)


@pytest.mark.parametrize(
    "broken",
    [{"bytes": 1}, {"sha256": "0" * 64}, {"bytes": None, "sha256": "0" * 64}, {"rows": 17}],
    ids=["bytes", "sha256", "sha256 alone", "rows"],
)
@pytest.mark.parametrize("name", ["messages/part-0.jsonl", "messages/empty.jsonl"])
def test_a_part_keeps_what_its_manifest_promises(
    settings: Settings, tmp_path: Path, broken: dict[str, Any], name: str
) -> None:
    """Wrong bytes or sha256 fail the run before a row of the part is in; a right manifest lets it go on."""
    dump = {**simple_dump(3), "recent/messages/empty.jsonl": b""}
    right = manifest(dump, Pass.RECENT)
    wrong = orjson.loads(right)
    next(part for part in wrong["parts"] if part["key"] == name).update(broken)
    write({**dump, "recent/manifest.json": orjson.dumps(wrong)}, tmp_path)
    result = migrate(settings, passes=RECENT)
    assert code_of(result) == "part_differs"
    assert "rows" in broken or not rows(settings)["messages"]
    write({"recent/manifest.json": right}, tmp_path)
    result = migrate(settings, passes=RECENT)
    assert (code_of(result), counts(result)["messages"]) == (None, (3, 0, 0))


def test_rows_that_a_manifest_promises_later_are_counted_too(settings: Settings, tmp_path: Path) -> None:
    """A part that was done already is held against the manifest that came after it."""
    dump = simple_dump(3)
    write({**dump, "recent/attachments/part-1.jsonl.gz": b"broken"}, tmp_path)
    assert code_of(migrate(settings)) == "part_unreadable"
    (tmp_path / "acme/recent/attachments/part-1.jsonl.gz").unlink()
    write({"recent/manifest.json": manifest(dump, Pass.RECENT, rows=4)}, tmp_path)
    assert code_of(migrate(settings)) == "part_differs"
    write({"recent/manifest.json": manifest(dump, Pass.RECENT, rows=3)}, tmp_path)
    result = migrate(settings)
    assert (code_of(result), counts(result)) == (None, dict.fromkeys(ROW_ENTITIES, (3, 0, 0)))


def test_a_part_that_vanished_is_missed(settings: Settings, tmp_path: Path) -> None:
    """Without a manifest a planned part that is not done must be there; put back, it completes the run."""
    dump = _interrupted_at_attachments(settings, tmp_path)
    (tmp_path / "acme/recent/attachments/part-0.jsonl").unlink()
    assert code_of(migrate(settings)) == "part_missing"
    write({part: dump[part] for part in ["recent/attachments/part-0.jsonl"]}, tmp_path)
    result = migrate(settings)
    assert (code_of(result), counts(result)) == (None, dict.fromkeys(ROW_ENTITIES, (3, 0, 0)))


def test_a_manifest_says_that_a_part_may_be_gone(settings: Settings, tmp_path: Path) -> None:
    """What it does not name is not waited for."""
    dump = _interrupted_at_attachments(settings, tmp_path)
    (tmp_path / "acme/recent/attachments/part-0.jsonl").unlink()
    left = {key: body for key, body in dump.items() if "attachments" not in key}
    write({"recent/manifest.json": manifest(left, Pass.RECENT)}, tmp_path)
    result = migrate(settings)
    assert (code_of(result), counts(result)["attachments"]) == (None, (0, 0, 0))


def test_a_part_that_is_done_may_be_gone(settings: Settings, tmp_path: Path) -> None:
    """What was imported is not asked for again."""
    _interrupted_at_attachments(settings, tmp_path)
    (tmp_path / "acme" / MESSAGES).unlink()
    result = migrate(settings, passes=RECENT)
    assert (code_of(result), counts(result)["messages"]) == (None, (3, 0, 0))


def test_new_parts_are_found_on_the_way(settings: Settings, tmp_path: Path) -> None:
    """A part that came after the first attempt is imported by the next one."""
    _interrupted_at_attachments(settings, tmp_path)
    write({"recent/threads/late.jsonl": lines(records(Entity.THREADS, 2, prefix="late-"))}, tmp_path)
    result = migrate(settings, passes=RECENT)
    assert (code_of(result), counts(result)["threads"]) == (None, (5, 0, 0))


def test_a_part_that_changed_starts_again(settings: Settings, tmp_path: Path) -> None:
    """Its rejects and counts are taken back, and its rows, which win over those of before, are there once."""
    bad = [b"junk"] * 3
    _interrupted_at_attachments(
        settings, tmp_path, {MESSAGES: lines([*bad, *records(Entity.MESSAGES, 3, prefix="recent-")])}
    )
    assert len(snapshot(settings)["rejects"]) == 3
    write({MESSAGES: lines(records(Entity.MESSAGES, 5, prefix="recent-")[:4])}, tmp_path)
    result = migrate(settings, passes=RECENT)
    assert (code_of(result), counts(result)["messages"]) == (None, (3, 0, 1))
    assert [reject["line"] for reject in snapshot(settings)["rejects"]] == [4]


def test_a_truncated_part_completes_once_it_is_repaired(settings: Settings, tmp_path: Path) -> None:
    """The message names the object; batches before the damage stay, none of its rows is there twice."""
    dump = simple_dump(40)
    whole = gzip.compress(dump.pop(MESSAGES))
    key = f"{MESSAGES}.gz"
    write({**dump, key: whole[: len(whole) * 2 // 3]}, tmp_path)
    failed = migrate(settings)
    assert (code_of(failed), key in str(failed.error)) == ("part_unreadable", True)
    write({key: whole}, tmp_path)
    result = migrate(settings)
    written, unchanged, rejected = counts(result)["messages"]
    assert (code_of(result), written + unchanged, rejected) == (None, 40, 0)
    assert len(rows(settings)["messages"]) == 80


@pytest.mark.parametrize("damage", [b"", b"PAR1 no", None], ids=["cut off", "overwritten", "truncated"])
def test_a_broken_parquet_part_completes_once_it_is_repaired(
    settings: Settings, tmp_path: Path, damage: bytes | None
) -> None:
    """A footer or a page that cannot be read fails the run, whatever it is that is broken."""
    dump = simple_dump(6)
    whole = parquet(Entity.MESSAGES, records(Entity.MESSAGES, 6, prefix="recent-"))
    del dump[MESSAGES]
    broken = whole[: len(whole) // 2] if damage is None else damage + whole[len(damage) + 4 :]
    write({**dump, "recent/messages/part.parquet": broken}, tmp_path)
    assert code_of(migrate(settings)) == "part_unreadable"
    write({"recent/messages/part.parquet": whole}, tmp_path)
    result = migrate(settings)
    assert (code_of(result), counts(result)["messages"]) == (None, (6, 0, 0))


def test_an_object_that_changes_under_the_run_ends_it(settings: Settings, tmp_path: Path) -> None:
    """Never is one part imported from two versions; the next run takes the new one from its start."""
    write(simple_dump(40), tmp_path)

    def rewrite(event: Event) -> None:
        if isinstance(event, Advanced):
            write({MESSAGES: lines(records(Entity.MESSAGES, 41, prefix="recent-"))}, tmp_path)

    assert code_of(migrate(settings, observe=rewrite)) == "source_changed"
    result = migrate(settings)
    assert (code_of(result), adds_up(result)) == (None, True)
    assert len(rows(settings)["messages"]) == 80


def _interrupted_at_attachments(settings: Settings, folder: Path, changes: Dump | None = None) -> Dump:
    """A dump whose recent pass was stopped when its threads and messages were done, and its attachments planned."""
    dump = {**simple_dump(3), **(changes or {})}
    write(dump, folder)
    stop, parts_done = threading.Event(), itertools.count(1)

    def watch(event: Event) -> None:
        if isinstance(event, Advanced) and event.parts and next(parts_done) == 2:
            stop.set()

    assert code_of(migrate(settings, observe=watch, stop=stop)) == "interrupted"
    return dump
