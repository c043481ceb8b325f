"""The careful path for items: reads a few lines one by one and says of each what is wrong with it.

Where `columns` has any doubt, this decides. Both give the same rows for the same text.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Mapping
from dataclasses import replace
from decimal import ROUND_DOWN, Context, Decimal
from functools import lru_cache
from typing import Any

import orjson
import pyarrow as pa

from s3import.core.errors import RejectCode
from s3import.core.ids import ACCOUNT
from s3import.readers.dynamodb.mapping import TICKS, TOO_LATE_TICKS, FieldMapping, Path
from s3import.readers.dynamodb.selection import ITEM, Selection
from s3import.readers.dynamodb.shapes import ignored_names, known_shape, unknown_paths
from s3import.readers.formats.lines import (
    Cell,
    LineReader,
    RecordFindings,
    Rows,
    Unreadable,
    WrittenNumber,
    exactly,
    parse_line,
    text_cell,
    whole_cell,
)

NUMBER = re.compile(r"-?[0-9]+(\.[0-9]+)?([eE][+-]?[0-9]+)?")
_EXACT = Context(
    prec=80, rounding=ROUND_DOWN, traps=[]
)  # 38 digits and what a factor adds; what is too large is infinite
_NAMES = {
    "B": "binary",
    "BS": "a set of binaries",
    "NS": "a set of numbers",
    "SS": "a set of texts",
    "L": "a list",
    "M": "a map",
    "S": "a text",
    "N": "a number",
    "BOOL": "a boolean",
}


def read_item_lines(text: bytes, selection: Selection, first_line: int, first_row: int = 0) -> Rows:
    """Read whole lines, of which the first has number `first_line` and its record row `first_row` of the batch."""

    ignored: set[Path] = set()

    def record(line: bytes, found: RecordFindings) -> dict[str, Any] | None:
        item = _item(parse_line(line), selection.member)
        if not is_selected(item, selection):
            return None
        ignored.update(unknown_paths(item, known_shape(selection)))
        return _record(item, selection, found)

    reader = LineReader(selection.schema, first_row, record, takes_unreadable=selection.takes_unreadable)
    return replace(reader.read(text, first_line), ignored_fields=ignored_names(selection, ignored))


def members_on(line: bytes) -> Any:
    """What a line of JSON holds, also one with half a character in it. Raises: ValueError, RecursionError."""
    try:
        return orjson.loads(line)
    except orjson.JSONDecodeError:
        return json.loads(line)


def item_on(line: bytes, member: str = ITEM) -> dict[str, Any] | None:
    """The item on a line; None where there is none to be seen: what is wrong `read_item_lines` has to say."""
    try:
        item = members_on(line)[member]
    except (LookupError, TypeError, ValueError, RecursionError):
        return None
    return item if isinstance(item, dict) else None


def line_of(item: Mapping[str, Any], member: str = ITEM) -> bytes:
    """An item as a line of an export has it, without its end; bytes in it become base64."""
    try:
        return orjson.dumps({member: item}, default=as_base64)
    except TypeError:  # half a character, which orjson does not write
        return json.dumps({member: item}, default=as_base64).encode()


def as_base64(binary: bytes) -> str:
    """A binary as lines and checkpoints have it."""
    return base64.b64encode(binary).decode()


# --- one item to the cells of a row -----------------------------------------------------------------------------------


def _item(members: Mapping[str, Any], name: str) -> dict[str, Any]:
    item = members.get(name)
    if not isinstance(item, dict):
        raise Unreadable(RejectCode.NOT_AN_OBJECT, f"the line has no {name} that is an object")
    return item


def is_selected(item: Mapping[str, Any], selection: Selection) -> bool:
    """Whether an item is of the account and entity, by its key and sort key."""
    return has_key(item, selection) and has_prefix(item, selection)


def has_key(item: Mapping[str, Any], selection: Selection) -> bool:
    """Whether an item is of the account."""
    return key_value_of(item, selection) in selection.key_values


def key_value_of(item: Mapping[str, Any], selection: Selection) -> str | None:
    """The value of the account's key in an item; None where it has none."""
    key = item.get(selection.key_path[0])
    value = key.get("S", key.get("N")) if isinstance(key, dict) else None
    return value if isinstance(value, str) else None


def has_prefix(item: Mapping[str, Any], selection: Selection) -> bool:
    """Whether an item's sort key begins as the entity's do."""
    if not selection.prefix:
        return True
    sort = item.get(selection.sort_path[0])
    begins = sort.get("S") if isinstance(sort, dict) else None
    return isinstance(begins, str) and begins.startswith(selection.prefix)


def text_of_field(item: Mapping[str, Any], selection: Selection, field: str) -> str | None:
    """What a text field of an item is; None where it has none that is right."""
    found = RecordFindings()
    text: str | None = _cell(selection.fields[field], selection.account_id)(item, found)
    return None if found.reasons else text


def _record(item: dict[str, Any], selection: Selection, found: RecordFindings) -> dict[str, Any]:
    record: dict[str, Any] = {}
    for mapped in selection.mapping.fields:
        cell = _cell(mapped, selection.account_id)(item, found)
        if cell is not None:
            outer, _, inner = mapped.field.partition(".")
            if inner:
                record.setdefault(outer, {})[inner] = cell
            else:
                record[outer] = cell
    return record


@lru_cache(256)
def _cell(mapped: FieldMapping, account_id: str) -> Cell:
    """What makes a field's cell of an item."""
    if pa.types.is_list(mapped.kind):
        return _list_cell(mapped)
    if not pa.types.is_string(mapped.kind):
        return _whole_cell(mapped)
    as_text = _text_cell(mapped, account_id)
    return _time_cell(mapped, as_text) if mapped.time != "text" else as_text


def _value(item: Any, path: Path, field: str, found: RecordFindings) -> dict[str, Any] | None:
    """The value at a path, as ``{"S": …}``; None where it is not there or null, and where something else is in its
    place."""
    members = item
    for depth, name in enumerate(path):
        value = members.get(name)
        if value is None:
            return None
        if getattr(members, "repeated", None) and name in members.repeated:
            found.add(RejectCode.DUPLICATE_KEY, field, f"{'.'.join(path[: depth + 1])} occurs more than once")
            return None
        if not isinstance(value, dict) or not value:
            found.wrong_type(field, "a value of DynamoDB")
            return None
        if depth + 1 == len(path):
            return None if set(value) == {"NULL"} else value
        members = value.get("M")
        if not isinstance(members, dict):
            if "NULL" not in value:
                _refuse(value, field, "a map", found)
            return None
    return None


def _refuse(value: Mapping[str, Any], field: str, expected: str, found: RecordFindings) -> None:
    is_ = next((_NAMES[kind] for kind in value if kind in _NAMES), "something else")
    found.wrong_type(field, f"{expected}, and is {is_}")


def _scalar(value: Mapping[str, Any]) -> Any:
    """A text, a number as it is written, or a boolean as a word; None where it is nothing of these."""
    given = value.get("S", value.get("N"))
    if given is None and isinstance(value.get("BOOL"), bool):
        return "true" if value["BOOL"] else "false"
    return given if type(given) is str else None


def _text_of(value: Mapping[str, Any], field: str, found: RecordFindings) -> str | None:
    text = _scalar(value)
    if text is None:
        _refuse(value, field, "a text, a number or a boolean", found)
        return None
    taken: str | None = text_cell(field)(text, found)
    return taken


def _text_cell(mapped: FieldMapping, account_id: str) -> Cell:
    words = dict(mapped.words)

    def cell(item: Any, found: RecordFindings) -> str | None:
        text = ""
        for piece in mapped.pieces:
            if isinstance(piece, str):
                text += piece.replace(ACCOUNT, account_id)
                continue
            value = _value(item, piece, mapped.field, found)
            part = None if value is None else _text_of(value, mapped.field, found)
            if part is None:
                return None
            text += part
        if not text.startswith(mapped.after):
            found.add(RejectCode.INVALID_VALUE, mapped.field, f"does not start with {mapped.after!r}")
            return None
        text = text[len(mapped.after) :]
        return words.get(text, text)

    return cell


def _whole_cell(mapped: FieldMapping) -> Cell:
    take = whole_cell(mapped.field)

    def cell(item: Any, found: RecordFindings) -> int | None:
        value = _value(item, mapped.paths[0], mapped.field, found)
        if value is None:
            return None
        number = value.get("N")
        if not isinstance(number, str) or not NUMBER.fullmatch(number):
            _refuse(value, mapped.field, "a whole number", found)
            return None
        taken: int | None = take(WrittenNumber(number), found)
        return taken

    return cell


def _time_cell(mapped: FieldMapping, as_text: Cell) -> Cell:
    def cell(item: Any, found: RecordFindings) -> int | None:
        number = as_text(item, found)
        if number is None:
            return None
        if not NUMBER.fullmatch(number):
            message = f"must be a number of {mapped.time} since 1970"
            found.add(RejectCode.INVALID_TIMESTAMP, mapped.field, message)
            return None
        instant = exactly(number)
        ticks = _EXACT.multiply(instant, TICKS[mapped.time])
        return -1 if instant < 0 else int(min(ticks, Decimal(TOO_LATE_TICKS)))

    return cell


def _list_cell(mapped: FieldMapping) -> Cell:
    take = _pair if pa.types.is_struct(mapped.kind.value_type) else _element

    def cell(item: Any, found: RecordFindings) -> list[Any] | None:
        value = _value(item, mapped.paths[0], mapped.field, found)
        if value is None:
            return None
        elements = _elements(value, pairs=take is _pair)
        if elements is None:
            _refuse(value, mapped.field, "a list", found)
            return None
        cells = [take(element, mapped.field, found) for element in elements]
        return None if mapped.field in found.reasons else cells

    return cell


def _elements(value: Mapping[str, Any], *, pairs: bool) -> list[Any] | None:
    """The values in a list, or of a set, which has no order of its own, by their text; of a map (`pairs`) its members,
    which have none either, by name as maps of a name and a value."""
    if pairs and isinstance(value.get("M"), dict):
        return [{"M": {"name": {"S": name}, "value": value["M"][name]}} for name in sorted(value["M"])]
    if isinstance(value.get("L"), list):
        return list(value["L"])
    members = None if pairs else value.get("SS", value.get("NS"))
    return [{"S": member} for member in sorted(members, key=str)] if isinstance(members, list) else None


def _element(value: Any, field: str, found: RecordFindings) -> str | None:
    if not isinstance(value, dict):
        found.wrong_type(field, "a list of values of DynamoDB")
        return None
    return None if "NULL" in value else _text_of(value, field, found)


def _pair(value: Any, field: str, found: RecordFindings) -> dict[str, str | None]:
    members = value.get("M") if isinstance(value, dict) else None
    if not isinstance(members, dict):
        found.wrong_type(field, "a list of maps with a name and a value")
        return {}
    return {name: _element(members[name], field, found) for name in ("name", "value") if members.get(name) is not None}
