"""What items only refer to, fetched from other tables by key: many in one request, never one for each record."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import orjson

from s3import.readers.dynamodb.mapping import EntityMapping, Join, Path
from s3import.readers.dynamodb.selection import Selection
from s3import.readers.dynamodb.values import is_selected

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
        item = _parsed(line, selection.member)
        if item is not None and is_selected(item, selection):
            items[number] = item
    add_joined(items.values(), selection.mapping, fetch)
    for number, item in items.items():
        lines[number] = orjson.dumps({selection.member: item})
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
    return value if kind in ("S", "N") and isinstance(key, str) and 0 < len(key.encode()) <= MAX_KEY_BYTES else None


def _name(key: Item) -> bytes:
    return orjson.dumps(key)


def _parsed(line: bytes, member: str) -> Item | None:
    """The item on a line; None where the decoder has to say what is wrong with it."""
    try:
        item = orjson.loads(line)[member]
    except (orjson.JSONDecodeError, LookupError, TypeError):
        return None
    return item if isinstance(item, dict) else None
