"""Deletions in a dump, and people who delete while it is imported."""

from __future__ import annotations

import gzip
import random
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from s3import.core import tables
from s3import.core.errors import S3ImportError
from s3import.core.events import Advanced, Event
from s3import.core.records import ROW_ENTITIES, Entity, Pass
from s3import.core.settings import Keys, Settings
from s3import.writers import open_database
from tests.importing.dumps import Dump, Record, deletion, lines, parquet, records, seeded_dump, simple_dump, write
from tests.importing.moving import adds_up, code_of, counts, execute, ids, migrate, settings_for

pytestmark = pytest.mark.integration

THREADS, MESSAGES, ATTACHMENTS = ROW_ENTITIES
SEED = 0
RECENT = {name: f"recent-{name}" for name in ("t0", "t1", "m1", "a2")}


def one_of_each() -> list[Record | bytes]:
    """Deletions of a thread, of another one's message and of a third one's attachment."""
    return [
        deletion(THREADS, RECENT["t0"]),
        deletion(MESSAGES, RECENT["m1"]),
        deletion(ATTACHMENTS, RECENT["a2"]),
    ]


FORMATS: dict[str, Callable[[Any], bytes]] = {
    "jsonl": lines,
    "jsonl.gz": lambda part: gzip.compress(lines(part)),
    "parquet": lambda part: parquet(Entity.DELETIONS, part),
}


@pytest.mark.parametrize("extension", FORMATS)
def test_deletions_come_last_in_their_pass(settings: Settings, tmp_path: Path, extension: str) -> None:
    """Rows go with everything below them, whatever the format; each deletion is counted."""
    part = FORMATS[extension](one_of_each())
    write({**simple_dump(), f"recent/deletions/part-0.{extension}": part}, tmp_path)
    result = migrate(settings, passes=[Pass.RECENT])
    assert (code_of(result), counts(result)["deletions"]) == (None, (3, 0, 0))
    assert [ids(settings, table) for table in tables.TARGETS.values()] == [
        ["recent-t1", "recent-t2"],
        ["recent-m2"],
        [],
    ]


def test_a_deletion_holds_for_the_pass_after_it(settings: Settings, tmp_path: Path) -> None:
    """Of the remaining pass, too: what it holds back is unchanged, with all that hangs on it."""
    dump = {**simple_dump(), "recent/deletions/part-0.jsonl": lines([deletion(THREADS, "remaining-t0")])}
    write(dump, tmp_path)
    result = migrate(settings)
    expected = {**dict.fromkeys(ROW_ENTITIES, (2, 1, 0))}
    assert (code_of(result), counts(result, Pass.REMAINING)) == (None, expected)
    assert "remaining-t0" not in ids(settings, tables.threads)


def test_a_pass_of_deletions_alone_is_a_pass(settings: Settings, tmp_path: Path) -> None:
    """There is a dump, though no record comes with it."""
    dump = {key: body for key, body in simple_dump().items() if not key.startswith("remaining/")}
    write({**dump, "remaining/deletions/part-0.jsonl": lines(one_of_each())}, tmp_path)
    result = migrate(settings)
    assert (code_of(result), result.document["account_status"]) == (None, "active")
    assert counts(result, Pass.REMAINING)["deletions"] == (3, 0, 0)


def test_a_wrong_deletion_is_a_reject(settings: Settings, tmp_path: Path) -> None:
    """With all its reasons, on the fast path and on the careful one."""
    wrong: list[Record | bytes] = [
        {"entity": "brands", "id": "b1", "deleted_at": "2024-05-01T00:00:00Z"},
        {"entity": "threads", "id": "", "deleted_at": "yesterday"},
        {"id": "x"},
        {"entity": 1, "id": "x", "deleted_at": "2024-05-01T00:00:00Z"},
    ]
    write({**simple_dump(), "recent/deletions/part-0.jsonl": lines(wrong)}, tmp_path)
    shown = migrate(settings, passes=[Pass.RECENT]).document["passes"]["recent"]
    assert shown["counts"]["deletions"] == {"read": 4, "written": 0, "unchanged": 0, "rejected": 4, "sanitised": 0}
    assert shown["rejects"]["by_code"] == {
        "invalid_id": 1,
        "invalid_timestamp": 1,
        "invalid_value": 1,
        "missing_field": 1,
        "wrong_type": 1,
    }


def test_a_pass_without_deletions_does_not_speak_of_them(settings: Settings, tmp_path: Path) -> None:
    """The fourth key of the counts is there where there are any."""
    write(simple_dump(), tmp_path)
    assert counts(migrate(settings)).keys() == set(ROW_ENTITIES)


def test_what_a_person_deletes_between_the_passes_stays_deleted(database_url: str, tmp_path: Path) -> None:
    """The remaining pass brings it again, newer, and with children: all of them are rejects, by one code."""
    settings = settings_for(tmp_path, database_url)
    again = {
        f"remaining/{entity}/part-0.jsonl": lines(
            [{**record, "updated_at": "2025-01-01T00:00:00Z"} for record in records(entity, 3, prefix="recent-")]
        )
        for entity in ROW_ENTITIES
    }
    write({**simple_dump(), **again}, tmp_path)
    migrate(settings, passes=[Pass.RECENT])
    execute(settings, sa.delete(tables.threads).where(tables.threads.c.id == "recent-t1"))
    shown = migrate(settings).document["passes"]["remaining"]
    assert shown["rejects"] == {"total": 3, "by_code": {"deleted_in_target": 3}}
    assert [ids(settings, table) for table in tables.TARGETS.values()] == [
        [f"recent-{letter}0", f"recent-{letter}2"] for letter in "tma"
    ]


# --- races, by seed ------------------------------------------------------------------------------------------------


class People:
    """Somebody who deletes threads and messages of a migrating account, again and again, and knows what they were."""

    def __init__(self, settings: Settings, seed: int) -> None:
        self._database = open_database(settings.database)
        self._draw = random.Random(seed)
        self.deleted: dict[Entity, set[str]] = {entity: set() for entity in ROW_ENTITIES}

    def delete_one(self) -> None:
        """Delete some row that is there, with whatever hangs on it."""
        entity = self._draw.choice(ROW_ENTITIES)
        table = tables.TARGETS[entity]
        with self._database.begin() as connection:
            there = sorted(connection.scalars(sa.select(table.c.id)))
            if there:
                chosen = self._draw.choice(there)
                connection.execute(sa.delete(table).where(table.c.id == chosen))
                self.deleted[entity].add(chosen)

    @contextmanager
    def at_work(self) -> Iterator[None]:
        """Delete all the while."""
        stop = threading.Event()

        def work() -> None:
            while not stop.wait(0.01):
                try:
                    self.delete_one()
                except S3ImportError:  # the other side of a deadlock: a person tries again
                    continue

        somebody = threading.Thread(target=work)
        somebody.start()
        try:
            yield
        finally:
            stop.set()
            somebody.join()
            self._database.close()


def _stays_deleted(settings: Settings, people: People) -> None:
    """Nothing that was deleted is there, nor anything below it."""
    for entity in ROW_ENTITIES:
        assert people.deleted[entity].isdisjoint(ids(settings, tables.TARGETS[entity]))


def _without_dumps_deletions(dump: Dump) -> Dump:
    return {key: body for key, body in dump.items() if "/deletions/" not in key}


@pytest.mark.parametrize("seed", range(2))
def test_people_delete_between_any_two_batches(database_url: str, tmp_path: Path, seed: int) -> None:
    """Every few batches somebody deletes something: none of it comes back, and the counts add up."""
    settings = settings_for(tmp_path, database_url)
    write(seeded_dump(seed), tmp_path)
    people = People(settings, seed)
    result = migrate(settings, observe=_now_and_then(people.delete_one, seed))
    assert (code_of(result), adds_up(result)) == (None, True)
    _stays_deleted(settings, people)


def _now_and_then(act: Callable[[], None], seed: int) -> Callable[[Event], None]:
    draw = random.Random(seed)

    def watch(event: Event) -> None:
        if isinstance(event, Advanced) and draw.random() < 0.4:
            act()

    return watch


@pytest.mark.parametrize(
    ("server", "keys"), [("postgres_url", Keys.SETS), ("postgres_url", Keys.ROWS), ("mariadb_url", Keys.AUTO)]
)
def test_people_delete_while_batches_are_written(
    request: pytest.FixtureRequest, server: str, keys: Keys, tmp_path: Path
) -> None:
    """Somebody deletes all the while, within transactions that are under way: none of it comes back."""
    settings = settings_for(tmp_path, request.getfixturevalue(server), workers=2, keys=keys)
    write(_without_dumps_deletions(seeded_dump(SEED, threads=15)), tmp_path)
    migrate(settings, passes=[Pass.RECENT])
    people = People(settings, SEED)
    with people.at_work():
        result = migrate(settings)
    assert (code_of(result), adds_up(result)) == (None, True)
    _stays_deleted(settings, people)
