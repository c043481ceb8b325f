"""Any dump: what a migration makes of it is what the contract's rules say."""

from __future__ import annotations

import dataclasses
import itertools
import shutil
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from s3import.core.records import HALVES, ROW_ENTITIES, Entity, Pass
from s3import.core.settings import Settings
from tests import commands as app
from tests.importing.dumps import Dump, account_document, manifest, write
from tests.importing.model import PARENT, Line, Model, essence
from tests.importing.moving import adds_up, code_of, migrate, rows, settings_for
from tests.records import right

pytestmark = pytest.mark.integration

TEXT = {Entity.THREADS: "subject", Entity.MESSAGES: "body", Entity.ATTACHMENTS: "filename"}
WORD = {Entity.THREADS: "status", Entity.MESSAGES: "direction", Entity.ATTACHMENTS: "size_bytes"}
ACCOUNTS = (f"model-{number:05}" for number in itertools.count())
NO_RECORDS = [
    Line(b"{", codes=frozenset({"invalid_json"})),
    Line(b"{} {}", codes=frozenset({"invalid_json"})),
    Line(b"[]", codes=frozenset({"not_an_object"})),
    Line(b'{"id":"\xff"}', codes=frozenset({"invalid_utf8"})),
    Line(b""),
    Line(b" \t"),
]
Parts = dict[tuple[Pass, Entity], list[list[Line]]]

days = st.integers(1, 4).map("2024-05-0{}T00:00:00Z".format)
few_ids = st.integers(0, 3).map(str)


def faults(entity: Entity) -> st.SearchStrategy[dict[str, tuple[Any, str]]]:
    """By field: a wrong value, and the code that it gets."""
    return st.fixed_dictionaries(
        {},
        optional={
            WORD[entity]: st.just((-1 if entity is Entity.ATTACHMENTS else "x", "invalid_value")),
            "created_at": st.just(("2024-05-01", "invalid_timestamp")),
            "id": st.sampled_from([("", "invalid_id"), (7, "wrong_type"), (None, "missing_field")]),
            "account_id": st.just(("another", "wrong_account")),
            PARENT[entity]: st.just((None, "missing_field")),
        },
    )


@st.composite
def lines_of(draw: st.DrawFn, entity: Entity) -> Line:
    """A line of a part: mostly a right record, among few ids, parents and times."""
    if draw(st.integers(0, 5)) == 0:
        return draw(st.sampled_from(NO_RECORDS))
    parents = st.sampled_from(["b1", "b2", "b3"]) if entity is Entity.THREADS else few_ids
    fields = {
        "id": draw(few_ids),
        PARENT[entity]: draw(parents),
        "created_at": draw(days),
        "updated_at": draw(st.none() | days),
        TEXT[entity]: draw(st.sampled_from(["one", "two", "nul \0"])),
    }
    wrong = draw(faults(entity)) if draw(st.integers(0, 3)) == 0 else {}
    record = right(entity, **{"account_id": "@", **fields, **{name: value for name, (value, _) in wrong.items()}})
    return Line(orjson.dumps(record), record, frozenset(code for _, code in wrong.values()))


dumps = st.fixed_dictionaries(
    {
        (pass_, entity): st.lists(st.lists(lines_of(entity), max_size=8), max_size=2)
        for pass_ in HALVES
        for entity in ROW_ENTITIES
    }
)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory, sqlite_file: Path) -> Settings:
    """One database and one folder for many accounts."""
    folder = tmp_path_factory.mktemp("model")
    return settings_for(folder, f"sqlite:///{shutil.copy(sqlite_file, folder)}")


@pytest.mark.parametrize("at_once", [True, False])
@settings(suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(parts=dumps)
def test_a_migration_does_what_the_rules_say(place: Settings, at_once: bool, parts: Parts) -> None:
    """Rows, counts and rejects of any dump; a part may be one batch, or each of its lines."""
    account, model = next(ACCOUNTS), Model()
    for pass_, entity in itertools.product(HALVES, ROW_ENTITIES):
        for part in parts[pass_, entity]:
            model.take(pass_, entity, part, at_once=at_once)
    write(stored(parts, account), Path(place.source or "").parent, account)
    batches = dataclasses.replace(place, block_bytes=8 * 1024 * 1024 if at_once else 1)
    result = migrate(batches, account, max_rejects="100%")
    assert (code_of(result), adds_up(result)) == (None, True)
    assert _rows(place, account) == {
        entity: sorted(essence(entity, record) for record in kept.values()) for entity, kept in model.rows.items()
    }
    assert _counts(result.document) == {key: dict(+counts) for key, counts in model.counts.items() if +counts}
    assert _rejects(place, account) == model.rejects


def stored(parts: Parts, account: str) -> Dump:
    """The dump; the account's name stands where the records have ``@``. An empty manifest says that nothing follows."""
    dump = {"account.json": account_document(account)}
    for (pass_, entity), these in parts.items():
        for number, part in enumerate(these):
            text = b"".join(line.text + b"\n" for line in part)
            dump[f"{pass_}/{entity}/{number}.jsonl"] = text.replace(b'"@"', f'"{account}"'.encode())
    return {**dump, **{f"{pass_}/manifest.json": manifest(dump, pass_, account) for pass_ in HALVES}}


def _rows(place: Settings, account: str) -> dict[Entity, list[tuple[str, str, str]]]:
    found = rows(place, account)
    return {
        entity: [(row["id"], row[PARENT[entity]], row[TEXT[entity]]) for row in found[entity]]
        for entity in ROW_ENTITIES
    }


def _counts(document: dict[str, Any]) -> dict[tuple[Pass, Entity], dict[str, int]]:
    return {
        (pass_, entity): {name: count for name, count in counts.items() if count}
        for pass_ in HALVES
        for entity in ROW_ENTITIES
        if any((counts := document["passes"][pass_]["counts"][entity]).values())
    }


def _rejects(place: Settings, account: str) -> list[tuple[Pass, Entity, int, list[str]]]:
    return [
        (
            Pass(reject["pass"]),
            Entity(reject["entity"]),
            reject["line"],
            sorted({why["code"] for why in reject["reasons"]}),
        )
        for reject in app.rejects(place, account, tuple(Pass))
    ]
