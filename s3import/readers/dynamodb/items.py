"""What exports and tables have in common as sources of one account's items."""

from __future__ import annotations

import abc
import datetime as dt
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, BinaryIO

from s3import.core.errors import PartMissing
from s3import.core.records import EARLIEST, Batch, Pass, Plan, PlannedPart, Position, StoredObject, Window
from s3import.readers.dynamodb.mapping import ItemMapping
from s3import.readers.dynamodb.selection import Selection
from s3import.readers.sources.source import Source

if TYPE_CHECKING:
    from s3import.readers.dynamodb.passes import Parents


EVERYTHING = Window(Pass.DELTA, EARLIEST, EARLIEST)
"""A delta is not divided by time."""


class ItemSource(abc.ABC):
    """A `DumpSource` of an account's items: `recent_days` divide the account in passes; `companion` is what the mapping
    names `beside` the items."""

    def __init__(
        self, uri: str, mapping: ItemMapping, account_id: str, *, recent_days: float, companion: Source | None
    ) -> None:
        self.uri = uri
        self.companion = companion or _NoCompanion(uri)
        self._mapping = mapping
        self._selections = {one.entity: Selection.of(one, mapping, account_id) for one in mapping.entities}
        self._recent = dt.timedelta(days=recent_days)
        self._lock = threading.Lock()
        self._parents: dict[dt.datetime, Parents] = {}

    def plan(self, pass_: Pass, divided: Callable[[], Window | None] = lambda: None) -> Plan:
        """The parts of a pass; `divided` gives how the account was divided into passes before, if it was."""
        return self.plan_window(EVERYTHING if pass_ is Pass.DELTA else replace(divided() or self.window(), pass_=pass_))

    def window(self) -> Window:
        """How an account that is imported for the first time is divided into passes."""
        now = dt.datetime.now(dt.UTC)
        return Window(Pass.RECENT, now - self._recent, now)

    @abc.abstractmethod
    def plan_window(self, window: Window) -> Plan:
        """The parts of the window's pass. Raises: as `DumpSource.plan`."""

    @abc.abstractmethod
    def read_part(self, part: PlannedPart, start: Position, block_bytes: int) -> Iterator[Batch]:
        """The part's records from `start` on, in batches of about `block_bytes`; without a window of every pass."""


class _NoCompanion:
    """The `Source` of nothing, where a mapping names none."""

    rereads_cheaply = False

    def __init__(self, uri: str) -> None:
        self.uri = f"{uri} (the mapping names no source `beside` it)"

    def list(self, prefix: str) -> Iterator[StoredObject]:
        """Nothing."""
        return iter(())

    def folders(self, prefix: str) -> Iterator[str]:
        """None."""
        return iter(())

    def read(self, key: str) -> bytes | None:
        """None."""
        return None

    def find(self, key: str) -> StoredObject | None:
        """None."""
        return None

    def open(self, stored: StoredObject, offset: int = 0) -> BinaryIO:
        """Raises: PartMissing."""
        raise PartMissing(f"{stored.key} lies nowhere: the mapping does not say what is `beside` the items")

    def open_random(self, stored: StoredObject) -> BinaryIO:
        """Raises: PartMissing."""
        return self.open(stored)
