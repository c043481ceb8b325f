"""Rows by key range or part, in memory as long as they are few and in a temporary folder beyond that."""

from __future__ import annotations

import tempfile
import threading
from bisect import bisect_left
from collections.abc import Iterator
from itertools import pairwise

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.ipc

from s3import.core.errors import MigrationFailed, system_reason
from s3import.transform.fingerprints import RANGES

ROWS_HELD = 200_000  # some 20 MB
MOST_SMALL = 500  # tables: each takes some kilobytes, however few its rows are


class Spill:
    """Tables of one schema with a column of whole numbers that they are looked up by, their `key`. Safe to add to from
    several threads.

    Files lie in the folder for temporary files (``TMPDIR``) and have no name any more once they are written: nothing
    stays behind, however the process ends.
    """

    def __init__(self, schema: pa.Schema, rows_held: int | None = None, *, key: str = "key_range") -> None:
        self._schema, self.rows_held, self._key = schema, rows_held or ROWS_HELD, key
        self._lock = threading.Lock()
        self._small: list[pa.Table] = []  # those of small parts, before they become one
        self._held: list[pa.Table] = []
        self._held_rows = 0
        self._stored: list[pa.Table] = []
        self.num_rows = 0

    def add(self, rows: pa.Table) -> None:
        """Keep the rows. Raises: MigrationFailed, when the folder for temporary files is full."""
        with self._lock:
            self._small.append(rows)
            self._held_rows += rows.num_rows
            self.num_rows += rows.num_rows
            if self._held_rows >= self.rows_held:
                self._stored.append(_stored(self._in_memory().sort_by(self._key)))
                self._small, self._held, self._held_rows = [], [], 0
            elif len(self._small) >= MOST_SMALL:
                self._held.append(pa.concat_tables(self._small).combine_chunks())
                self._small = []

    def rows(self, first: int, end: int) -> pa.Table:
        """All rows whose key is `first` or above and below `end`."""
        within = (pc.field(self._key) >= first) & (pc.field(self._key) < end)
        stored = [_between(table, table[self._key], first, end) for table in self._stored]
        return pa.concat_tables([*stored, self._in_memory().filter(within)])

    def _in_memory(self) -> pa.Table:
        return pa.concat_tables([self._schema.empty_table(), *self._held, *self._small])


def _between(table: pa.Table, keys: pa.ChunkedArray, first: int, end: int) -> pa.Table:
    """The rows with keys from `first` up to `end`, of a table in the order of its `keys`."""
    begin, stop = (bisect_left(keys, bound, key=lambda number: number.as_py()) for bound in (first, end))
    return table.slice(begin, stop - begin)


def spans(*spills: Spill) -> Iterator[tuple[int, int]]:
    """All key ranges, cut into spans (first, end) that hold about as many rows as a spill keeps in memory."""
    count = min(RANGES, 1 + sum(spill.num_rows // spill.rows_held for spill in spills))
    ends = [RANGES * number // count for number in range(count + 1)]
    yield from pairwise(ends)


def _stored(table: pa.Table) -> pa.Table:
    """The same table, on disk and mapped into memory."""
    try:
        with tempfile.NamedTemporaryFile(prefix="s3import-") as file:
            with pyarrow.ipc.new_file(file.name, table.schema) as writer:
                writer.write_table(table, max_chunksize=64 * 1024)
            return pyarrow.ipc.open_file(pa.memory_map(file.name)).read_all()
    except OSError as error:
        raise MigrationFailed(
            f"cannot write {table.nbytes} bytes below {tempfile.gettempdir()} ({system_reason(error)}); "
            "free disk space there or set TMPDIR to another folder, then run the same command again",
            code="temporary_folder",
        ) from error
