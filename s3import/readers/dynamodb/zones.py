"""Where the sort key begins with the time of creation: the zones of a table's items, each read by a query of its own.

An item's sort key alone decides in which zone it lies, whatever that key holds: so each item is in exactly one, and the
two passes miss none, be its time unreadable or out of order.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Literal

from s3import.core.records import EARLIEST, Pass, Window
from s3import.readers.dynamodb.mapping import SortKey

DAY = dt.timedelta(days=1)
TICKS = {"seconds": dt.timedelta(seconds=1), "milliseconds": dt.timedelta(milliseconds=1)}
LAST_CHARACTER = 0x10FFFF
SURROGATES = range(0xD800, 0xE000)

Kind = Literal["S", "N"]


class Zone(StrEnum):
    """A range of the sort key: of the remaining pass, of either by the time of each item, of the recent pass."""

    OLD = "old"
    BORDER = "border"
    NEW = "new"

    @classmethod
    def of_pass(cls, pass_: Pass) -> tuple[Zone, ...]:
        """What a pass reads, in its order; the recent one of OLD only what recent records hang on."""
        return (cls.NEW, cls.BORDER, cls.OLD) if pass_ is Pass.RECENT else (cls.OLD, cls.BORDER)


@dataclass(frozen=True, slots=True)
class Zones:
    """The zones of a window: BORDER goes from `low` to `high`, values of a sort key of that kind."""

    sort: SortKey
    kind: Kind
    low: str
    high: str

    @classmethod
    def of(cls, sort: SortKey, kind: Kind, window: Window) -> Zones:
        """The border is as narrow as texts allow: an offset from UTC moves them by up to a day, to either side."""
        if sort.time == "text":
            low, high = (window.since + days * DAY for days in (-1, 2))
            return cls(sort, kind, f"{sort.prefix}{low.date()}", f"{sort.prefix}{high.date()}")
        number = (window.since - EARLIEST) // TICKS[sort.time or "seconds"]
        numbers = [str(number - 1), str(number + 1)]
        low_text, high_text = sorted(numbers) if kind == "S" else numbers
        return cls(sort, kind, f"{sort.prefix}{low_text}", f"{sort.prefix}{high_text}")

    def narrowed(self, query: Mapping[str, Any], zone: Zone) -> dict[str, Any]:
        """An account's query, of the items in a zone. The ends that BETWEEN includes belong to one zone only."""
        begins, ends = self._ends(zone)
        names = {**query["ExpressionAttributeNames"], "#sort": self.sort.attribute}
        values = {name: value for name, value in query["ExpressionAttributeValues"].items() if name == ":key"}
        if begins is not None:
            values[":begins"] = {self.kind: begins}
        if ends is not None:
            values[":ends"] = {self.kind: ends}
        how = "< :ends" if begins is None else "> :begins" if ends is None else "BETWEEN :begins AND :ends"
        condition = {"KeyConditionExpression": f"#key = :key AND #sort {how}"}
        return {**query, **condition, "ExpressionAttributeNames": names, "ExpressionAttributeValues": values}

    def _ends(self, zone: Zone) -> tuple[str | None, str | None]:
        prefix = self.sort.prefix
        if not prefix:
            return {Zone.OLD: (None, self.low), Zone.BORDER: (self.low, self.high), Zone.NEW: (self.high, None)}[zone]
        behind_low, behind_high, behind_all = f"{self.low}\0", f"{self.high}\0", _behind(prefix)
        new = (behind_high, behind_all) if behind_all else (self.high, None)
        return {Zone.OLD: (prefix, self.low), Zone.BORDER: (behind_low, self.high), Zone.NEW: new}[zone]


def _behind(prefix: str) -> str | None:
    """The first text behind all that begin so; None where there is none."""
    kept = prefix.rstrip(chr(LAST_CHARACTER))
    if not kept:
        return None
    following = ord(kept[-1]) + 1
    return kept[:-1] + chr(SURROGATES.stop if following in SURROGATES else following)


def place_in_zones(cursor: str | None, zones: tuple[Zone, ...]) -> tuple[Zone, str | None]:
    """The zone in which a checkpoint lies, and the cursor of its query; of one made without zones the very start."""
    zone, _, inner = (cursor or "").partition(" ")
    return (Zone(zone), inner or None) if zone in zones else (zones[0], None)


def zones_from(zone: Zone, zones: tuple[Zone, ...]) -> Iterator[tuple[Zone, Zone | None]]:
    """That zone and those behind it, each with the one that follows."""
    here = zones.index(zone)
    yield from zip(zones[here:], (*zones[here + 1 :], None), strict=True)
