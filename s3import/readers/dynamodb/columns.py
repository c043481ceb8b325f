"""The fast path for items: whole columns of DynamoDB JSON become columns of records, without an object per attribute.

Where a value is not of a kind that its field takes, there is no answer: `values` then reads the lines one by one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from functools import lru_cache, reduce
from typing import Any

import orjson
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.json

from s3import.core.ids import ACCOUNT
from s3import.core.records import MAX_IGNORED_FIELDS, TEXT, TIMESTAMP, one_array
from s3import.readers.dynamodb.mapping import TICKS, TOO_LATE_TICKS, FieldMapping, Path
from s3import.readers.dynamodb.selection import ITEM, Selection
from s3import.readers.dynamodb.shapes import Shape, ignored_names, known_shape, shape_of, unknown_paths
from s3import.readers.formats.blocks import hold_an_object_each, split_lines
from s3import.readers.formats.lines import Rows

MAX_BRACES = 900  # in a line: with more of them it may be nested deeper than the line path can follow
UNKNOWN_COUNT = -(10**6)
MAX_DIGITS = 18  # of a number that any 64 bits hold
_WHOLE = r"\A-?[0-9]{1,18}\z"
_EPOCH = r"\A-?[0-9]{1,15}(\.[0-9]+)?\z"
_BEFORE_1970 = r"\A-[0.]*[1-9]"
_TOO_FINE = {"seconds": r"(\.[0-9]{6})[0-9]+", "milliseconds": r"(\.[0-9]{3})[0-9]+"}


class _Doubt(Exception):
    """A value that only the line path can decide."""


@lru_cache(64)
class ItemColumns:
    """Reads items as columns. What kinds of values are usual is remembered: to ask for others costs half the speed.
    Which unknown attributes there are is remembered too: a block without any other need not be searched for names."""

    def __init__(self, selection: Selection) -> None:
        self._selection = selection
        self._usual: pa.StructType | None = None
        self._ignored: frozenset[Path] = frozenset()

    def read(self, text: bytes, first_line: int) -> Rows | None:
        """Read whole lines at once, of which the first has number `first_line`; None where anything is in doubt."""
        lines = split_lines(text)
        if lines is None or not _shallow(lines):
            return None
        filled = pc.not_equal(lines, "")
        if not hold_an_object_each(lines, filled):
            return None
        numbers = pc.add(pc.indices_nonzero(filled).cast(pa.int64()), first_line)
        known = self._ignored  # other threads may find more meanwhile
        found = self._read_usual(text, numbers, known) or self._read_all(text, numbers, known)
        if found is None:
            return None
        items, mine, records = found
        try:
            ignored = self._ignored_fields(text, lines, filled, items, mine, known)
        except _Doubt:
            return None
        line_count = len(lines) - text.endswith(b"\n")
        return Rows(line_count, records, numbers.filter(mine), ignored_fields=ignored)

    def _read_usual(self, text: bytes, numbers: pa.Int64Array, known: frozenset[Path]) -> _Found | None:
        return self._read(text, self._usual, numbers, known)[1] if self._usual is not None else None

    def _read_all(self, text: bytes, numbers: pa.Int64Array, known: frozenset[Path]) -> _Found | None:
        items, found = self._read(text, _type(self._selection), numbers, known)
        if found is not None:
            kinds = _members_found(items)
            self._usual = _merged(self._usual, kinds) if self._usual else kinds
        return found

    def _read(
        self, text: bytes, type_: pa.StructType, numbers: pa.Int64Array, known: frozenset[Path]
    ) -> tuple[pa.StructArray, _Found | None]:
        """All items, with those unknown attributes that are `known`, and what was found in them; nothing where anything
        is in doubt."""
        type_ = _merged(type_, shape_of(known).members_type())
        items = _parse(text, type_, self._selection.member)
        # Objects cannot span these lines, so as many objects as lines means one on each.
        if items is None or len(items) != len(numbers) or items.null_count:
            return items, None
        try:
            mine = _are_selected(items, self._selection)
            return items, (items, mine, _records(_filtered(items, mine), self._selection))
        except _Doubt:
            return items, None

    def _ignored_fields(
        self,
        text: bytes,
        lines: pa.StringArray,
        filled: pa.BooleanArray,
        items: pa.StructArray,
        mine: pa.BooleanArray,
        known: frozenset[Path],
    ) -> frozenset[str]:
        """The names of attributes of the selected items, and of members of their maps, that the mapping does not know.

        Each value is an object of its own. So where a text has as many braces as known values, there are no others.
        """
        selected = _filtered(items, mine)
        paths = {path for path in known if _is_found(selected, path)}
        if text.count(b"{") != len(items) + _object_count(items):
            for line in _with_more_objects(lines.filter(filled).filter(mine), selected).to_pylist():
                paths.update(unknown_paths(_parsed(line, self._selection.member), known_shape(self._selection)))
            self._ignored = frozenset(sorted(self._ignored | paths)[:MAX_IGNORED_FIELDS])
        return ignored_names(self._selection, paths)


_Found = tuple[pa.StructArray, pa.BooleanArray, pa.Table]
"""All items of a text, which of them are selected, and the records that these make."""


def key_values_of(text: bytes, selection: Selection) -> pa.StringArray | None:
    """The value of the account's key in each of the items; None where Arrow refuses a line."""
    items = _parse(text, _telling_type(selection), ITEM)
    return None if items is None or items.null_count else _text(pc.struct_field(items, selection.key_path))


def _filtered(items: pa.StructArray, these: pa.BooleanArray) -> pa.StructArray:
    return items if these.true_count == len(items) else items.filter(these)


def _shallow(lines: pa.StringArray) -> bool:
    """Whether no line is nested too deep; only a line of so many bytes can be."""
    long = lines.filter(pc.greater(pc.binary_length(lines), MAX_BRACES)).to_pylist()
    return all(line.count("{") + line.count("[") <= MAX_BRACES for line in long)


def _parse(text: bytes, type_: pa.StructType, member: str) -> pa.StructArray | None:
    """The items, with what matters of them; None where Arrow refuses a line."""
    try:
        table = pyarrow.json.read_json(
            pa.BufferReader(text),
            read_options=pyarrow.json.ReadOptions(use_threads=False, block_size=len(text) + 1),
            parse_options=pyarrow.json.ParseOptions(
                explicit_schema=pa.schema([(member, type_)]), unexpected_field_behavior="ignore"
            ),
        )
    except pa.ArrowInvalid:
        return None
    return one_array(table[member])


# --- what is asked for of an item --------------------------------------------------------------------------------

SCALAR = pa.struct([("S", TEXT), ("N", TEXT), ("BOOL", pa.bool_()), ("NULL", pa.bool_())])
NAME_AND_VALUE = pa.struct([("M", pa.struct([("name", SCALAR), ("value", SCALAR)]))])


@lru_cache(64)
def _telling_type(selection: Selection) -> pa.StructType:
    """The Arrow type of what tells whose an item is."""
    return _telling_shape(selection).members_type()


def _telling_shape(selection: Selection) -> Shape:
    shape = Shape()
    shape.at(selection.key_path).kinds.update({"S": TEXT, "N": TEXT})
    if selection.prefix:
        shape.at(selection.sort_path).kinds.update({"S": TEXT, "N": TEXT})
    return shape


@lru_cache(64)
def _type(selection: Selection) -> pa.StructType:
    """The Arrow type of an item: of each value the kinds that its field can use."""
    shape = _telling_shape(selection)
    for mapped in selection.mapping.fields:
        for path in mapped.paths:
            shape.at(path).kinds.update(_kinds(mapped))
    return shape.members_type()


def _members_found(members: pa.StructArray) -> pa.StructType:
    """The type with all its members, and of each the kinds that were found."""
    return pa.struct([(name.name, _kinds_found(pc.struct_field(members, name.name))) for name in members.type])


def _kinds_found(value: pa.StructArray) -> pa.StructType:
    kinds = {kind.name: pc.struct_field(value, kind.name) for kind in value.type}
    found = {name: array for name, array in kinds.items() if array.null_count < len(array)}
    return pa.struct([(name, _members_found(a) if name == "M" else a.type) for name, a in found.items()])


def _merged(one: pa.StructType, other: pa.StructType) -> pa.StructType:
    """What either of two types has."""
    types = {child.name: child.type for child in one}
    for child in other:
        both = child.name in types and pa.types.is_struct(child.type)
        types[child.name] = _merged(types[child.name], child.type) if both else child.type
    return pa.struct(list(types.items()))


def _kinds(mapped: FieldMapping) -> dict[str, pa.DataType]:
    if pa.types.is_list(mapped.kind):
        if pa.types.is_struct(mapped.kind.value_type):
            return {"L": pa.list_(NAME_AND_VALUE)}
        return {"SS": pa.list_(TEXT), "NS": pa.list_(TEXT), "L": pa.list_(SCALAR)}
    if not pa.types.is_string(mapped.kind):
        return {"N": TEXT}
    return {"S": TEXT, "N": TEXT} if mapped.time != "text" else {"S": TEXT, "N": TEXT, "BOOL": pa.bool_()}


# --- names that the mapping does not know --------------------------------------------------------------------------


def _parsed(line: str, member: str) -> Mapping[str, Any]:
    """The item on a line that Arrow has read. Raises: _Doubt where it is not so clear."""
    try:
        item = orjson.loads(line)[member]
    except orjson.JSONDecodeError:
        raise _Doubt from None
    if not isinstance(item, dict):
        raise _Doubt
    return item


def _is_found(items: pa.StructArray, path: Path) -> bool:
    """Whether any item has a value there, of whatever kind."""
    value = pc.struct_field(items, path[0])
    for name in path[1:]:
        if value.type.get_field_index("M") < 0:
            return False
        value = pc.struct_field(value, ["M", name])
    return bool(value.null_count < len(value))


def _object_count(values: pa.Array) -> int:
    """How many objects of JSON made the values, their members and elements."""
    if pa.types.is_list(values.type):
        return _object_count(values.flatten())
    if not pa.types.is_struct(values.type):
        return 0
    inner = sum(_object_count(pc.struct_field(values, child.name)) for child in values.type)
    return int(len(values) - values.null_count + inner)


def _with_more_objects(lines: pa.StringArray, items: pa.StructArray) -> pa.StringArray:
    """Those lines that may have more objects than made the items on them, or elements of lists. Braces within texts do
    not count, unless one is the last character or a pair of them is empty."""
    if pc.any(pc.match_substring_regex(lines, r"\{[ \t\r]")).as_py():
        return lines
    objects = pc.add(pc.count_substring(lines, '{"'), pc.count_substring(lines, "{}"))
    return lines.filter(pc.not_equal(objects, pc.add(_objects_in_rows(items), 1)))


def _objects_in_rows(values: pa.StructArray) -> pa.Int32Array:
    """For each row of how many objects its value is made; -1 and less where that is not known."""
    count = values.is_valid().cast(pa.int32())
    for child in values.type:
        inner = pc.struct_field(values, child.name)
        if pa.types.is_struct(child.type):
            count = pc.add(count, _objects_in_rows(inner))
        elif pa.types.is_list(child.type) and pa.types.is_struct(child.type.value_type):
            count = pc.if_else(inner.is_valid(), UNKNOWN_COUNT, count)
    return count


# --- from items to records -----------------------------------------------------------------------------------------


def _are_selected(items: pa.StructArray, selection: Selection) -> pa.BooleanArray:
    key = _text(_at(items, selection.key_path))  # of every item: what the first ones had says nothing of the others
    mine = pc.is_in(key, pa.array(sorted(selection.key_values), TEXT))
    if not selection.prefix:
        return mine
    sort = _kind(_at(items, selection.sort_path), "S", TEXT)
    return pc.and_(mine, pc.starts_with(sort, selection.prefix).fill_null(False))


def _records(items: pa.StructArray, selection: Selection) -> pa.Table:
    columns = [_column(items, selection, member.name, member.type) for member in selection.schema]
    return pa.table(columns, schema=selection.schema)


def _column(items: pa.StructArray, selection: Selection, name: str, kind: pa.DataType) -> pa.Array:
    if pa.types.is_struct(kind):
        members = [_column(items, selection, f"{name}.{member.name}", member.type) for member in kind]
        return pa.StructArray.from_arrays(members, fields=list(kind), mask=pc.invert(_any_valid(members)))
    mapped = selection.fields.get(name)
    if mapped is None:
        return pa.nulls(len(items), kind)
    if pa.types.is_list(kind):
        value = _at(items, mapped.paths[0])
        return _pairs(value, kind) if pa.types.is_struct(kind.value_type) else _texts(value)
    if pa.types.is_int64(kind):
        return _whole(_kind(_at(items, mapped.paths[0]), "N", TEXT))
    text = _worded(_shortened(_filled(items, mapped, selection.account_id), mapped), mapped)
    return _instants(text, mapped.time) if mapped.time != "text" else text


def _any_valid(members: Sequence[pa.Array]) -> pa.BooleanArray:
    return reduce(pc.or_, (member.is_valid() for member in members))


def _at(items: pa.StructArray, path: Path) -> pa.StructArray:
    """The value at a path, as a struct of kinds. Raises: _Doubt where it is of none that was asked for."""
    value = pc.struct_field(items, path[0])
    _require_known(value)
    for name in path[1:]:
        members = _kind(value, "M", pa.struct([(name, pa.struct([]))]))
        value = pc.struct_field(members, name)
        _require_known(value)
    return value


def _kind(value: pa.StructArray, name: str, type_: pa.DataType) -> pa.Array:
    """The values of one kind: null where a value is of another; `type_`: of what none was asked for."""
    return pc.struct_field(value, name) if value.type.get_field_index(name) >= 0 else pa.nulls(len(value), type_)


def _require_known(value: pa.StructArray) -> None:
    kinds = [pc.struct_field(value, kind.name) for kind in value.type]
    known = _any_valid(kinds).true_count if kinds else 0
    if known != len(value) - value.null_count:
        raise _Doubt


def _text(value: pa.StructArray) -> pa.StringArray:
    """A scalar as text, numbers as they are written. Raises: _Doubt, where a value is a list, a set or a map."""
    kinds = {kind.name: pc.struct_field(value, kind.name) for kind in value.type if kind.name != "NULL"}
    found = {name: array for name, array in kinds.items() if array.null_count < len(array)}
    if not found.keys() <= {"S", "N", "BOOL"}:
        raise _Doubt
    texts = [found[name].cast(TEXT) for name in ("S", "N", "BOOL") if name in found]
    if not texts:
        return pa.nulls(len(value), TEXT)
    return pc.coalesce(*texts) if len(texts) > 1 else texts[0]


def _filled(items: pa.StructArray, mapped: FieldMapping, account_id: str) -> pa.StringArray:
    """The text that a field's pieces make; null where one of them is not there."""
    pieces = [
        pa.scalar(piece.replace(ACCOUNT, account_id)) if isinstance(piece, str) else _text(_at(items, piece))
        for piece in mapped.pieces
    ]
    if not mapped.paths:
        return pa.repeat(pieces[0], len(items))
    return pieces[0] if len(pieces) == 1 else pc.binary_join_element_wise(*pieces, "")


def _shortened(text: pa.StringArray, mapped: FieldMapping) -> pa.StringArray:
    if not mapped.after:
        return text
    if not _all(pc.starts_with(text, mapped.after)):
        raise _Doubt
    return pc.utf8_slice_codeunits(text, len(mapped.after))


def _worded(text: pa.StringArray, mapped: FieldMapping) -> pa.StringArray:
    if not mapped.words:
        return text
    words, becomes = zip(*mapped.words, strict=True)
    found = pc.index_in(text, pa.array(words))
    worded = pc.take(pa.array(becomes), found)
    return worded if worded.null_count == text.null_count else pc.coalesce(worded, text)


def _all(right: pa.BooleanArray) -> bool:
    """Whether none is false; null counts as right."""
    return bool(pc.all(right, min_count=0).as_py())


def _whole(text: pa.StringArray) -> pa.Int64Array:
    if not (_are_digits(text) or _all(pc.match_substring_regex(text, _WHOLE))):
        raise _Doubt
    return text.cast(pa.int64())


def _are_digits(text: pa.StringArray) -> bool:
    """Whether all are whole numbers without a sign that 64 bits hold: a fifth of what a pattern costs."""
    short = pc.less_equal(pc.binary_length(text), MAX_DIGITS)
    return _all(pc.and_(pc.ascii_is_decimal(text), short))


def _instants(text: pa.StringArray, time: str) -> pa.TimestampArray:
    """Instants in microseconds, finer digits cut; what lies outside of the years that are right stays outside."""
    per_unit = TICKS[time]
    if _are_digits(text):
        units = pc.min_element_wise(text.cast(pa.int64()), TOO_LATE_TICKS // per_unit, skip_nulls=False)
        return pc.multiply(units, per_unit).cast(TIMESTAMP)
    if not _all(pc.match_substring_regex(text, _EPOCH)):
        raise _Doubt
    # Exact: neither a double nor the cast of too many digits would be.
    exact = pc.replace_substring_regex(text, _TOO_FINE[time], r"\1").cast(pa.decimal128(24, 6))
    ticks = pc.multiply(exact, pa.scalar(Decimal(per_unit), pa.decimal128(7, 0))).cast(pa.decimal128(38, 6))
    ticks = pc.min_element_wise(ticks, pa.scalar(Decimal(TOO_LATE_TICKS), pa.decimal128(38, 6)), skip_nulls=False)
    ticks = pc.max_element_wise(ticks, pa.scalar(Decimal(0), pa.decimal128(38, 6)), skip_nulls=False)
    early = pc.match_substring_regex(text, _BEFORE_1970)  # -0 is none
    return pc.if_else(early, -1, ticks.cast(pa.int64())).cast(TIMESTAMP)


def _texts(value: pa.StructArray) -> pa.ListArray:
    """A set of texts or numbers, or a list of scalars, as a list of texts."""
    found = [kind.name for kind in value.type if pc.struct_field(value, kind.name).null_count < len(value)]
    given = [name for name in found if name != "NULL"]
    if len(given) > 1 or not {*given} <= {"SS", "NS", "L"}:
        raise _Doubt
    if not given:
        return pa.nulls(len(value), pa.list_(TEXT))
    lists = pc.struct_field(value, given[0])
    if given[0] != "L":
        return _in_order(lists)
    elements = lists.flatten()
    _require_known(elements)
    return _relisted(lists, _text(elements))


def _in_order(sets: pa.ListArray) -> pa.ListArray:
    """The same sets, each by its texts: it may come in any order, and must be stored in one."""
    members = pa.table({"set": pc.list_parent_indices(sets), "text": sets.flatten()})
    in_order = members.sort_by([("set", "ascending"), ("text", "ascending")])
    return _relisted(sets, one_array(in_order["text"]))


def _pairs(value: pa.StructArray, kind: pa.ListType) -> pa.ListArray:
    """A list of maps with a name and a value each."""
    lists = _kind(value, "L", pa.list_(NAME_AND_VALUE))
    maps = lists.flatten()
    _require_known(maps)
    members = [pc.struct_field(maps, ["M", name]) for name in ("name", "value")]
    for member in members:
        _require_known(member)
    pairs = pa.StructArray.from_arrays([_text(member) for member in members], fields=list(kind.value_type))
    return _relisted(lists, pairs)


def _relisted(lists: pa.ListArray, elements: pa.Array) -> pa.ListArray:
    """The same lists, of other elements."""
    lengths = pc.list_value_length(lists).fill_null(0)
    offsets = pa.concat_arrays([pa.array([0], pa.int32()), pc.cumulative_sum(lengths)])
    return pa.ListArray.from_arrays(offsets, elements, mask=lists.is_null())
