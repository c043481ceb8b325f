"""docs/reference/contract.md says what the code does: fields, words, codes, columns, statuses."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

import pyarrow as pa
import pytest
import sqlalchemy as sa

from s3import.core import tables
from s3import.core.accounts import AccountStatus
from s3import.core.errors import RejectCode
from s3import.core.records import (
    AUTHOR_TYPES,
    DIRECTIONS,
    ORIGINS,
    REQUIRED,
    SCHEMAS,
    STATUSES,
    VISIBILITIES,
    Entity,
)
from s3import.status import State

CONTRACT = (Path(__file__).parent.parent / "docs" / "reference" / "contract.md").read_text(encoding="utf-8")
ROWS = dict(re.findall(r"^\| ([^|]+?) \| (.+) \|$", CONTRACT, re.MULTILINE))
TARGETS = (tables.accounts, tables.brands, tables.channels, *tables.TARGETS.values())


def _named(text: str) -> list[str]:
    """What stands between backquotes."""
    return re.findall(r"`([^`]+)`", text)


def _sections() -> Mapping[str, str]:
    """The text of each section, by its number."""
    return dict(re.findall(r"^## (\d)\. [^\n]+\n(.*?)(?=^## |\Z)", CONTRACT, re.MULTILINE | re.DOTALL))


def _members(schema: pa.Schema) -> set[str]:
    """The names of a record's fields and of theirs."""
    found = set(schema.names)
    for field in schema:
        inner = field.type.value_type if pa.types.is_list(field.type) else field.type
        found |= {inner.field(index).name for index in range(inner.num_fields)} if pa.types.is_struct(inner) else set()
    return found


@pytest.mark.parametrize("entity", Entity)
def test_fields_are_those_of_the_records(entity: Entity) -> None:
    """Each entity's row names every field of its schema, and marks what is required."""
    row = next(text for text in re.findall(rf"^\| {entity} \| (.+) \|$", CONTRACT, re.MULTILINE) if "`!" in text)
    assert set(_named(row)) == _members(SCHEMAS[entity])
    assert set(re.findall(r"`([a-z_]+)`!", row)) == set(REQUIRED[entity])


@pytest.mark.parametrize("table", TARGETS, ids=str)
def test_columns_are_those_of_the_tables(table: sa.Table) -> None:
    """In their order."""
    row = re.findall(rf"^\| {table.name} \| (.+) \|$", _sections()["4"], re.MULTILINE)
    assert _named(row[0]) == list(table.columns.keys())


@pytest.mark.parametrize(
    ("field", "words"),
    [("`status`", STATUSES), ("`kind` (column `origin`)", ORIGINS), ("`visibility`", VISIBILITIES)],
    ids=["status", "kind", "visibility"],
)
def test_words_are_translated_as_the_mapping_does(field: str, words: Mapping[str, str]) -> None:
    """Each pair of words."""
    assert dict(re.findall(r"(\w+) → (\w+)", ROWS[field])) == words


def test_words_that_stay_as_they_are() -> None:
    """Directions and types of authors."""
    assert ROWS["`direction`"] == ", ".join(DIRECTIONS)
    assert ROWS["`author.type`"] == ", ".join(AUTHOR_TYPES)


def test_reject_codes_are_the_ones_there_are() -> None:
    """Each with its meaning, none twice."""
    codes = [value for value in vars(RejectCode).values() if isinstance(value, str) and value in RejectCode.ALL]
    table = _sections()["3"].partition("| reject code |")[2]
    assert re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE) == codes


def test_states_and_statuses_are_the_ones_there_are() -> None:
    """Of runs and of accounts."""
    assert all(f"{word}" in _sections()["7"] for word in State)
    assert f"{', '.join(list(AccountStatus)[:-1])} or {list(AccountStatus)[-1]}" in _sections()["4"]
