"""What is said before an import: records, rejects and files as they turn out to be, without reading much."""

from __future__ import annotations

import gzip
import shutil
from pathlib import Path
from typing import Any

import orjson
import pytest

from benchmarks.generate import ACCOUNT, Dump, Form, generate
from s3import.core.errors import DumpNotFound
from s3import.core.records import Entity
from s3import.core.settings import Settings
from s3import.operations.estimate.estimate import Estimate, estimate
from s3import.operations.estimate.survey import MOST_BYTES, Stratum
from s3import.reporting.timing import Range
from tests.cli.commands import s3import
from tests.importing.moving import migrate, settings_for

pytestmark = pytest.mark.integration

MESSAGES = 8_000


@pytest.fixture(scope="module", params=Form)
def dump(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Dump:
    """A dump of some megabytes in each format."""
    made = Dump(tmp_path_factory.mktemp("dump"), MESSAGES, request.param)
    generate(made)
    return made


def estimated(dump: Dump, folder: Path, **settings: Any) -> Estimate:
    return estimate(Settings(**{"source": dump.source, "database": f"sqlite:///{folder}/none.db", **settings}), ACCOUNT)


def test_records_are_told_within_two_percent(dump: Dump, tmp_path: Path) -> None:
    """Of every entity, in every format; and nothing is written, not even a database."""
    found = estimated(dump, tmp_path)
    for entity, count in {Entity.THREADS: 400, Entity.MESSAGES: MESSAGES, Entity.ATTACHMENTS: 800}.items():
        assert found.records[entity].expected == pytest.approx(count, rel=0.02)
    assert found.rejects.expected == 0
    assert list(tmp_path.iterdir()) == []


def test_times_are_ranges_and_rest_on_something(dump: Dump, tmp_path: Path) -> None:
    """Usable comes before complete; a dump of which the second half is not there yet is never complete."""
    found = estimated(dump, tmp_path)
    assert found.complete is not None
    for seconds in (found.usable, found.complete):
        assert 0 < seconds.low < seconds.expected < seconds.high
    assert found.usable.high < found.complete.high
    assert found.basis.startswith("the study, ")
    shutil.copytree(dump.root / ACCOUNT / "recent", tmp_path / ACCOUNT / "recent")
    assert estimated(Dump(tmp_path, 0), tmp_path).complete is None


def _spoil(text: bytes, every: int) -> bytes:
    """Each so manieth record without its id."""
    records = [orjson.loads(line) for line in text.splitlines()]
    for record in records[::every]:
        del record["id"]
    return b"".join(orjson.dumps(record) + b"\n" for record in records)


def test_rejects_are_told_by_code(tmp_path: Path) -> None:
    """One in twenty is found to be about that many."""
    made = Dump(tmp_path, MESSAGES, Form.GZIP)
    generate(made)
    for path in (tmp_path / ACCOUNT).glob("*/messages/*"):
        path.write_bytes(gzip.compress(_spoil(gzip.decompress(path.read_bytes()), 20)))
    found = estimated(made, tmp_path)
    assert found.rejects.low <= MESSAGES / 20 <= found.rejects.high
    assert found.rejects.expected == pytest.approx(MESSAGES / 20, rel=0.3)
    assert set(found.rejects_by_code) == {"missing_field"}


def test_files_are_counted_where_they_are_to_be_copied(tmp_path: Path) -> None:
    """And take time of their own."""
    made = Dump(tmp_path, 2000)
    generate(made)
    without, with_files = estimated(made, tmp_path), estimated(made, tmp_path, files_to=str(tmp_path / "copies"))
    assert (without.files, with_files.files) == (0, 200)
    assert with_files.file_bytes == pytest.approx(200 * 5e6, rel=0.2)
    assert with_files.usable.expected > without.usable.expected


def test_manifests_tell_the_records_as_they_are(tmp_path: Path) -> None:
    """Without a doubt, then."""
    made = Dump(tmp_path, 2000, Form.GZIP)
    generate(made)
    folder = tmp_path / ACCOUNT / "recent"
    parts = [
        {"entity": path.parent.name, "key": path.relative_to(folder).as_posix(), "rows": 1_000_000}
        for path in folder.glob("*/*")
    ]
    told = {"version": 1, "account_id": ACCOUNT, "pass": "recent", "parts": parts}
    (folder / "manifest.json").write_bytes(orjson.dumps(told))
    shutil.rmtree(tmp_path / ACCOUNT / "remaining")
    assert estimated(made, tmp_path).records[Entity.THREADS] == Range.exactly(1_000_000)


def test_what_is_imported_already_is_not_estimated_again(tmp_path: Path, sqlite_url: str) -> None:
    """The account is usable then; and what the run took is what the next estimate rests on."""
    made = Dump(tmp_path, 2000)
    generate(made)
    settings = settings_for(tmp_path, sqlite_url, block_bytes=2**20)
    (tmp_path / ACCOUNT / "remaining").rename(tmp_path / "later")
    migrate(settings, ACCOUNT)
    (tmp_path / "later").rename(tmp_path / ACCOUNT / "remaining")
    found = estimate(settings, ACCOUNT)
    assert ([pass_.value for pass_ in found.passes], found.usable.expected) == (["remaining"], 0.0)


def test_of_an_active_account_nothing_is_left(tmp_path: Path, sqlite_url: str) -> None:
    """The command says so, and that it takes no time."""
    made = Dump(tmp_path, 100)
    generate(made)
    migrate(settings_for(tmp_path, sqlite_url, block_bytes=2**20), ACCOUNT)
    words = ("estimate", "--account", ACCOUNT, "--source", made.source, "--database", sqlite_url)
    assert s3import(*words).out == f"account {ACCOUNT}: it is active, nothing is left to import\n"
    document = s3import(*words, "--json").document
    assert (document["passes"], document["complete_seconds"]) == ([], {"low": 0.0, "expected": 0.0, "high": 0.0})


def test_without_a_dump_there_is_no_estimate(tmp_path: Path) -> None:
    """The reason is told."""
    with pytest.raises(DumpNotFound, match="no recent dump"):
        estimated(Dump(tmp_path, 0), tmp_path)


def test_what_was_never_found_is_less_than_three_of_as_many() -> None:
    """Of nothing read nothing is known."""
    nothing = Stratum(None, Entity.MESSAGES, [])  # type: ignore[arg-type]
    assert nothing.rejects(100) == Range(0.0, 0.0, 100)


def test_reading_is_bounded_whatever_the_size(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By bytes, and by seconds."""
    made = Dump(tmp_path, MESSAGES)
    generate(made)
    monkeypatch.setattr("s3import.operations.estimate.survey.MOST_BYTES", 2**20)
    assert MOST_BYTES <= 64 * 2**20
    few = estimated(made, tmp_path)
    assert 0 < few.sampled < MESSAGES / 2
    monkeypatch.setattr("s3import.operations.estimate.survey.MOST_SECONDS", 0.0)
    none = estimated(made, tmp_path)
    assert none.sampled == 0
    assert none.records[Entity.MESSAGES].low < MESSAGES < none.records[Entity.MESSAGES].high


def test_the_command_says_it_in_words_and_as_json(tmp_path: Path) -> None:
    """Exit status 1 with the reason where there is no dump."""
    made = Dump(tmp_path, 2000)
    generate(made)
    words = ("estimate", "--account", ACCOUNT, "--source", made.source, "--database", f"sqlite:///{tmp_path}/none.db")
    told = s3import(*words)
    assert told.out.startswith(f"account {ACCOUNT}: usable after ")
    assert "complete after" in told.out
    document = s3import(*words, "--json").document
    assert set(document) >= {
        *("account_id", "source", "objects", "bytes", "records", "rejects", "files", "usable_seconds"),
        *("complete_seconds", "requests", "bytes_to_read", "table_bytes", "basis"),
    }
    missing = s3import("estimate", "--account", "nobody", "--source", made.source)
    assert (missing.status, "[dump_not_found]" in missing.err) == (1, True)


def test_a_dry_run_ends_with_how_long_the_import_would_take(tmp_path: Path, sqlite_url: str) -> None:
    """In the words of the estimate."""
    made = Dump(tmp_path, 2000)
    generate(made)
    told = s3import("migrate", "--account", ACCOUNT, "--source", made.source, "--database", sqlite_url, "--dry-run")
    assert "usable after" in told.out.splitlines()[-1]
    assert "this rests on the study" in told.out.splitlines()[-1]
