"""What a pass consists of, however much that is: kept in a private temporary file once it outgrows a little memory."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from typing import Any, TypeVar, overload

from s3import.core.records import Entity, PlannedPart, StoredObject, Window
from s3import.readers.sources.temporary_space import no_temporary_space

T = TypeVar("T")

FEW = 5000
"""So many parts, or fewer, are handled in memory and in one transaction."""

_ORDER = {entity: number for number, entity in enumerate(Entity)}
_TABLES = """
    PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF; PRAGMA temp_store = FILE;
    CREATE TABLE listed (key TEXT PRIMARY KEY, size_bytes INT, etag TEXT) WITHOUT ROWID;
    CREATE TABLE named (number INTEGER PRIMARY KEY, plain_key TEXT UNIQUE, key TEXT, part TEXT);
    CREATE TABLE planned (key TEXT PRIMARY KEY, entity INT, part TEXT) WITHOUT ROWID;
    CREATE TABLE known (key TEXT PRIMARY KEY, number INT, part TEXT, done INT) WITHOUT ROWID;
"""


class Inventory:
    """The objects below a folder, the parts among them, and (`note_known`) what of them is known already.

    Keys are relative to the folder. Raises: MigrationFailed, wherever there is no temporary space left.
    """

    def __init__(self) -> None:
        # SQLite spills a database without a name to a file that nobody else sees, and only once it outgrows its cache.
        self._rows = sqlite3.connect("", isolation_level=None, check_same_thread=False)
        self._rows.executescript(_TABLES)

    def take_listing(self, prefix: str, objects: Iterable[StoredObject]) -> None:
        """Take down what a listing below `prefix` gives."""
        length = len(prefix)
        rows = ((stored.key[length:], stored.size_bytes, stored.etag) for stored in objects)
        self._write("INSERT OR REPLACE INTO listed (key, size_bytes, etag) VALUES (?, ?, ?)", rows)

    def listed(self, prefix: str) -> Iterator[tuple[str, StoredObject]]:
        """The keys listed, in their order, each with its object, whose own key begins with `prefix`."""
        for key, size_bytes, etag in self._read("SELECT key, size_bytes, etag FROM listed ORDER BY key"):
            yield key, StoredObject(prefix + key, size_bytes, etag)

    def find(self, prefix: str, key: str) -> StoredObject | None:
        """The listed object of that key."""
        for size_bytes, etag in self._read("SELECT size_bytes, etag FROM listed WHERE key = ?", key):
            return StoredObject(prefix + key, size_bytes, etag)
        return None

    def name(self, key: str, plain_key: str, told: Sequence[Any]) -> bool:
        """Take down what a manifest tells of a part; False where it named its `plain_key` (without ``./``) before."""
        statement = "INSERT OR IGNORE INTO named (plain_key, key, part) VALUES (?, ?, ?)"
        with _temporary_space():
            return self._rows.execute(statement, (plain_key, key, json.dumps(told))).rowcount == 1

    def named(self, prefix: str) -> Iterator[tuple[str, Sequence[Any], StoredObject | None]]:
        """What was named, in that order: the key as it is listed, what is told of it, and the object that it names."""
        for plain_key, key, told in self._read("SELECT plain_key, key, part FROM named ORDER BY number"):
            stored = self.find(prefix, key)
            yield (
                (key, json.loads(told), stored)
                if stored
                else (plain_key, json.loads(told), self.find(prefix, plain_key))
            )

    def plan(self, parts: Iterable[PlannedPart]) -> None:
        """Take down parts, each with a key of its own."""
        rows = ((part.key, _ORDER[part.entity], _as_text(part)) for part in parts)
        self._write("INSERT INTO planned VALUES (?, ?, ?)", rows)

    def parts(self) -> Sequence[PlannedPart]:
        """The parts, parents' entities first and keys in order within."""
        stored = _Parts(self)
        return tuple(stored) if len(stored) <= FEW else stored

    def not_planned(self, names: Sequence[str], most: int) -> Sequence[str]:
        """The keys listed that are no parts and none of `names`, in order; of more than `most` the number only."""
        where = "FROM listed WHERE key NOT IN (SELECT key FROM planned) AND key NOT IN (SELECT value FROM json_each(?))"
        keys = [key for (key,) in self._read(f"SELECT key {where} ORDER BY key LIMIT {most}", json.dumps(names))]
        more = self.count(where, json.dumps(names)) - len(keys)
        return [*keys, f"… and {more} more"] if more else keys

    def count(self, where: str, *values: object) -> int:
        return int(next(self._read(f"SELECT count(*) {where}", *values))[0])

    def planned(self) -> Iterator[PlannedPart]:
        query = "SELECT part FROM planned ORDER BY entity, key"
        return (_as_part(text) for (text,) in self._read(query))

    # --- compared with what is known ------------------------------------------------------------------------------

    def note_known(self, parts: Iterable[tuple[int, PlannedPart, bool]]) -> None:
        """Take down parts of an earlier plan: number, part, and whether it is done."""
        rows = ((part.key, number, _as_text(part), done) for number, part, done in parts)
        self._write("INSERT INTO known VALUES (?, ?, ?, ?)", rows)

    def is_known(self) -> bool:
        """Whether the parts known are the ones planned, as they are planned."""
        same = self.count("FROM planned JOIN known USING (key) WHERE planned.part = known.part")
        return same == self.count("FROM planned") == self.count("FROM known")

    def fresh(self) -> Iterator[PlannedPart]:
        """The planned parts that are not known, in the plan's order."""
        query = "SELECT part FROM planned WHERE key NOT IN (SELECT key FROM known) ORDER BY entity, key"
        return (_as_part(text) for (text,) in self._read(query))

    def changed(self) -> Iterator[tuple[int, PlannedPart]]:
        """The planned parts that are known otherwise, with their numbers."""
        query = "SELECT number, planned.part FROM planned JOIN known USING (key) WHERE planned.part != known.part"
        return ((number, _as_part(text)) for number, text in self._read(query))

    def beside_known(self, entity: Entity) -> Iterator[tuple[PlannedPart, int | None, PlannedPart | None]]:
        """The entity's planned parts, keys in order, each with its number and how it is known, None: it is not."""
        query = (
            "SELECT planned.part, number, known.part FROM planned LEFT JOIN known USING (key) WHERE entity = ?"
            " ORDER BY planned.key"
        )
        for text, number, known in self._read(query, _ORDER[entity]):
            part = _as_part(text)
            yield part, number, known and (part if known == text else _as_part(known))

    def gone(self) -> Iterator[str]:
        """The keys of parts that are known and not planned any more, in order."""
        query = "SELECT key FROM known WHERE key NOT IN (SELECT key FROM planned) ORDER BY key"
        return (key for (key,) in self._read(query))

    def vanished(self) -> Iterator[tuple[int, str]]:
        """The numbers and keys of parts that are known, not done, and not planned any more."""
        query = "SELECT number, key FROM known WHERE NOT done AND key NOT IN (SELECT key FROM planned)"
        return ((number, key) for number, key in self._read(query))

    def _read(self, query: str, *values: object) -> Iterator[Any]:
        with _temporary_space():
            yield from self._rows.execute(query, values)

    def _write(self, statement: str, rows: Iterable[tuple[Any, ...]]) -> None:
        with _temporary_space():
            self._rows.execute("BEGIN")
            self._rows.executemany(statement, rows)
            self._rows.execute("COMMIT")


class _Parts(Sequence[PlannedPart]):
    """The parts of an inventory, read from it whenever they are looked at."""

    def __init__(self, inventory: Inventory) -> None:
        self.inventory = inventory
        self._count = inventory.count("FROM planned")

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[PlannedPart]:
        return self.inventory.planned()

    @overload
    def __getitem__(self, index: int) -> PlannedPart: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[PlannedPart]: ...
    def __getitem__(self, index: int | slice) -> PlannedPart | Sequence[PlannedPart]:
        if isinstance(index, slice):
            return tuple(islice(self, *index.indices(len(self))))
        return next(islice(self, index, None))


def inventory_of(parts: Sequence[PlannedPart]) -> Inventory:
    """The inventory that the parts come from, or a new one of them."""
    if isinstance(parts, _Parts):
        return parts.inventory
    inventory = Inventory()
    inventory.plan(parts)
    return inventory


def pages(items: Iterable[T], size: int) -> Iterator[list[T]]:
    """The items in lists of `size`, the last of fewer."""
    items = iter(items)
    while page := list(islice(items, size)):
        yield page


def _as_text(part: PlannedPart) -> str:
    stored, window = part.stored, part.window and str(part.window)
    told = (part.expected_rows, part.expected_sha256, window)
    return json.dumps([part.entity, part.key, stored.key, stored.size_bytes, stored.etag, *told])


def _as_part(text: str) -> PlannedPart:
    entity, key, stored_key, size_bytes, etag, rows, sha256, window = json.loads(text)
    stored = StoredObject(stored_key, size_bytes, etag)
    return PlannedPart(Entity(entity), key, stored, rows, sha256, Window.parse(window) if window else None)


@contextmanager
def _temporary_space() -> Iterator[None]:
    try:
        yield
    except (sqlite3.OperationalError, sqlite3.DatabaseError) as error:
        if isinstance(error, sqlite3.IntegrityError):
            raise
        raise no_temporary_space("the list of a pass's parts") from error
