"""Incremental exports as the delta pass: the newest write of an item counts, and one without an image is a deletion."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import orjson
import pytest
import sqlalchemy as sa

from s3import import app, tables
from s3import.errors import DumpNotFound
from s3import.migration import Request, Result
from s3import.readers.dump import plan_pass
from s3import.readers.folder import FolderSource
from s3import.readers.items.export import ExportSource
from s3import.records import HALVES, Pass
from s3import.settings import Settings
from tests.items.exports import write_export, write_files
from tests.items.items import MAPPING, mapping, message, thread
from tests.items.test_migration import ACCOUNT

pytestmark = pytest.mark.integration

HOUR = 3_600_000_000
FULL = 1790726400000000  # 2026-09-30, when the full export was made


def change(hour: float, new: dict[str, Any] | None, keys: dict[str, Any] | None = None, **more: Any) -> bytes:
    """A line of an incremental export: what was written so many hours after the full one."""
    keys = keys or {name: (new or {})[name] for name in ("account", "sort") if name in (new or {})}
    written = {"WriteTimestampMicros": {"N": str(int(FULL + hour * HOUR))}}
    return orjson.dumps({"Metadata": written, "Keys": keys, **({"NewImage": new} if new else {}), **more}) + b"\n"


def key(number: int, account: str = "acme") -> dict[str, Any]:
    return {"account": {"S": f"A#{account}"}, "sort": {"S": f"M#m{number}"}}


def window(root: Path, table: str, hours: tuple[int, int], *lines: bytes) -> None:
    """An incremental export of a table, in one file."""
    since, until = (f"2026-09-30T{hour:02}:00:00Z" for hour in hours)
    write_files(root, table, [b"".join(lines)], export_id=f"i{hours[0]}", exportFromTime=since, exportToTime=until)


@pytest.fixture
def settings(tmp_path: Path, sqlite_url: str) -> Settings:
    """An account that was imported from a full export."""
    beside = tmp_path / "beside"
    beside.mkdir()
    (beside / "account.json").write_bytes(orjson.dumps(ACCOUNT))
    write_export(tmp_path / "exports", "threads", [[thread(1)]])
    write_export(tmp_path / "exports", "messages", [[message(n, body="first") for n in range(5)]])
    write_export(tmp_path / "exports", "attachments", [])
    path = tmp_path / "mapping.toml"
    path.write_text(f'beside = "{beside}"\n{MAPPING}')
    known = Settings(source=f"{tmp_path}/exports", database=sqlite_url, mapping=str(path), lease_seconds=0.0)
    assert migrate(known).error is None
    return known


def migrate(settings: Settings, *passes: Pass) -> Result:
    request = Request("acme", passes or HALVES, settings.source or "")
    return app.migrate(settings, [request], observe=lambda event: None, stop=threading.Event())[0]


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
    assert bodies(settings) == {"m1": "third", "m3": "back", "m4": "first", "m9": "new"}
    delta = result.document["passes"]["delta"]
    assert delta["skipped_objects"] == []
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
    assert delta["skipped_objects"] == ["messages: no export of 2026-09-30 00:00:00+00:00 to 2026-09-30 03:00:00+00:00"]


def test_nothing_incremental(settings: Settings) -> None:
    """A delta without any incremental export is a dump that is not there."""
    source = ExportSource(FolderSource(str(settings.source)), mapping(), "acme", recent_days=30)
    with pytest.raises(DumpNotFound, match="no incremental export"):
        plan_pass(source, "acme", Pass.DELTA)


def test_lines_that_are_no_change(settings: Settings, tmp_path: Path) -> None:
    """What cannot be read in an incremental export is a reject like elsewhere."""
    window(tmp_path / "exports", "messages", (0, 3), b"nonsense\n", change(1, message(1, body="second")))
    result = migrate(settings, Pass.DELTA)
    assert result.rejected == 1
    assert bodies(settings)["m1"] == "second"
