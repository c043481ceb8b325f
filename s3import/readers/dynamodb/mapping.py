"""The mapping: how the items of DynamoDB tables become the contract's records. Read from TOML, checked before use."""

from __future__ import annotations

import pathlib
import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal, NoReturn

import pyarrow as pa

from s3import.core.errors import ConfigurationError, system_reason
from s3import.core.ids import ACCOUNT
from s3import.core.records import REQUIRED, ROW_ENTITIES, SCHEMAS, TIMESTAMP_FIELDS, TOO_LATE, Entity

SHARD = "{shard}"
MAX_SHARDS = 1000
MAX_DIGITS = 38
_NUMBER = r"0|-?(?:[1-9][0-9]{0,125}(?:\.[0-9]{0,130}[1-9])?|0\.[0-9]{0,130}[1-9])"
TIMES = ("text", "seconds", "milliseconds")
TICKS = {"seconds": 10**6, "milliseconds": 10**3}  # microseconds in each
TOO_LATE_TICKS = int(TOO_LATE.timestamp()) * 10**6

Path = tuple[str, ...]
"""Where a value lies in an item: the names of an attribute and of members of maps below it."""
Time = Literal["text", "seconds", "milliseconds"]


@dataclass(frozen=True, slots=True)
class AccountKey:
    """The attribute by which an account's items are found, and its value with ``{account}`` and ``{shard}`` in it."""

    attribute: str
    value: str
    shards: int = 1
    is_number: bool = False

    def values(self, account_id: str) -> tuple[str, ...]:
        """The values of the account's items: one for each shard. No key of numbers has a value that is not one, or that
        DynamoDB writes otherwise: 04711 must not find the items of 4711."""
        value = self.value.replace(ACCOUNT, account_id)
        values = (value.replace(SHARD, str(shard)) for shard in range(self.shards))
        return tuple(value for value in values if not self.is_number or _is_number(value))

    def account_of(self, value: str | None) -> str | None:
        """The id of the account whose items have this value; None where it is no account's."""
        found = self._pattern.fullmatch(value) if value else None
        if found is None or int(found.groupdict().get("shard") or 0) >= self.shards:
            return None
        return found["account"] if not self.is_number or _is_number(found[0]) else None

    @property
    def _pattern(self) -> re.Pattern[str]:
        """What values look like; Python remembers the last few hundred."""
        pattern = re.escape(self.value)
        for name, allowed in (("account", ".+"), ("shard", "0|[1-9][0-9]{0,3}")):
            stands = re.escape(f"{{{name}}}")
            pattern = pattern.replace(stands, f"(?P<{name}>{allowed})", 1).replace(stands, f"(?P={name})")
        return re.compile(pattern, re.DOTALL)


def _is_number(text: str) -> bool:
    """Whether it is a number as DynamoDB writes it: of at most 38 digits, without any that say nothing."""
    return re.fullmatch(_NUMBER, text) is not None and len(text.strip("-0").replace(".", "").strip("0")) <= MAX_DIGITS


@dataclass(frozen=True, slots=True)
class SortKey:
    """The sort key: the prefix that tells an entity's items from others ("": all are), whether they are in the order of
    their creation, and how its time is written where it begins with that, behind the prefix."""

    attribute: str
    prefix: str = ""
    in_order: bool = False
    time: Time | None = None


@dataclass(frozen=True, slots=True)
class Join:
    """The item of another table whose `attribute` (its partition key) is what `by` holds."""

    name: str
    table: str
    attribute: str
    by: Path

    @property
    def table_name(self) -> str:
        """The table's name, also where the mapping gives its ARN."""
        return self.table.rpartition("table/")[2]

    @property
    def attribute_name(self) -> str:
        """The attribute under which the joined item is put into the one that refers to it."""
        return f"join:{self.name}"


@dataclass(frozen=True, slots=True)
class FieldMapping:
    """Where one field (dotted path) comes from: `pieces` of constant text and of values found in the item, or in the
    one that is joined to it, which is then put into it. A single path keeps the kind of its value, everything else
    makes text.

    `after`: what the value starts with and loses; `words`: other words for some; `time`: how a timestamp is written.
    """

    field: str
    kind: pa.DataType
    pieces: tuple[str | Path, ...]
    after: str = ""
    words: tuple[tuple[str, str], ...] = ()
    time: Time = "text"
    join: Join | None = None

    @property
    def paths(self) -> tuple[Path, ...]:
        return tuple(piece for piece in self.pieces if not isinstance(piece, str))


@dataclass(frozen=True, slots=True)
class EntityMapping:
    """How one entity's items are found, and what becomes of them."""

    entity: Entity
    table: str
    index: str | None
    key: AccountKey
    sort: SortKey | None
    fields: tuple[FieldMapping, ...]

    @property
    def joins(self) -> tuple[Join, ...]:
        """What its fields take from other tables, each once."""
        return tuple(dict.fromkeys(field.join for field in self.fields if field.join))

    @property
    def table_name(self) -> str:
        """The table's name, also where the mapping gives its ARN."""
        return self.table.rpartition("table/")[2]


@dataclass(frozen=True, slots=True)
class ItemMapping:
    """A whole mapping. `companion`: the source (with ``{account}``) of account.json and the attachments' files, in the
    mapping `beside`."""

    name: str
    entities: tuple[EntityMapping, ...]
    companion: str | None = None

    def of(self, entity: Entity) -> EntityMapping | None:
        """The entity's part of the mapping; None where nothing of it is imported."""
        return next((mapping for mapping in self.entities if mapping.entity is entity), None)


def read_mapping(path: str) -> ItemMapping:
    """The mapping in a file. Raises: ConfigurationError naming the line and the key of the first mistake."""
    try:
        return parse_mapping(pathlib.Path(path).read_text(encoding="utf-8-sig"), path)
    except OSError as error:
        fault = system_reason(error)
        raise ConfigurationError(f"the mapping {path} cannot be read: {fault}; correct --mapping") from error
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        raise ConfigurationError(f"the mapping {path}, line {line}: it is not UTF-8; correct it") from error


def parse_mapping(text: str, name: str) -> ItemMapping:
    """The mapping in a TOML document that messages call `name`. Raises: as `read_mapping`."""
    try:
        members = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigurationError(f"the mapping {name}{_toml_fault(str(error))}; correct it") from error
    top = _Table(_Document(name, _lines_of_keys(text)), (), members)
    top.only("version", "beside", "words", "joins", *ROW_ENTITIES)
    if top.members.get("version") != 1:
        top.fault("must be 1", "version")
    entities = tuple(_entity(top, entity) for entity in ROW_ENTITIES if entity in top.members)
    if not entities:
        top.fault(f"must map at least one of {', '.join(ROW_ENTITIES)}")
    return ItemMapping(name, entities, top.text("beside"))


_TOML_PLACE = re.compile(r"\(at line (\d+), column (\d+)\)$")
_TOML_FAULTS = (
    (r"Cannot |Duplicate ", "a key or a table stands there twice"),
    (r"Illegal character|Found invalid character", "a character may not stand there, or a text is not closed"),
    (r"Expected '='", "`=` and a value are missing behind a key"),
    (r"Unescaped|Invalid (hex|escape)", "a backslash in a text must be doubled, or the text put in single quotes"),
    (r"Invalid value", "a value is missing, or is a text without quotes"),
    (r"Expected newline", "something stands behind a value"),
    (r"Unclosed|Unterminated|Expected", "something is not closed"),
)


def _toml_fault(text: str) -> str:
    """Where a document is not TOML and what is wrong, in our words: the parser's own quote what stands there."""
    place = _TOML_PLACE.search(text)
    where = f", line {place[1]}, column {place[2]}" if place else ", at its end"
    known = (what for pattern, what in _TOML_FAULTS if re.match(pattern, text))
    return f"{where}: it is not TOML: {next(known, 'it breaks a rule of the language')}"


# --- a document whose mistakes have a place -----------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Document:
    name: str
    lines: Mapping[Path, int]

    def line(self, path: Path) -> int:
        """The line of a key, or of the nearest table around it that has one."""
        return next((self.lines[path[:end]] for end in range(len(path), 0, -1) if path[:end] in self.lines), 1)


@dataclass(frozen=True, slots=True)
class _Table:
    """A table of the document: what it holds, and where it stands."""

    document: _Document
    path: Path
    members: Mapping[str, Any]

    def fault(self, complaint: str, *names: str) -> NoReturn:
        """Raise the error that says what is wrong with a member, or (none named) with the table."""
        path = (*self.path, *names)
        key = ".".join(path) or "it"
        raise ConfigurationError(
            f"the mapping {self.document.name}, line {self.document.line(path)}: {key} {complaint}; correct it"
        )

    def only(self, *names: str) -> None:
        """Insist that nothing else is there: a key with a typo must not count as left out."""
        for name in self.members:
            if name not in names:
                self.fault(f"is not known here; there are {', '.join(names)}", name)

    def table(self, name: str) -> _Table:
        value = self.members.get(name, {})
        if not isinstance(value, dict):
            self.fault("must be a table", name)
        return _Table(self.document, (*self.path, name), value)

    def text(self, name: str) -> str | None:
        value = self.members.get(name)
        if value is not None and (not isinstance(value, str) or not value):
            self.fault("must be a text that is not empty", name)
        return value

    def required_text(self, name: str) -> str:
        value = self.text(name)
        if value is None:
            self.fault("is missing", name)
        return value

    def flag(self, name: str) -> bool:
        value = self.members.get(name, False)
        if not isinstance(value, bool):
            self.fault("must be true or false", name)
        return value

    def keypath(self, name: str) -> Path:
        """A path, as ``"customer.name"`` or, for names with dots in them, as ``["customer", "name"]``."""
        value = self.members[name]
        names = value.split(".") if isinstance(value, str) else value
        if not isinstance(names, list) or not names or not all(isinstance(one, str) and one for one in names):
            self.fault('must be a path, such as "customer.name" or ["customer", "name"]', name)
        return tuple(names)


_QUOTED = r'"(?:[^"\\]|\\.)*"|' + r"'[^']*'"


def _lines_of_keys(text: str) -> dict[Path, int]:
    """The line (from 1) of every table's header and of every key that starts a line."""
    lines: dict[Path, int] = {}
    table: Path = ()
    kept = re.sub(r"(?s)\"{3}.*?\"{3}|'{3}.*?'{3}", lambda found: "\n" * found[0].count("\n"), text)
    for number, line in enumerate(kept.split("\n"), 1):  # TOML knows no other ends of lines
        header = re.match(rf"\s*\[((?:{_QUOTED}|[^\[\]\"'])+)\]", line)
        key = re.match(rf"\s*((?:{_QUOTED}|[^=\[\]{{}}#\"'])+?)\s*=", line)
        if header:
            table = _named(header[1])
            lines.setdefault(table, number)
        elif key:
            lines.setdefault((*table, *_named(key[1])), number)
    return lines


def _named(key: str) -> Path:
    """The names in a dotted key, which TOML itself takes apart."""
    try:
        found: Any = tomllib.loads(f"{key} = 0")
    except tomllib.TOMLDecodeError:  # in the middle of a value over several lines
        return (key,)
    names = []
    while isinstance(found, dict):
        name, found = next(iter(found.items()))
        names.append(name)
    return tuple(names)


# --- entities and their fields --------------------------------------------------------------------------------------


def _entity(top: _Table, entity: Entity) -> EntityMapping:
    table = top.table(entity)
    table.only("table", "index", "key", "sort", "fields")
    fields = tuple(_fields(top, table.table("fields"), pa.struct(list(SCHEMAS[entity]))))
    mapped = {field.field for field in fields}
    if "account_id" not in mapped:
        fields = (FieldMapping("account_id", pa.string(), (ACCOUNT,)), *fields)
    for name in REQUIRED[entity]:
        if name not in mapped and name != "account_id":
            table.fault(f"does not say where {name} comes from, which every record needs", "fields")
    sort = _sort_key(table, next(field for field in fields if field.field == "created_at"))
    return EntityMapping(entity, table.required_text("table"), table.text("index"), _account_key(table), sort, fields)


def _account_key(table: _Table) -> AccountKey:
    key = table.table("key")
    key.only("attribute", "value", "shards", "number")
    value, shards = key.required_text("value"), key.members.get("shards", 1)
    if ACCOUNT not in value:
        key.fault(f"must hold {ACCOUNT}, so that one account's items are told from another's", "value")
    if type(shards) is not int or not 1 <= shards <= MAX_SHARDS or (shards > 1) != (SHARD in value):
        key.fault(f"must be a number up to {MAX_SHARDS}, and the value hold {SHARD} where there are several", "shards")
    return AccountKey(key.required_text("attribute"), value, shards, key.flag("number"))


def _sort_key(table: _Table, created_at: FieldMapping) -> SortKey | None:
    if "sort" not in table.members:
        return None
    sort = table.table("sort")
    sort.only("attribute", "prefix", "in_order", "time")
    attribute, prefix, in_order = sort.required_text("attribute"), sort.text("prefix") or "", sort.flag("in_order")
    time = sort.text("time")
    if time not in (None, *TIMES) or (time and not in_order):
        sort.fault(f"must be one of {', '.join(TIMES)}, and of a sort key with in_order = true", "time")
    is_time = created_at.pieces == ((attribute,),) and created_at.after == prefix and not created_at.words
    if in_order and time is None and is_time:
        time = created_at.time
    return SortKey(attribute, prefix, in_order, time)  # type: ignore[arg-type] # it is one of them


def _fields(top: _Table, table: _Table, kind: pa.StructType, prefix: str = "") -> Iterator[FieldMapping]:
    kinds = {member.name: member.type for member in kind}
    table.only(*kinds)
    for name in table.members:
        if pa.types.is_struct(kinds[name]):
            yield from _fields(top, table.table(name), kinds[name], f"{prefix}{name}.")
        else:
            yield _field(top, table, name, prefix + name, kinds[name])


def _field(top: _Table, table: _Table, name: str, field: str, kind: pa.DataType) -> FieldMapping:
    if isinstance(table.members[name], str | list):
        return FieldMapping(field, kind, (table.keypath(name),))
    given = table.table(name)
    given.only("path", "constant", "template", "after", "words", "time", "join")
    pieces = _pieces(given)
    if not pa.types.is_string(kind) and (len(pieces) > 1 or isinstance(pieces[0], str)):
        given.fault("must be a path: the field is no text")
    if not pa.types.is_string(kind) and not given.members.keys().isdisjoint(("after", "words")):
        given.fault("takes neither after nor words: the field is no text")
    join = _join(top, given)
    if join is not None:
        pieces = tuple(piece if isinstance(piece, str) else (join.attribute_name, *piece) for piece in pieces)
    return FieldMapping(field, kind, pieces, given.text("after") or "", _words(top, given), _time(given, field), join)


def _pieces(given: _Table) -> tuple[str | Path, ...]:
    sources = [name for name in ("path", "constant", "template") if name in given.members]
    if len(sources) != 1:
        given.fault("must have exactly one of path, constant and template")
    if sources == ["path"]:
        return (given.keypath("path"),)
    text = given.required_text(sources[0])
    return (text,) if sources == ["constant"] else _template(given, text)


_STEP = r'"[^"]+"|[^".]+'


def _template(given: _Table, text: str) -> tuple[str | Path, ...]:
    """A text in which ``{call.id}`` stands for what lies there in the item, ``{account}`` for the account's id; a name
    that holds dots stands in quotes, ``{"a.b".c}``."""
    if re.search(r"[{}]", re.sub(r"\{[^{}]*\}", "", text)):
        given.fault("has a brace that is not closed, or was not opened", "template")
    literal, *rest = re.split(r"\{([^{}]*)\}", text.replace(ACCOUNT, "\0"))
    pieces: list[str | Path] = [literal]
    for path, literal in zip(rest[::2], rest[1::2], strict=True):
        if not re.fullmatch(rf"({_STEP})(\.({_STEP}))*", path):
            given.fault("has braces without a path between them", "template")
        pieces += [tuple(step.strip('"') for step in re.findall(_STEP, path)), literal]
    texts = (piece.replace("\0", ACCOUNT) if isinstance(piece, str) else piece for piece in pieces)
    return tuple(piece for piece in texts if piece) or ("",)


def _words(top: _Table, given: _Table) -> tuple[tuple[str, str], ...]:
    name = given.text("words")
    if name is None:
        return ()
    known = top.table("words")
    if name not in known.members:
        given.fault(f"names {name!r}, but there is no table [words.{name}]", "words")
    words = known.table(name)
    for word, becomes in words.members.items():
        if not isinstance(becomes, str):
            words.fault("must be a text", word)
    return tuple(words.members.items())


def _time(given: _Table, field: str) -> Time:
    time = given.text("time") or "text"
    if time not in TIMES or ("time" in given.members and field not in TIMESTAMP_FIELDS):
        given.fault(f"must be one of {', '.join(TIMES)}, and of a timestamp", "time")
    return time  # type: ignore[return-value] # it is one of them


def _join(top: _Table, given: _Table) -> Join | None:
    name = given.text("join")
    if name is None:
        return None
    if name not in top.table("joins").members:
        given.fault(f"names {name!r}, but there is no table [joins.{name}]", "join")
    join = top.table("joins").table(name)
    join.only("table", "attribute", "by")
    if "by" not in join.members:
        join.fault("is missing", "by")
    return Join(name, join.required_text("table"), join.required_text("attribute"), join.keypath("by"))
