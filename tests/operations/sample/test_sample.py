"""`s3import sample`: the same dump every time, right as a whole, and with faults each reject once."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema_rs
import orjson
import pytest

from s3import.cli import run
from s3import.core.errors import ConfigurationError, MigrationFailed, RejectCode
from s3import.core.json_schemas import schema_text
from s3import.core.records import Entity, Pass
from s3import.operations.sample import sample_dump
from s3import.operations.sample.sample_dump import EXPECTED_REJECTS, SampleDump, write_sample
from tests.cli.commands import s3import
from tests.docs.test_schemas import SCHEMA_OF
from tests.operations.validate.validating import rejects, validate

DATABASE_ONLY = {RejectCode.DELETED_IN_TARGET}  # a dump by itself cannot earn it


def lines_of(folder: Path, entity: Entity) -> Iterator[bytes]:
    """The lines of the entity's right records in both passes."""
    for path in sorted(folder.glob(f"*/{entity}/part-[0-9]*")):
        stored = path.read_bytes()
        yield from (gzip.decompress(stored) if path.suffix == ".gz" else stored).splitlines()


def content(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def expected(folder: Path) -> list[Any]:
    return list(map(orjson.loads, (folder / EXPECTED_REJECTS).read_bytes().splitlines()))


def foretold(reject: dict[str, Any]) -> dict[str, Any]:
    """What of a reject `expected-rejects.jsonl` has."""
    reasons = [{name: reason[name] for name in ("code", "field")} for reason in reject["reasons"]]
    return {name: reject[name] for name in ("pass", "entity", "part", "line", "id")} | {"reasons": reasons}


@pytest.fixture(scope="module")
def faulty(tmp_path_factory: pytest.TempPathFactory) -> SampleDump:
    """A sample with faults."""
    return write_sample(tmp_path_factory.mktemp("sample") / "dump", 30, faults=True)


@pytest.mark.parametrize("messages", [1, 2, 7, 100])
def test_a_sample_is_right(messages: int, tmp_path: Path) -> None:
    """Nothing of it is rejected, and it has as many messages as were asked for."""
    sample = write_sample(tmp_path / "new/dump", messages, faults=False)
    document = validate(sample.folder, None).document()
    counts = [shown["counts"] for shown in document["passes"].values()]
    assert document["valid"] is True
    assert sum(one["messages"]["accepted"] for one in counts) == sample.counts[Entity.MESSAGES] == messages
    assert counts[-1]["deletions"]["accepted"] == 1
    assert (document["repeated_ids"], document["not_checked"]) == ({}, [])


def test_a_sample_is_the_same_every_time(tmp_path: Path) -> None:
    """Byte by byte, wherever it is written."""
    one, other = (write_sample(tmp_path / name, 40, faults=True).folder for name in "ab")
    assert content(one) == content(other)


def test_a_large_sample_has_several_parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No more is in memory than one of them; a conversation may be cut there."""
    monkeypatch.setattr(sample_dump, "MESSAGES_A_PART", 10)
    folder = write_sample(tmp_path / "dump", 41, faults=False).folder
    assert sorted(path.name for path in (folder / "recent/messages").iterdir()) == [
        f"part-{number}.jsonl.gz" for number in range(3)
    ]
    assert len(list(lines_of(folder, Entity.MESSAGES))) == 41
    assert validate(folder, None).document()["valid"] is True


@pytest.mark.parametrize("entity", Entity)
def test_its_records_fit_their_schemas(entity: Entity, tmp_path: Path) -> None:
    """A sample shows the format."""
    validator = jsonschema_rs.Draft202012Validator(json.loads(schema_text(SCHEMA_OF[entity])))
    records = list(map(orjson.loads, lines_of(write_sample(tmp_path / "dump", 50, faults=False).folder, entity)))
    assert records
    assert all(map(validator.is_valid, records))


def test_each_code_is_expected_once(faulty: SampleDump) -> None:
    """Every code that a dump can earn by itself, for one reason each."""
    codes = [reason["code"] for reject in expected(faulty.folder) for reason in reject["reasons"]]
    assert sorted(codes) == sorted(RejectCode.ALL - DATABASE_ONLY)
    assert len(codes) == faulty.faulty


def test_validate_finds_what_is_expected(faulty: SampleDump) -> None:
    """Those rejects, and no others."""
    found = rejects(validate(faulty.folder, None))
    assert sorted((part, line) for _, part, line, *_ in found) == sorted(
        (one["part"], one["line"]) for one in expected(faulty.folder)
    )
    shown = validate(faulty.folder, None).document()["passes"][Pass.RECENT]["first_rejects"]
    assert {orjson.dumps(foretold(one)) for one in shown} == {orjson.dumps(one) for one in expected(faulty.folder)}


@pytest.mark.integration
def test_an_import_rejects_what_is_expected(faulty: SampleDump, database_url: str, tmp_path: Path) -> None:
    """Those rejects in that order, on every database; everything else comes over."""
    place = ["--source", str(faulty.folder), "--files-to", str(tmp_path), "--database", database_url, "--json"]
    imported = s3import("migrate", "--account", faulty.account_id, *place)
    assert imported.status == 3
    listed = s3import("rejects", "--account", faulty.account_id, "--database", database_url, "--json").lines
    assert [foretold(reject) for reject in listed] == expected(faulty.folder)
    counts = [shown["counts"] for shown in imported.document["passes"].values()]
    files_failed = 2  # their rows are written
    assert {entity: sum(one[entity]["written"] for one in counts) for entity in faulty.counts} == {
        **faulty.counts,
        Entity.ATTACHMENTS: faulty.counts[Entity.ATTACHMENTS] + files_failed,
    }


def test_the_command_tells_what_comes_next(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The next commands can be copied; they stand below what was written."""
    folder = tmp_path / "a dump"
    assert run(["sample", str(folder), "--messages", "12"]) == 0
    assert capsys.readouterr().out == (
        "account sample: 6 threads, 12 messages, 2 attachments\n"
        f"  s3import validate '{folder}'\n"
        f"  s3import migrate --account sample --source '{folder}'\n"
    )


def test_nothing_is_written_over(tmp_path: Path) -> None:
    """A folder with something in it, or a file, stays as it is."""
    file = tmp_path / "file"
    file.write_text("mine")
    for taken in (tmp_path, file):
        with pytest.raises(ConfigurationError, match="not an empty folder"):
            write_sample(taken, 1, faults=False)
    assert content(tmp_path) == {"file": b"mine"}


def test_a_place_that_takes_nothing_is_told(tmp_path: Path) -> None:
    """In a sentence with the system's reason."""
    file = tmp_path / "file"
    file.write_text("mine")
    with pytest.raises(MigrationFailed, match=r"could not be written below .* \(Not a directory\)"):
        write_sample(file / "dump", 1, faults=False)
