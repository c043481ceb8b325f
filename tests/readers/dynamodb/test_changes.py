"""Incremental exports as the delta pass: the newest write of an item counts, and one without an image is a deletion."""

from __future__ import annotations

import shutil
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import orjson
import pytest
import sqlalchemy as sa

from s3import.core import tables
from s3import.core.errors import DumpNotFound
from s3import.core.records import HALVES, Pass
from s3import.core.settings import Settings
from s3import.importing.requests import Request, Result
from s3import.readers.dynamodb.changes import MAX_NAMED
from s3import.readers.dynamodb.export import ExportSource
from s3import.readers.dynamodb.mapping import parse_mapping
from s3import.readers.sources.folder import FolderSource
from tests import commands as app
from tests.readers.dynamodb.exports import call_empty, digest, write_export, write_files
from tests.readers.dynamodb.items import MAPPING, lines, mapping, message, thread
from tests.readers.dynamodb.test_migration import ACCOUNT

pytestmark = pytest.mark.integration

HOUR = 3_600_000_000
UNTOLD = 'messages: the item {"%s":{"S":"%s"}} may have been another row of this account, which stays: '
BEYOND = " that reaches beyond 2026-09-30 00:00:00+00:00"
FULL = 1790726400000000  # 2026-09-30, when the full export was made


def change(hour: float, new: dict[str, Any] | None, keys: dict[str, Any] | None = None, **more: Any) -> bytes:
    """A line of an incremental export: what was written so many hours after the full one."""
    keys = keys or {name: (new or {})[name] for name in ("account", "sort") if name in (new or {})}
    written = {"WriteTimestampMicros": {"N": str(int(FULL + hour * HOUR))}}
    return orjson.dumps({"Metadata": written, "Keys": keys, **({"NewImage": new} if new else {}), **more}) + b"\n"


def key(number: int, account: str = "acme") -> dict[str, Any]:
    return {"account": {"S": f"A#{account}"}, "sort": {"S": f"M#m{number}"}}


def window(root: Path, table: str, hours: tuple[int, int], *lines: bytes, apart: bool = False) -> None:
    """An incremental export of a table, in one file, or each line `apart` in its own."""
    since, until = (f"2026-09-30T{hour:02}:00:00Z" for hour in hours)
    files = list(lines) if apart else [b"".join(lines)]
    write_files(root, table, files, export_id=f"i{hours[0]}", exportFromTime=since, exportToTime=until)


@pytest.fixture
def settings(tmp_path: Path, sqlite_url: str) -> Settings:
    """An account that was imported from a full export."""
    beside = tmp_path / "beside"
    beside.mkdir()
    (beside / "account.json").write_bytes(orjson.dumps(ACCOUNT))
    write_export(tmp_path / "exports", "threads", [[thread(1)]])
    write_export(tmp_path / "exports", "messages", [[message(n, body="first", uid=f"u{n}") for n in range(6)]])
    write_export(tmp_path / "exports", "attachments", [])
    path = tmp_path / "mapping.toml"
    path.write_text(f'beside = "{beside}"\n{MAPPING}')
    known = Settings(source=f"{tmp_path}/exports", database=sqlite_url, mapping=str(path), lease_seconds=0.0)
    assert migrate(known).error is None
    return known


def migrate(settings: Settings, *passes: Pass) -> Result:
    request = Request("acme", passes or HALVES, settings.source or "")
    return app.migrate(settings, [request], observe=lambda event: None, stop=threading.Event())[0]


def apart(settings: Settings, tmp_path: Path) -> Settings:
    """The same, with windows for which there is no full export."""
    return replace(settings, source=f"{tmp_path}/windows")


def bodies(settings: Settings) -> dict[str, str | None]:
    with sa.create_engine(settings.database).connect() as connection:
        rows = connection.execute(sa.select(tables.messages.c.id, tables.messages.c.body))
        return {row.id: row.body for row in rows}


def test_the_newest_write_counts(settings: Settings, tmp_path: Path) -> None:
    """Of writes in several windows the last one holds, be it an image or a deletion; other accounts' do not matter."""
    root = tmp_path / "exports"
    window(
        root,
        "messages",
        (3, 6),
        change(4, message(1, body="third")),
        change(4, None, key(2)),
        change(4, message(3, body="back")),
    )
    window(
        root,
        "messages",
        (0, 3),
        change(1, message(1, body="second")),
        change(1, message(2, body="gone")),
        change(1, None, key(3)),
        change(2, message(9, body="new")),
        change(2, message(4, account="other", body="other")),
        change(2, None, key(0), OldImage=message(0)),
    )
    result = migrate(settings, Pass.DELTA)
    assert result.error is None
    assert bodies(settings) == {"m1": "third", "m3": "back", "m4": "first", "m5": "first", "m9": "new"}
    delta = result.document["passes"]["delta"]
    assert delta["skipped_objects"] == [
        f"{table}: no incremental export" + BEYOND for table in ("threads", "attachments")
    ]
    assert (delta["counts"]["messages"]["written"], delta["counts"]["deletions"]["written"]) == (3, 2)


def test_the_same_windows_again(settings: Settings, tmp_path: Path) -> None:
    """Windows that were applied are not applied again; a further one is."""
    window(tmp_path / "exports", "messages", (0, 3), change(1, message(1, body="second")))
    assert migrate(settings, Pass.DELTA).imported == (Pass.DELTA,)
    assert migrate(settings, Pass.DELTA).imported == ()
    window(tmp_path / "exports", "messages", (3, 6), change(4, message(1, body="third")))
    assert migrate(settings, Pass.DELTA).imported == (Pass.DELTA,)
    assert bodies(settings)["m1"] == "third"


def test_a_write_time_as_a_bare_number(settings: Settings, tmp_path: Path) -> None:
    """The time of a write is read as DynamoDB's number and as a bare one."""
    line = change(1, message(1, body="second"))
    micros = str(FULL + HOUR).encode()
    window(tmp_path / "exports", "messages", (0, 3), line.replace(b'{"N":"' + micros + b'"}', micros))
    assert migrate(settings, Pass.DELTA).error is None
    assert bodies(settings)["m1"] == "second"


def test_gaps_are_reported(settings: Settings, tmp_path: Path) -> None:
    """Time that no window covers is listed among what was skipped."""
    window(tmp_path / "exports", "messages", (3, 6), change(4, message(1, body="later")))
    delta = migrate(settings, Pass.DELTA).document["passes"]["delta"]
    gap = "messages: no export of 2026-09-30 00:00:00+00:00 to 2026-09-30 03:00:00+00:00"
    assert gap in delta["skipped_objects"]


def test_nothing_incremental(settings: Settings) -> None:
    """A delta without any incremental export is a dump that is not there."""
    source = ExportSource(FolderSource(str(settings.source)), mapping(), "acme", recent_days=30)
    with pytest.raises(DumpNotFound, match="no incremental export"):
        source.plan(Pass.DELTA)


def test_lines_that_are_no_change(settings: Settings, tmp_path: Path) -> None:
    """What cannot be read in an incremental export is a reject like elsewhere."""
    window(tmp_path / "exports", "messages", (0, 3), b"nonsense\n", change(1, message(1, body="second")))
    result = migrate(settings, Pass.DELTA)
    assert result.rejected == 1
    assert bodies(settings)["m1"] == "second"


def test_others_before_it(settings: Settings, tmp_path: Path) -> None:
    """What a window holds before an item says nothing of it: not sparse keys, other accounts or older writes."""
    sparse = {"uid": {"S": "u"}}
    others = [change(1, sparse, sparse), change(1, {**message(8), "sort": {"N": "8"}}, sparse)]
    window(tmp_path / "exports", "messages", (0, 3), *others, change(1, message(1, body="second")))
    window(tmp_path / "exports", "messages", (3, 6), *others, change(4, message(1, body="third")))
    assert migrate(replace(settings, block_bytes=1), Pass.DELTA).error is None
    assert bodies(settings)["m1"] == "third"


@pytest.mark.parametrize("with_old_images", [False, True])
def test_an_item_that_leaves(settings: Settings, tmp_path: Path, with_old_images: bool) -> None:
    """An item that is the account's no more goes, whether its image before says that it was or an earlier write."""
    keys = {"uid": {"S": "u1"}}
    gone: dict[str, Any] = {name: given for name, given in message(1).items() if name != "account"}
    earlier = change(2, message(1, body="second"), keys)
    more = {"OldImage": message(1)} if with_old_images else {}
    window(tmp_path / "exports", "messages", (3, 6), change(4, gone, keys, **more))
    window(tmp_path / "exports", "messages", (0, 3), *([] if with_old_images else [earlier]))
    result = migrate(settings, Pass.DELTA)
    assert result.error is None
    assert "m1" not in bodies(settings)


@pytest.mark.parametrize("leaves", [True, False])
@pytest.mark.parametrize("is_apart", [True, False])
def test_a_change_that_does_not_tell_whose(settings: Settings, tmp_path: Path, leaves: bool, is_apart: bool) -> None:
    """Whose an item was that was deleted, or left its index, the full export tells; without it that is reported."""
    gone = {name: given for name, given in message(1).items() if name != "account"} if leaves else None
    root = tmp_path / ("windows" if is_apart else "exports")
    window(root, "messages", (0, 3), change(1, gone, {"sort": {"S": "M#m1"}}))
    result = migrate(apart(settings, tmp_path) if is_apart else settings, Pass.DELTA)
    assert result.error is None
    assert ("m1" in bodies(settings)) is is_apart
    skipped = result.document["passes"]["delta"]["skipped_objects"]
    assert any(text.startswith(UNTOLD % ("sort", "M#m1")) for text in skipped) is is_apart


def test_a_deletion_of_somebody_else(settings: Settings, tmp_path: Path) -> None:
    """Another tenant's row of the same id takes nothing away, whoever's write tells that it was his."""
    keys = {"sort": {"S": "M#m1"}}
    window(
        tmp_path / "windows",
        "messages",
        (0, 3),
        change(1, message(1, account="other"), keys),
        change(2, None, keys),
        change(2, None, {"sort": {"S": "M#m2"}}, OldImage=message(2, account="other")),
    )
    result = migrate(apart(settings, tmp_path), Pass.DELTA)
    assert bodies(settings).keys() == {f"m{number}" for number in range(6)}
    skipped = [text for text in result.document["passes"]["delta"]["skipped_objects"] if text.startswith("messages")]
    assert [text.startswith(UNTOLD % ("sort", "M#m1")) for text in skipped] == [True]


@pytest.mark.parametrize("changed", [message(9), message(1, account="other")], ids=["other id", "other account"])
@pytest.mark.parametrize("told_by", ["old image", "full export", "nothing"])
def test_an_item_that_becomes_another_row(
    settings: Settings, tmp_path: Path, changed: dict[str, Any], told_by: str
) -> None:
    """Its old row goes where the image before, or the full export, tells of it; where none does, the item is named."""
    old = {"OldImage": message(5)} if told_by == "old image" else {}
    root = tmp_path / ("exports" if told_by == "full export" else "windows")
    window(root, "messages", (0, 3), change(1, changed, {"uid": {"S": "u5"}}, **old))
    known = settings if told_by == "full export" else apart(settings, tmp_path)
    delta = migrate(known, Pass.DELTA).document["passes"]["delta"]
    assert ("m5" in bodies(settings)) is (told_by == "nothing")
    named = any(text.startswith(UNTOLD % ("uid", "u5")) for text in delta["skipped_objects"])
    assert named is (told_by == "nothing")


def test_only_the_first_items_are_named(settings: Settings, tmp_path: Path) -> None:
    """Of many items that do not tell what they were some are named, and the rest are counted."""
    changed = [change(1, message(n), {"uid": {"S": f"u{n}"}}) for n in range(MAX_NAMED + 7)]
    window(tmp_path / "windows", "messages", (0, 3), *changed)
    delta = migrate(apart(settings, tmp_path), Pass.DELTA).document["passes"]["delta"]
    mine = [text for text in delta["skipped_objects"] if text.startswith("messages")]
    assert len(mine) == MAX_NAMED + 1
    assert mine[-1].startswith("messages: 7 more items: each may have been another row")


def test_a_row_that_came_within_the_windows(settings: Settings, tmp_path: Path) -> None:
    """With the full export beside, an item that is deleted before it was ever told is no reject: it never was a row."""
    window(tmp_path / "exports", "messages", (0, 3), change(1, None, {"account": {"S": "A#acme"}, "uid": {"S": "u"}}))
    result = migrate(settings, Pass.DELTA)
    assert (result.error, result.rejected) == (None, 0)


def test_half_a_character_in_the_full_export(settings: Settings, tmp_path: Path) -> None:
    """An item of the full export with half a character in it tells what it was, as any other."""
    line = lines(message(5, uid="u5", body="X")).replace(b'"X"', rb'"\ud800"')
    shutil.rmtree(next((tmp_path / "exports").rglob("messages-*")))
    write_files(tmp_path / "exports", "messages", [line], export_id="odd")
    window(tmp_path / "exports", "messages", (0, 3), change(1, None, {"uid": {"S": "u5"}}))
    assert migrate(settings, Pass.DELTA).error is None
    assert "m5" not in bodies(settings)


def test_an_item_under_a_new_key(settings: Settings, tmp_path: Path) -> None:
    """A row whose item was deleted and written under another key in one transaction stays."""
    window(
        tmp_path / "exports",
        "messages",
        (0, 3),
        change(1, message(1, body="moved"), {"uid": {"S": "new"}}),
        change(1, None, {"uid": {"S": "old"}}, OldImage=message(1)),
    )
    assert migrate(settings, Pass.DELTA).error is None
    assert bodies(settings)["m1"] == "moved"


def test_a_row_that_two_items_are(settings: Settings, tmp_path: Path) -> None:
    """A row stays where one of its items is deleted and the full export has another, which did not change."""
    shutil.rmtree(next((tmp_path / "exports").rglob("messages-*")))
    write_export(
        tmp_path / "exports", "messages", [[message(5, uid="old"), message(5, uid="new"), message(1, uid="u")]]
    )
    gone = [change(1, None, {"uid": {"S": uid}}, OldImage=message(n, uid=uid)) for n, uid in ((5, "old"), (1, "u"))]
    window(tmp_path / "exports", "messages", (0, 3), *gone)
    assert migrate(settings, Pass.DELTA).error is None
    assert "m5" in bodies(settings)
    assert "m1" not in bodies(settings)


def test_items_that_swap_their_rows(settings: Settings, tmp_path: Path) -> None:
    """Items that get each other's ids in one transaction are each other's rows."""
    swapped = [change(1, message(n, uid=f"u{3 - n}", body=f"now {n}"), {"uid": {"S": f"u{3 - n}"}}) for n in (1, 2)]
    window(tmp_path / "exports", "messages", (0, 3), *swapped, apart=True)
    assert migrate(settings, Pass.DELTA).error is None
    assert {id_: body for id_, body in bodies(settings).items() if id_ in ("m1", "m2")} == {
        "m1": "now 1",
        "m2": "now 2",
    }


def test_an_id_that_changes_in_every_window(settings: Settings, tmp_path: Path) -> None:
    """An item that gets another id in each of several deltas is one row after each of them."""
    for hour in (0, 3, 6):
        line = change(hour + 1, message(20 + hour, uid="u1"), {"uid": {"S": "u1"}})
        window(tmp_path / "exports", "messages", (hour, hour + 3), line)
        assert migrate(settings, Pass.DELTA).error is None
        assert [id_ for id_ in bodies(settings) if id_ not in ("m0", "m2", "m3", "m4", "m5")] == [f"m{20 + hour}"]


def test_windows_that_overlap(settings: Settings, tmp_path: Path) -> None:
    """A write that two windows tell of is applied once, and the newer one of another counts."""
    both = [change(2, message(1, body="second")), change(2.5, None, key(2))]
    window(tmp_path / "exports", "messages", (0, 3), *both)
    window(tmp_path / "exports", "messages", (2, 6), *both, change(4, message(3, body="later")))
    delta = migrate(settings, Pass.DELTA)
    assert (delta.error, delta.rejected) == (None, 0)
    assert {"m1": "second", "m3": "later"}.items() <= bodies(settings).items()
    assert "m2" not in bodies(settings)
    verified = app.verify(settings, "acme", observe=lambda event: None, stop=threading.Event())
    assert verified.findings.difference_count == 0


def test_a_deletion_without_an_id(settings: Settings, tmp_path: Path) -> None:
    """A deletion that tells whose item it was, but not its id, is a reject that says what to do."""
    window(tmp_path / "windows", "messages", (0, 3), change(1, None, {"account": {"S": "A#acme"}, "uid": {"S": "u"}}))
    migrate(apart(settings, tmp_path), Pass.DELTA)
    [reject] = app.rejects(settings, "acme", [Pass.DELTA])
    assert [(reason["code"], reason["field"]) for reason in reject["reasons"]] == [("missing_field", "id")]
    assert "with new and old images" in reject["reasons"][0]["message"]


def test_times_of_writes_that_are_none(settings: Settings, tmp_path: Path) -> None:
    """A write outside of the years 1970 to 2199, and a line that tells no time, are rejects that say so."""
    right = message(1, body="second")
    texts = [
        change(10**9, right),
        change(-(10**9), None, key(2)),
        orjson.dumps({"Keys": key(3), "NewImage": right}) + b"\n",
    ]
    window(tmp_path / "exports", "messages", (0, 3), *texts, change(1, message(4, body="second")))
    migrate(settings, Pass.DELTA)
    rejects = list(app.rejects(settings, "acme", [Pass.DELTA]))
    assert [reject["reasons"][0]["code"] for reject in rejects] == ["invalid_timestamp"] * 2 + ["not_an_object"]
    assert rejects[0]["raw"].encode() + b"\n" == texts[0]
    assert bodies(settings)["m4"] == "second"


@pytest.mark.parametrize("image", [[], {}, "", 0, False, 5, [1]], ids=repr)
def test_images_that_are_none(settings: Settings, tmp_path: Path, image: Any) -> None:
    """An image that is no object with attributes is a reject, and no deletion: only a missing one, or null, is."""
    deleted = [change(1, None, key(2)), change(1, None, key(3), NewImage=None)]
    window(tmp_path / "exports", "messages", (0, 3), change(1, None, key(1), NewImage=image), *deleted)
    assert migrate(settings, Pass.DELTA).rejected == 1
    assert bodies(settings).keys() == {"m0", "m1", "m4", "m5"}


def test_windows_of_another_view(settings: Settings, tmp_path: Path) -> None:
    """Windows that say they have neither of the views with new images are refused: every write looks deleted there."""
    told = {"exportFromTime": "2026-09-30T00:00:00Z", "exportToTime": "2026-09-30T03:00:00Z", "outputView": "KEYS_ONLY"}
    write_files(tmp_path / "exports", "messages", [change(1, None, key(1))], export_id="i0", **told)
    assert "the export has KEYS_ONLY, by which" in str(migrate(settings, Pass.DELTA).error)
    assert "m1" in bodies(settings)


@pytest.mark.parametrize("left", ["manifest-files.json", "data", "_started"])
def test_a_window_without_its_summary(settings: Settings, tmp_path: Path, left: str) -> None:
    """A window that is not complete, or was copied in part, is named among what was skipped, whatever is left of it."""
    root = tmp_path / "exports"
    window(root, "messages", (0, 3), change(1, message(1, body="second")))
    window(root, "messages", (3, 6), change(4, message(1, body="third")))
    folder = root / "AWSDynamoDB" / "messages-i3"
    (folder / "_started").touch()
    for path in folder.iterdir():
        if path.name != left:
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    result = migrate(settings, Pass.DELTA)
    expected = "AWSDynamoDB/messages-i3: an export without manifest-summary.json: it is not complete, or was not copied"
    assert any(text.startswith(expected) for text in result.document["passes"]["delta"]["skipped_objects"])
    assert bodies(settings)["m1"] == "second"


def test_windows_as_aws_lays_them_out(settings: Settings, tmp_path: Path) -> None:
    """The data of all windows in one folder beside their manifests is found, and is no export itself."""
    root = tmp_path / "exports"
    window(root, "messages", (0, 3), change(1, message(1, body="second")))
    folder = root / "AWSDynamoDB"
    (folder / "messages-i0" / "data").rename(folder / "data")
    files = folder / "messages-i0" / "manifest-files"
    text = files.with_suffix(".json").read_bytes().replace(b"i0/data/", b"i0/../data/")
    files.with_suffix(".json").write_bytes(text)
    files.with_suffix(".md5").write_text(digest(text))
    result = migrate(settings, Pass.DELTA)
    assert bodies(settings)["m1"] == "second"
    assert not any("manifest-summary" in text for text in result.document["passes"]["delta"]["skipped_objects"])


def test_windows_of_a_joined_table(tmp_path: Path) -> None:
    """Windows of a table that is only joined to others are named: what changed in it alone is in no record."""
    field = 'telephony.disposition = { path = "result", join = "calls" }\ntelephony.duration'
    joins = '[joins.calls]\ntable = "arn:aws:dynamodb:x:1:table/calls"\nattribute = "id"\nby = "call.id"\n'
    joined = parse_mapping(MAPPING.replace("telephony.duration", field) + joins, "m")
    window(tmp_path, "messages", (0, 3), change(1, message(1, body="second")))
    window(tmp_path, "calls", (0, 3), change(1, {"id": {"S": "c1"}}, {"id": {"S": "c1"}}))
    plan = ExportSource(FolderSource(str(tmp_path)), joined, "acme", recent_days=30).plan(Pass.DELTA)
    assert [text for text in plan.skipped_objects if text.startswith("calls: is only joined")]


def test_an_update_before_1970(settings: Settings, tmp_path: Path) -> None:
    """A wrong time of a changed item is a reject: the time of the write does not stand in for it."""
    window(tmp_path / "exports", "messages", (0, 3), change(1, message(1, updated=-5)), change(1, message(2, body="2")))
    assert migrate(settings, Pass.DELTA).rejected == 1


def test_half_a_character_in_a_change(settings: Settings, tmp_path: Path) -> None:
    """Half a character in the free text of a changed item is replaced, as elsewhere."""
    line = change(1, message(1, body="X")).replace(b'"X"', rb'"\ud800"')
    window(tmp_path / "exports", "messages", (0, 3), line)
    assert migrate(settings, Pass.DELTA).rejected == 0
    assert bodies(settings)["m1"] == "\N{REPLACEMENT CHARACTER}"


def test_two_full_exports_beside_windows(settings: Settings, tmp_path: Path) -> None:
    """Which of two full exports the windows follow is never guessed."""
    window(tmp_path / "exports", "messages", (0, 3), change(1, message(1, body="second")))
    write_export(tmp_path / "exports", "messages", [], export_id="02", exportTime="2026-10-02T00:00:00Z")
    assert "more than one full export of the table messages" in str(migrate(settings, Pass.DELTA).error)


def test_a_window_that_is_called_empty(settings: Settings, tmp_path: Path) -> None:
    """A data file that holds changes though its manifest says that it is empty ends the run."""
    window(tmp_path / "exports", "messages", (0, 3), change(1, message(1, body="second")))
    call_empty(next((tmp_path / "exports").rglob("messages-i0")))
    error = str(migrate(settings, Pass.DELTA).error)
    assert "holds 1 items, its manifest says 0" in error
