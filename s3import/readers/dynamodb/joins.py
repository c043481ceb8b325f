"""What items only refer to, fetched from other tables by key: many in one request, never one for each record."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import orjson

from s3import.core.records import LONE_SURROGATE
from s3import.readers.dynamodb.mapping import EntityMapping, Join, Path
from s3import.readers.dynamodb.selection import Selection
from s3import.readers.dynamodb.values import NUMBER, is_selected, item_on, line_of

MAX_KEY_BYTES = 2048  # what a partition key may have: one request with another one fails as a whole

Item = dict[str, Any]
Fetch = Callable[[str, Sequence[Item]], Iterable[Item]]
"""Gives those items of a table that have one of the keys."""


def add_joined(items: Iterable[Item], mapping: EntityMapping, fetch: Fetch) -> None:
    """Put what an entity's items refer to into them, under the names by which the mapping finds it."""
    for join in mapping.joins:
        referring = [(item, key) for item in items if (key := _value(item, join.by)) is not None]
        found = _found(join, [key for _, key in referring], fetch) if referring else {}
        for item, key in referring:
            if (other := found.get(_name(key))) is not None:
                item[join.attribute_name] = {"M": other}


def joined_text(text: bytes, selection: Selection, fetch: Fetch) -> bytes:
    """The same lines, the selected items among them with what they refer to."""
    lines = text.removesuffix(b"\n").split(b"\n")
    items: dict[int, Item] = {}
    for number, line in enumerate(lines):
        item = item_on(line, selection.member)
        if item is not None and is_selected(item, selection):
            items[number] = item
    add_joined(items.values(), selection.mapping, fetch)
    names = [join.attribute_name for join in selection.mapping.joins]
    for number, item in items.items():
        if any(name in item for name in names):
            lines[number] = line_of(item, selection.member)
    return b"\n".join(lines) + b"\n" * text.endswith(b"\n")


def _found(join: Join, keys: Sequence[Item], fetch: Fetch) -> Mapping[bytes, Item]:
    unique = {_name(key): {join.attribute: key} for key in keys}
    others = fetch(join.table, list(unique.values()))
    return {_name(other[join.attribute]): other for other in others}


def _value(item: Item, path: Path) -> Item | None:
    """The text or number at a path, as DynamoDB writes it; None where there is none that can be a key."""
    value: Any = {"M": item}
    for name in path:
        members = value.get("M") if isinstance(value, dict) else None
        value = members.get(name) if isinstance(members, dict) else None
    if not isinstance(value, dict) or len(value) != 1:
        return None
    [(kind, key)] = value.items()
    return value if isinstance(key, str) and _can_be_key(kind, key) else None


def _can_be_key(kind: str, key: str) -> bool:
    if kind == "N":
        return NUMBER.fullmatch(key) is not None
    return kind == "S" and 0 < len(key.encode(errors="replace")) <= MAX_KEY_BYTES and not LONE_SURROGATE.search(key)


def _name(key: Item) -> bytes:
    return orjson.dumps(key)
