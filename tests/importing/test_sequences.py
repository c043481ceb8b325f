"""Any sequence of readings, people's deletions and tombstones leaves what a dict of the rules would hold."""

from __future__ import annotations

import itertools
import shutil
from contextlib import closing
from pathlib import Path

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from s3import.core.records import HALVES, Entity, Pass
from s3import.core.settings import Settings
from s3import.core.tables import threads
from s3import.writers import open_database
from tests.importing.dumps import account_document, deletion, lines, manifest, write
from tests.importing.moving import adds_up, code_of, migrate, rows, settings_for
from tests.records import right

pytestmark = pytest.mark.integration

ACCOUNTS = (f"sequence-{number:05}" for number in itertools.count())
days = st.integers(1, 5).map("2024-05-0{}T00:00:00Z".format)
dated = st.lists(st.tuples(st.sampled_from("abc"), days), max_size=4)
steps = st.tuples(st.sampled_from(HALVES), dated, dated, st.sets(st.sampled_from("abc"), max_size=1))
"""The pass that is read, its threads, its tombstones, and what a person deletes afterwards."""


class Rules:
    """The threads that are there, by id, with the time of each; what people deleted; the latest tombstones."""

    def __init__(self) -> None:
        self.rows: dict[str, str] = {}
        self._deleted: set[str] = set()
        self._tombstones: dict[str, str] = {}

    def read(self, records: list[tuple[str, str]], tombstones: list[tuple[str, str]]) -> None:
        """Take the pass's threads, then its tombstones."""
        for key, at in records:
            if key not in self._deleted and at > max(self.rows.get(key, ""), self._tombstones.get(key, "")):
                self.rows[key] = at
        for key, at in tombstones:
            self._tombstones[key] = max(at, self._tombstones.get(key, ""))
            if key in self.rows and self.rows[key] <= at:
                del self.rows[key]

    def delete(self, keys: set[str]) -> None:
        """What a person does: only rows that are there can be deleted."""
        self._deleted |= keys & self.rows.keys()
        self.rows = {key: at for key, at in self.rows.items() if key not in keys}


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory, sqlite_file: Path) -> Settings:
    """One database and one folder for many accounts."""
    folder = tmp_path_factory.mktemp("sequences")
    return settings_for(folder, f"sqlite:///{shutil.copy(sqlite_file, folder)}")


@settings(deadline=None, max_examples=6, suppress_health_check=[HealthCheck.too_slow])
@given(sequence=st.lists(steps, min_size=1, max_size=4))
def test_nothing_deleted_comes_back(
    place: Settings, sequence: list[tuple[Pass, list[tuple[str, str]], list[tuple[str, str]], set[str]]]
) -> None:
    """Newer replaces older, and what a person or a tombstone took away stays away, however often a pass is read."""
    account, rules = next(ACCOUNTS), Rules()
    folder = Path(place.source or "").parent
    for pass_ in HALVES:
        _store(folder, account, pass_, [], [])
    assert code_of(migrate(place, account)) is None
    for pass_, records, tombstones, deleted in sequence:
        _store(folder, account, pass_, records, tombstones)
        result = migrate(place, account, passes=(pass_,), max_rejects="100%", again=True)
        assert (code_of(result), adds_up(result)) == (None, True)
        rules.read(records, tombstones)
        assert {row["id"] for row in rows(place, account)["threads"]} == rules.rows.keys()
        _delete(place, account, deleted)
        rules.delete(deleted)
    assert {
        row["id"]: f"{row['updated_at']:%Y-%m-%dT%H:%M:%SZ}" for row in rows(place, account)["threads"]
    } == rules.rows


def _store(
    folder: Path, account: str, pass_: Pass, records: list[tuple[str, str]], tombstones: list[tuple[str, str]]
) -> None:
    """Write the account's pass anew."""
    made = [right(Entity.THREADS, id=key, account_id=account, updated_at=at) for key, at in records]
    dump = {
        "account.json": account_document(account),
        f"{pass_}/threads/0.jsonl": lines(made),
        f"{pass_}/deletions/0.jsonl": lines([deletion(Entity.THREADS, key, at) for key, at in tombstones]),
    }
    write({**dump, f"{pass_}/manifest.json": manifest(dump, pass_, account)}, folder, account)


def _delete(place: Settings, account: str, keys: set[str]) -> None:
    with closing(open_database(place.database)) as database, database.begin() as connection:
        connection.execute(sa.delete(threads).where(threads.c.account_id == account, threads.c.id.in_(keys)))
