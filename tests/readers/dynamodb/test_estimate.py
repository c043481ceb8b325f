"""What an import of items will take: shared out to passes by their creation, with what tables tell of themselves."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import orjson
import pytest

from s3import.core.records import Entity
from s3import.core.settings import Settings
from s3import.operations.estimate.estimate import estimate
from s3import.reporting.timing import Range
from tests.readers.dynamodb.exports import write_export
from tests.readers.dynamodb.items import MAPPING, attachment, message, thread
from tests.readers.dynamodb.served import Served
from tests.readers.dynamodb.test_migration import ACCOUNT, OLD_TEXT

pytestmark = pytest.mark.integration

OLD, NEW = 1585000000000, 4000000000000
ITEMS = {
    "threads": [thread(1, created=OLD_TEXT)],
    "messages": [message(n, thread="t1", created=OLD if n % 4 else NEW) for n in range(40)],
    "attachments": [attachment(1, message="m1", created=OLD_TEXT)],
}


def settings_for(folder: Path, source: str, mapping: str) -> Settings:
    (folder / "beside").mkdir()
    (folder / "beside" / "account.json").write_bytes(orjson.dumps(ACCOUNT))
    path = folder / "mapping.toml"
    path.write_text(f'beside = "{folder}/beside"\n{mapping}')
    return Settings(source=source, database=f"sqlite:///{folder}/none.db", mapping=str(path))


def test_an_export_is_read_once_and_shared_out(tmp_path: Path) -> None:
    """Each record counts once, whatever pass it is of."""
    for table, items in ITEMS.items():
        write_export(tmp_path / "exports", table, [items[::2], items[1::2]])
    found = estimate(settings_for(tmp_path, f"{tmp_path}/exports", MAPPING), "acme")
    assert found.records[Entity.MESSAGES] == Range.exactly(40)
    assert found.objects == 4
    assert found.read_units is None


def test_tables_tell_how_much_there_is_of_all_accounts(moto_tables: Served, tmp_path: Path) -> None:
    """What was read to its end is exact; with it come the read units of the tables as a whole."""
    for table, items in ITEMS.items():
        moto_tables.put(table, *items)
    settings = settings_for(tmp_path, "dynamodb:", moto_tables.mapping_text(MAPPING))
    found = estimate(settings, "acme")
    assert found.records[Entity.MESSAGES] == Range.exactly(40)
    assert found.read_units is not None


def test_of_a_large_table_only_the_ends_are_known(
    moto_tables: Served, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It has at least what was seen, and at most what the table has."""
    for table, items in ITEMS.items():
        moto_tables.put(table, *items)
    monkeypatch.setattr("s3import.operations.estimate.survey.SAMPLE_BYTES", 1)
    monkeypatch.setattr("s3import.operations.estimate.survey.BLOCK_BYTES", 2000)
    settings = replace(settings_for(tmp_path, "dynamodb:", moto_tables.mapping_text(MAPPING)))
    records = estimate(settings, "acme").records[Entity.MESSAGES]
    assert records.low <= 40 <= records.high
