"""The careful path: reads a few lines one by one and says of each what is wrong with it.

Where the column path has any doubt, this one decides. Both give the same rows for the same text.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from decimal import Decimal, InvalidOperation
from typing import Any

import pyarrow as pa

from s3import.core.errors import RejectCode
from s3import.core.records import (
    ID_FIELDS,
    LONE_SURROGATE,
    MAX_IGNORED_FIELDS,
    MAX_LINE_BYTES,
    REPLACEMENT,
    SCHEMAS,
    TIMESTAMP_FIELDS,
    VOCABULARY,
    Entity,
    Fault,
    Reason,
)

MAX_NAME_LENGTH = 255  # code points kept of an unknown field's dotted name

UNSTORABLE = re.compile("[\0\ud800-\udfff]")
INT64_MIN, INT64_MAX = -(2**63), 2**63 - 1

SURROGATE_CODES: dict[str, str] = {
    **dict.fromkeys(ID_FIELDS, RejectCode.INVALID_ID),
    **dict.fromkeys(TIMESTAMP_FIELDS, RejectCode.INVALID_TIMESTAMP),
    **dict.fromkeys(VOCABULARY, RejectCode.INVALID_VALUE),
}
"""What a lone surrogate means in the fields where it cannot be replaced."""


@dataclass(frozen=True, slots=True)
class Rows:
    """The records of `line_count` consecutive lines, blank ones included; the rest as in `Batch`."""

    line_count: int
    records: pa.Table
    lines: pa.Int64Array
    faults: tuple[Fault, ...] = ()
    sanitised: frozenset[int] = frozenset()
    ignored_fields: frozenset[str] = frozenset()


def read_lines(text: bytes, entity: Entity, first_line: int, first_row: int = 0) -> Rows:
    """Read whole lines, of which the first has number `first_line` and its record row `first_row` of the batch."""
    cells, ignored = RECORD_CELLS[entity], IgnoredFields(entity)

    def record(line: bytes, found: RecordFindings) -> dict[str, Any]:
        members = parse_line(line)
        ignored.look_at(members)
        made: dict[str, Any] = cells(members, found)
        return made

    rows = LineReader(SCHEMAS[entity], first_row, record).read(text, first_line)
    return replace(rows, ignored_fields=ignored.names())


def too_long(schema: pa.Schema, line: int, *, takes_unreadable: bool = True) -> Rows:
    """The row of one line that is longer than a line may be, with the columns of `schema`."""
    message = f"the line is longer than {MAX_LINE_BYTES} bytes; write such content in smaller records"
    reader = LineReader(schema, 0, lambda *_: None, takes_unreadable=takes_unreadable)
    return reader.set_aside(line, Reason(RejectCode.TOO_LONG, None, message))


# --- names that the contract does not know -----------------------------------------------------------------------


class IgnoredFields:
    """Collects the names of unknown fields; where there are too many, the same ones in whatever order they come."""

    def __init__(self, entity: Entity) -> None:
        self._path = entity.value
        self._known = _known(pa.struct(list(SCHEMAS[entity])))
        self._names: set[str] = set()

    def look_at(self, record: Mapping[str, Any]) -> None:
        """Collect from one parsed record."""
        self._names.update(_unknown_names(record, self._known, self._path))
        if len(self._names) > 2 * MAX_IGNORED_FIELDS:
            self._names = set(self.names())

    def names(self) -> frozenset[str]:
        """The names as they can be stored and shown: no NUL, no lone surrogate, at most `MAX_NAME_LENGTH`."""
        return storable_names(self._names)


def storable_names(names: Iterable[str]) -> frozenset[str]:
    """Names of unknown fields as they can be stored and shown, not too many."""
    return limit_names({UNSTORABLE.sub(REPLACEMENT, name[:MAX_NAME_LENGTH]) for name in names})


def limit_names(names: Collection[str]) -> frozenset[str]:
    """The first `MAX_IGNORED_FIELDS` of the names in the order of their code points."""
    return frozenset(names if len(names) <= MAX_IGNORED_FIELDS else sorted(names)[:MAX_IGNORED_FIELDS])


@dataclass(frozen=True, slots=True)
class _Known:
    """The names that an object may hold, and those among them whose values are objects, or lists of objects, again."""

    names: frozenset[str]
    objects: dict[str, _Known]


def _known(kind: pa.DataType) -> _Known:
    inner = {member.name: _item_type(member.type) for member in kind}
    objects = {name: _known(item) for name, item in inner.items() if pa.types.is_struct(item)}
    return _Known(frozenset(inner), objects)


def _item_type(kind: pa.DataType) -> pa.DataType:
    return kind.value_type if pa.types.is_list(kind) else kind


def _unknown_names(members: Mapping[str, Any], known: _Known, path: str) -> Iterator[str]:
    for name in members.keys() - known.names:
        yield f"{path}.{name}"
    for name, inner in known.objects.items():
        value = members.get(name)
        for item in value if isinstance(value, list) else (value,):
            if isinstance(item, dict):
                yield from _unknown_names(item, inner, f"{path}.{name}")


# --- one line to one value ---------------------------------------------------------------------------------------


class Unreadable(Exception):
    """Nothing of the line can be used."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.reason = Reason(code, None, message)


class WrittenNumber(str):
    """A number as it is written: it becomes a value only where a field wants one, and then exactly."""

    __slots__ = ()


class _Repeating(dict[str, Any]):
    """An object in which some names occur more than once."""

    repeated: frozenset[str] = frozenset()


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) == len(pairs):
        return members
    repeating, times = _Repeating(members), Counter(name for name, _ in pairs)
    repeating.repeated = frozenset(name for name in times if times[name] > 1)
    return repeating


def _refuse_constant(name: str) -> None:
    raise Unreadable(RejectCode.INVALID_JSON, f"{name} is no JSON value")


_DECODER = json.JSONDecoder(
    object_pairs_hook=_object, parse_int=WrittenNumber, parse_float=WrittenNumber, parse_constant=_refuse_constant
)


def parse_line(line: bytes) -> dict[str, Any]:
    """The object on a line, numbers as `WrittenNumber`. Raises: Unreadable."""
    try:
        value = _DECODER.decode(line.decode())
    except UnicodeDecodeError as error:
        raise Unreadable(RejectCode.INVALID_UTF8, f"no valid UTF-8 at byte {error.start + 1} of the line") from None
    except json.JSONDecodeError as error:
        raise Unreadable(
            RejectCode.INVALID_JSON,
            f"{error.msg.removesuffix(' starting at').rstrip(': ')} at character {error.pos + 1}",
        ) from None
    except RecursionError:
        raise Unreadable(RejectCode.INVALID_JSON, "nested too deeply to be read") from None
    if not isinstance(value, dict):
        raise Unreadable(RejectCode.NOT_AN_OBJECT, "the line is JSON, but no object")
    return value


# --- one value to the cells of a row -----------------------------------------------------------------------------


@dataclass(slots=True)
class RecordFindings:
    """What was found in one record: reasons by field, and whether free text was repaired."""

    reasons: dict[str, Reason] = field(default_factory=dict)
    repaired: bool = False

    def add(self, code: str, path: str, message: str) -> None:
        """Note the first reason of a field: its value is null from then on."""
        self.reasons.setdefault(path, Reason(code, path, message))

    def wrong_type(self, path: str, type_name: str) -> None:
        self.add(RejectCode.WRONG_TYPE, path, f"must be {type_name}")


Cell = Callable[[Any, RecordFindings], Any]  # takes a value that is not null


def text_cell(path: str) -> Cell:
    """What takes a text field's value: a string without a lone surrogate, or with it replaced where that may be."""
    surrogate_code = SURROGATE_CODES.get(path)

    def cell(value: Any, found: RecordFindings) -> str | None:
        if type(value) is not str:
            found.wrong_type(path, "a string")
            return None
        if value.isascii() or not LONE_SURROGATE.search(value):
            return value
        if surrogate_code is not None:
            found.add(surrogate_code, path, "holds a lone surrogate, which is no character")
            return None
        found.repaired = True
        return LONE_SURROGATE.sub(REPLACEMENT, value)

    return cell


def whole_cell(path: str) -> Cell:
    """What takes a whole number of at most 64 bits, given as `WrittenNumber`."""

    def cell(value: Any, found: RecordFindings) -> int | None:
        number = exactly(value) if type(value) is WrittenNumber else None
        if number is None or number != number.to_integral_value():
            found.wrong_type(path, "a whole number")
            return None
        if not INT64_MIN <= number <= INT64_MAX:
            found.add(RejectCode.INVALID_VALUE, path, "must be a whole number of at most 64 bits")
            return None
        return int(number)

    return cell


def exactly(number: str) -> Decimal:
    """A written number as it is; one that is too large, or too small, for any arithmetic as infinite."""
    try:
        return Decimal(number)
    except InvalidOperation:  # an exponent beyond all bounds
        return Decimal("Infinity")


def _list_cell(path: str, item_cell: Cell) -> Cell:
    def cell(value: Any, found: RecordFindings) -> list[Any] | None:
        if not isinstance(value, list):
            found.wrong_type(path, "a list")
            return None
        items = [None if item is None else item_cell(item, found) for item in value]
        return None if path in found.reasons else items

    return cell


def _object_cell(path: str, members: Mapping[str, Cell]) -> Cell:
    prefix = f"{path}." if path else ""

    def cell(value: Any, found: RecordFindings) -> dict[str, Any] | None:
        if not isinstance(value, dict):
            found.wrong_type(path, "an object")
            return None
        if isinstance(value, _Repeating):
            for name in sorted(value.repeated & members.keys()):
                found.add(RejectCode.DUPLICATE_KEY, prefix + name, "occurs more than once in its object")
                value[name] = None
        return {name: read(given, found) for name, read in members.items() if (given := value.get(name)) is not None}

    return cell


def _cell(kind: pa.DataType, path: str) -> Cell:
    if pa.types.is_list(kind):
        return _list_cell(path, _cell(kind.value_type, path))
    if pa.types.is_struct(kind):
        prefix = f"{path}." if path else ""
        return _object_cell(path, {member.name: _cell(member.type, prefix + member.name) for member in kind})
    return whole_cell(path) if pa.types.is_int64(kind) else text_cell(path)


RECORD_CELLS: dict[Entity, Cell] = {entity: _cell(pa.struct(list(schema)), "") for entity, schema in SCHEMAS.items()}


class LineReader:
    """Reads lines one by one into rows with the columns of `schema`, the first of them row `first_row` of the batch.

    `record` makes the cells of a line, and notes what is wrong with them: None for one that is no row here. It raises
    Unreadable for a line of which nothing can be used; with `takes_unreadable` that is a row without cells.
    """

    def __init__(
        self,
        schema: pa.Schema,
        first_row: int,
        record: Callable[[bytes, RecordFindings], dict[str, Any] | None],
        *,
        takes_unreadable: bool = True,
    ) -> None:
        self._schema = schema
        self._first_row = first_row
        self._record = record
        self._takes_unreadable = takes_unreadable
        self._cells: list[dict[str, Any]] = []
        self._lines: list[int] = []
        self._faults: list[Fault] = []
        self._sanitised: set[int] = set()

    def read(self, text: bytes, first_line: int) -> Rows:
        """The rows of whole lines, of which the first has number `first_line`."""
        lines = text.removesuffix(b"\n").split(b"\n")
        for number, line in enumerate(lines, first_line):
            if line and not line.isspace():
                self._take(number, line)
        return self._rows(len(lines))

    def set_aside(self, line: int, reason: Reason) -> Rows:
        """The row of one line of which nothing can be used."""
        self._set_aside(line, reason)
        return self._rows(1)

    def _take(self, number: int, line: bytes) -> None:
        found = RecordFindings()
        try:
            cells = self._record(line, found)
        except Unreadable as error:
            self._set_aside(number, error.reason)
            return
        if cells is not None:
            self._append(number, cells, found)

    def _set_aside(self, number: int, reason: Reason) -> None:
        if self._takes_unreadable:
            self._faults.append(Fault(self._next_row, reason))
            self._append(number, {}, RecordFindings())

    @property
    def _next_row(self) -> int:
        return self._first_row + len(self._lines)

    def _append(self, number: int, cells: dict[str, Any], found: RecordFindings) -> None:
        self._faults += [Fault(self._next_row, reason) for reason in found.reasons.values()]
        if found.repaired:
            self._sanitised.add(self._next_row)
        self._cells.append(cells)
        self._lines.append(number)

    def _rows(self, line_count: int) -> Rows:
        return Rows(
            line_count=line_count,
            records=pa.Table.from_pylist(self._cells, schema=self._schema),
            lines=pa.array(self._lines, pa.int64()),
            faults=tuple(self._faults),
            sanitised=frozenset(self._sanitised),
        )
