"""Any dump, and anything planted after its import: exactly that is found."""

from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from s3import.core.records import Entity
from s3import.core.settings import Settings
from s3import.core.tables import TARGETS, import_tombstones
from tests.importing.dumps import write
from tests.importing.moving import code_of, execute, migrate, rows, settings_for
from tests.importing.test_model import ACCOUNTS, TEXT, Parts, dumps, stored
from tests.operations.verify.verifying import differences, verify

pytestmark = pytest.mark.integration

ANY = settings(deadline=None, max_examples=6, suppress_health_check=list(HealthCheck))


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory, sqlite_file: Path) -> Settings:
    """One database and one folder for many accounts."""
    folder = tmp_path_factory.mktemp("verified")
    return settings_for(folder, f"sqlite:///{shutil.copy(sqlite_file, folder)}")


def imported(place: Settings, parts: Parts, at_once: bool) -> tuple[Settings, str]:
    """An account with this dump, imported in batches of a line or of a part."""
    account = next(ACCOUNTS)
    write(stored(parts, account), Path(place.source or "").parent, account)
    batches = dataclasses.replace(place, block_bytes=8 * 1024 * 1024 if at_once else 1)
    assert code_of(migrate(batches, account, max_rejects="100%")) is None
    return batches, account


@ANY
@given(parts=dumps, at_once=st.booleans())
def test_an_import_of_any_dump_is_right(place: Settings, parts: Parts, at_once: bool) -> None:
    """Rejects, repeated ids, equal times and rejected parents: nothing of it is taken for a difference."""
    place, account = imported(place, parts, at_once)
    assert differences(verify(place, account)) == set()


@ANY
@given(parts=dumps, draw=st.data())
def test_what_was_planted_is_found(place: Settings, parts: Parts, draw: st.DataObject) -> None:
    """Some rows get another text, some attachments go: these are listed, by id and field."""
    place, account = imported(place, parts, at_once=True)
    planted: set[tuple[Any, ...]] = set()
    for entity, table in TARGETS.items():
        for row in rows(place, account)[table.name]:
            what = draw.draw(st.sampled_from(["nothing", "change", "delete"]))
            this = sa.and_(table.c.account_id == account, table.c.id == row["id"])
            if what == "change":
                text = draw.draw(st.text("ab", max_size=2))
                execute(place, sa.update(table).where(this).values({TEXT[entity]: text}))
                planted.add((entity.value, row["id"], "different", TEXT[entity]))
            elif what == "delete" and entity is Entity.ATTACHMENTS:
                nobodys = sa.delete(import_tombstones).where(import_tombstones.c.account_id == account)
                execute(place, sa.delete(table).where(this), nobodys)
                planted.add((entity.value, row["id"], "missing"))
    assert differences(verify(place, account)) == planted
