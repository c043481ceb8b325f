"""Whose a file is, and where its reject stands: runs from several sources, versions of one record, repairs."""

from __future__ import annotations

import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from s3import.core.events import Event, FilesAdvanced
from s3import.core.records import Pass
from s3import.core.settings import Settings
from s3import.files import copying
from s3import.importing.requests import Result
from tests import commands as app
from tests.faults import FaultyProxy
from tests.files.dumps import (
    RECENT,
    BucketPlace,
    FolderPlace,
    attachment,
    call,
    dump_of,
    fill,
    settings_for,
    states,
)
from tests.files.test_retried import retry
from tests.importing import dumps
from tests.importing.dumps import ACCOUNT
from tests.importing.moving import code_of, migrate

pytestmark = pytest.mark.integration

LATER = "2024-07-01T00:00:00Z"
PART = "recent/attachments/part-0.jsonl"


@pytest.fixture
def settings(source_folder: FolderPlace, target_folder: FolderPlace, database_url: str) -> Settings:
    return settings_for(source_folder, target_folder, database_url)


@pytest.fixture
def other(tmp_path: Path) -> FolderPlace:
    """Where deltas lie: another source than that of the passes."""
    return FolderPlace(tmp_path / "deltas")


def listed(settings: Settings) -> list[tuple[str, str, int, str, str]]:
    """All rejects: pass, part, line, id and code."""
    found = app.rejects(settings, ACCOUNT, tuple(Pass))
    return [(one["pass"], one["part"], one["line"], one["id"], one["reasons"][0]["code"]) for one in found]


def shown(settings: Settings, pass_: str = "recent") -> tuple[tuple[int, ...], dict[str, int]]:
    """The pass's files in all, copied and failed, and its rejects by code, which come to as many as it says."""
    document = app.status_document(settings, ACCOUNT)["passes"][pass_]
    assert document["rejects"]["total"] == sum(document["rejects"]["by_code"].values())
    return tuple(document["files"][what] for what in ("total", "copied", "failed")), document["rejects"]["by_code"]


def delta(records: list[Any], files: dict[str, bytes], entity: str = "attachments") -> dict[str, bytes]:
    return {f"delta/{entity}/part-0.jsonl": dumps.lines(records), **files}


def test_each_run_copies_only_its_own_files(settings: Settings, other: FolderPlace, tmp_path: Path) -> None:
    """A delta from another source leaves those alone that the unfinished remaining pass still has to copy."""
    source = FolderPlace(tmp_path / "dumps")
    fill(source, dump_of([attachment(0)], {"files/0": b"0", "files/1": b"1"}))
    fill(source, {"remaining/attachments/part-0.jsonl": dumps.lines([attachment(1)])})
    fill(other, delta([attachment(2)], {"files/2": b"2"}))
    Path(tmp_path / "no-folder").write_bytes(b"")
    migrate(settings, passes=RECENT)
    assert code_of(migrate(replace(settings, files_to=f"{tmp_path}/no-folder"), passes=[Pass.REMAINING])) == (
        "files_refused"
    )
    assert migrate(replace(settings, source=other.uri), passes=[Pass.DELTA]).error is None
    assert {row_id: state for row_id, (state, _) in states(settings).items()} == {
        "a0": "copied",
        "a1": "pending",
        "a2": "copied",
    }
    assert migrate(settings, passes=[Pass.REMAINING]).error is None
    assert {state for state, _ in states(settings).values()} == {"copied"}
    assert [shown(settings, pass_) for pass_ in ("recent", "remaining", "delta")] == [((1, 1, 0), {})] * 3


def test_failed_files_are_looked_for_in_the_source_of_their_own_run(
    settings: Settings, source_folder: FolderPlace, other: FolderPlace
) -> None:
    """Whatever lies under the same key elsewhere."""
    fill(source_folder, dump_of([attachment(0, key="files/x")], {}))
    fill(other, delta([attachment(1, key="files/x")], {}))
    migrate(settings, passes=RECENT)
    migrate(replace(settings, source=other.uri), passes=[Pass.DELTA])
    fill(source_folder, {"files/x": b"of the dump"})
    fill(other, {"files/x": b"of the delta"})
    assert retry(settings).document() == {"account_id": ACCOUNT, "copied": 2, "failed": 0}
    target = FolderPlace(source_folder.root.parent.parent / "files")
    assert target.get("attachments/a0/note.txt") == b"of the dump"
    assert target.get("attachments/a1/note.txt") == b"of the delta"


def test_a_files_reject_stands_beside_one_of_another_version(settings: Settings, source_folder: FolderPlace) -> None:
    """An orphan in one part, the same attachment with its message in another, and no file: two rejects, then one."""
    orphan = attachment(0, message_id="nobody")
    fill(source_folder, dump_of([orphan], {}))
    fill(
        source_folder,
        {"recent/attachments/part-1.jsonl": dumps.lines([attachment(1), attachment(0, updated_at=LATER)])},
    )
    fill(source_folder, {"files/1": b"1"})
    migrate(settings, passes=RECENT)
    of_record = ("recent", "attachments/part-0.jsonl", 1, "a0", "unknown_message")
    assert listed(settings) == [of_record, ("recent", "attachments/part-1.jsonl", 2, "a0", "file_missing")]
    assert shown(settings) == ((2, 1, 1), {"file_missing": 1, "unknown_message": 1})
    fill(source_folder, {"files/0": b"0"})
    assert retry(settings).copied == 1
    assert listed(settings) == [of_record]
    assert shown(settings) == ((2, 2, 0), {"unknown_message": 1})


def test_a_newer_record_takes_the_reject_of_its_file_away(
    settings: Settings, source_folder: FolderPlace, other: FolderPlace
) -> None:
    """What a delta repairs is no reject of the pass that brought it first, nor counted there."""
    fill(source_folder, dump_of([attachment(0), attachment(1)], {}, [call(6), call(7)]))
    fill(other, delta([attachment(0, updated_at=LATER, key="files/new")], {"files/new": b"new"}))
    fill(other, delta([call(6, updated_at=LATER)], {"files/call-6.wav": b"ring"}, entity="messages"))
    migrate(settings, passes=RECENT)
    assert shown(settings) == ((4, 0, 4), {"file_missing": 4})
    migrate(replace(settings, source=other.uri), passes=[Pass.DELTA])
    assert [one[3] for one in listed(settings)] == ["m7", "a1"]
    assert shown(settings) == ((2, 0, 2), {"file_missing": 2})
    assert shown(settings, "delta") == ((2, 2, 0), {})


def test_a_newer_record_whose_file_nobody_wants_takes_the_reject_away_too(
    settings: Settings, source_folder: FolderPlace, other: FolderPlace
) -> None:
    """The row is referenced then, and has not failed."""
    fill(source_folder, dump_of([attachment(0)], {}))
    fill(other, delta([attachment(0, updated_at=LATER)], {}))
    migrate(settings, passes=RECENT)
    migrate(replace(settings, source=other.uri, files_to=None), passes=[Pass.DELTA])
    assert (states(settings)["a0"][0], listed(settings), shown(settings)) == ("referenced", [], ((0, 0, 0), {}))


def test_a_part_that_changed_has_its_failed_files_tried_again(
    settings: Settings, source_folder: FolderPlace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Their rejects went with those of the part; those whose records are gone from it have no place, and none of them
    takes that of another, however often the run is interrupted."""

    def interrupted() -> Result:
        stop = threading.Event()
        return migrate(
            replace(settings, files_in_flight=1),
            passes=RECENT,
            observe=lambda event: stop.set() if isinstance(event, FilesAdvanced) and event.failed else None,
            stop=stop,
        )

    monkeypatch.setattr(copying, "SETTLE_SECONDS", 0.0)
    fill(source_folder, dump_of([attachment(n) for n in range(8)], {"files/7": b"7"}))
    assert code_of(interrupted()) == "interrupted"
    assert 0 < shown(settings)[0][2] < 7
    fill(source_folder, {PART: dumps.lines([attachment(0)])})
    assert code_of(interrupted()) == "interrupted"
    assert 0 < shown(settings)[0][2] < 7
    migrate(settings, passes=RECENT)
    found = sorted(listed(settings), key=lambda one: one[3])
    assert [(one[3], one[2] > 1) for one in found] == [(f"a{n}", n > 0) for n in range(7)]
    assert len({one[2] for one in found}) == 7
    assert shown(settings) == ((8, 1, 7), {"file_missing": 7})


def test_a_pass_that_is_read_again_tries_its_failed_files_again(settings: Settings, source_folder: FolderPlace) -> None:
    """Its rejects are those of that reading, each with its place and text."""
    fill(source_folder, dump_of([attachment(0), attachment(1)], {}, [call(6)]))
    migrate(settings, passes=RECENT)
    before = list(app.rejects(settings, ACCOUNT, tuple(Pass)))
    fill(source_folder, {"files/0": b"0"})
    assert migrate(settings, passes=RECENT, again=True).error is None
    assert list(app.rejects(settings, ACCOUNT, tuple(Pass))) == [one for one in before if one["id"] != "a0"]
    assert shown(settings) == ((3, 1, 2), {"file_missing": 2})


def test_rejects_of_files_cost_one_more_reading_of_the_dump(
    source_bucket: BucketPlace, target_folder: FolderPlace, sqlite_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However many are written down one after the other: their texts come at the end."""
    fill(source_bucket, dump_of([attachment(n) for n in range(12)], {}, count=12))
    settings = settings_for(source_bucket, target_folder, sqlite_url)
    settled: list[int] = []

    def watch(event: Event) -> None:
        if isinstance(event, FilesAdvanced):
            settled.append(event.failed)

    monkeypatch.setattr(copying, "SETTLE_SECONDS", 0.0)
    with FaultyProxy(source_bucket.bucket.endpoint_url) as proxy:
        monkeypatch.setenv("AWS_ENDPOINT_URL", proxy.url)
        migrate(settings, passes=RECENT, observe=watch)
    assert len(settled) > 1
    readings = [path for method, path, _ in proxy.requests if method == "GET" and path.endswith(PART)]
    assert len(readings) == 2
    raw = [one["raw"] for one in app.rejects(settings, ACCOUNT, RECENT)]
    assert [f'"id":"a{n}"' in text for n, text in enumerate(raw)] == [True] * 12
