"""Histories of tables as hypothesis draws them, the exports and windows that AWS would make of them, and their truth.

A table is a plain dict that takes writes in the order of time. What it holds of an account at the end is what an import
of its full export and of the windows behind it must give.
"""

from __future__ import annotations

import base64
import datetime as dt
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

import orjson
from hypothesis import strategies as st

from tests.readers.dynamodb.exports import write_files
from tests.readers.dynamodb.items import nested

FULL = 1790726400_000000  # 2026-09-30, when the full exports were made, in microseconds since 1970
HOUR = 3_600_000_000
ACCOUNTS = (0, 1, 2, None)  # ours are the first two; None: in no account's index
NAMES = ("acme", "other", "foreign")
NUMBERS = ("4711", "47", "471")
KINDS = ("S", "N", "B")
ODD_TEXTS = ("", "", '{"}', "\\", '\n"', "\N{SNOWMAN}{}")
PREFIXES = {"threads": "T#", "messages": "M#", "attachments": "F#"}
DESIGNS = {"whole": ("account", "sort"), "half": ("account", "uid"), "apart": ("uid",), "inverse": ("sort", "uid")}
"""Of what a table's key consists: whose an item is and which row it is may be part of it, or not."""

Item = dict[str, Any]
Key = tuple[tuple[str, str], ...]
Table = dict[Key, Item]
Rows = dict[tuple[str, str], str | None]
"""By entity and id what tells one version of a row from another."""


@dataclass(frozen=True, slots=True)
class Write:
    """One write to a table: the item that it leaves (None: deleted), and the one that it finds."""

    key: Key
    micros: int
    new: Item | None
    old: Item | None


@dataclass(frozen=True, slots=True)
class History:
    """A database of tables: `design` of their keys, whether all entities share one, what is in the full exports, and
    the writes behind them in the order of time, by table, in so many windows. `tells_old`: images before a write are
    exported; `nets`: of an item only the last write in a window is; `is_apart`: windows lie where no full export is;
    `overlaps`: windows reach back into the ones before; `numbers`: accounts are told by numbers; `uid`: what kind of
    value an item's own key is."""

    design: str
    is_single: bool
    overlaps: bool
    numbers: bool
    uid: str
    tells_old: bool
    nets: bool
    is_apart: bool
    base: Mapping[str, Table]
    writes: Mapping[str, tuple[Write, ...]]
    cuts: tuple[int, ...]
    luck: Random = field(compare=False, repr=False)

    def table_of(self, entity: str) -> str:
        return "all" if self.is_single else entity

    @property
    def names(self) -> tuple[str, ...]:
        """The ids of all accounts."""
        return NUMBERS if self.numbers else NAMES

    @property
    def ours(self) -> tuple[str, ...]:
        """The ids of the accounts that are imported."""
        return self.names[:2]

    @property
    def tables(self) -> tuple[str, ...]:
        return ("all",) if self.is_single else tuple(PREFIXES)

    @property
    def tells_all(self) -> bool:
        """Whether every change says whose its item was, and which row."""
        return self.tells_old or not self.is_apart or self.design == "whole"

    @property
    def folder(self) -> str:
        """Where the windows lie."""
        return "windows" if self.is_apart else "exports"

    def final(self, table: str, until: int = 1 << 62) -> Table:
        """The table as it was at an instant behind its full export."""
        items = dict(self.base[table])
        for write in self.writes[table]:
            if write.micros < until:
                _apply(items, write.key, write.new)
        return items

    def rows(self, account: str, until: int = 1 << 62) -> Rows:
        """The truth: the rows of an account."""
        key = _account(account, self.numbers)
        return rows_of((item for table in self.tables for item in self.final(table, until).values()), key)


def rows_of(items: Iterable[Item], key: Item) -> Rows:
    """What of some items is that of an account with this key."""
    found: Rows = {}
    for item in items:
        entity, id_ = entity_and_id(item)
        if entity is not None and item.get("account") == key:
            found[entity, id_] = item.get("text", {}).get("S")
    return found


def entity_and_id(item: Item) -> tuple[str | None, str]:
    sort = item.get("sort", {}).get("S", "")
    return next(((entity, sort[2:]) for entity, prefix in PREFIXES.items() if sort.startswith(prefix)), (None, ""))


def _account(name: str, numbers: bool) -> Item:
    return {"N": name} if numbers else {"S": f"A#{name}"}


def _apply(items: Table, key: Key, new: Item | None) -> None:
    if new is None:
        items.pop(key, None)
    else:
        items[key] = new


# --- histories ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Step:
    """What happens next to one item: its place among few, so that writes meet."""

    entity: str
    uid: int
    account: int | None
    id: int
    is_deletion: bool
    has_sort: bool
    is_of_no_entity: bool
    is_recent: bool
    is_at_once: bool
    extra: tuple[str, ...]


_STEPS = st.builds(
    _Step,
    entity=st.sampled_from(tuple(PREFIXES)),
    uid=st.integers(0, 5),
    account=st.sampled_from(ACCOUNTS),
    id=st.integers(1, 3),
    is_deletion=st.sampled_from((False, False, True)),
    has_sort=st.sampled_from((True, True, True, False)),
    is_of_no_entity=st.sampled_from((False, False, False, True)),
    is_recent=st.booleans(),
    is_at_once=st.sampled_from((False, False, True)),
    extra=st.sets(st.sampled_from(("text", "tags", "custom", "odd", "null", "touched"))).map(
        lambda names: tuple(sorted(names))
    ),
)


@st.composite
def histories(draw: st.DrawFn) -> History:
    """Any history: several accounts and entities mixed, sparse attributes, items that change hands, come and go."""
    design, is_single, tells_old = draw(st.sampled_from(tuple(DESIGNS))), draw(st.booleans()), draw(st.booleans())
    luck, numbers, uid = draw(st.randoms(use_true_random=False)), draw(st.booleans()), draw(st.sampled_from(KINDS))
    base: dict[str, Table] = {table: {} for table in (("all",) if is_single else PREFIXES)}
    for number, account in enumerate((0, 0, 1, 1)):
        for entity in ("threads", "messages")[number % 2 :][:1]:  # whom all others hang on; they stay
            root = _Step(entity, 90 + number, account, 0, False, True, False, luck.random() < 0.5, False, ())
            item = _item(root, "root", luck, numbers, uid)
            base["all" if is_single else entity][_key(item, design)] = item
    before, after = draw(st.lists(_STEPS, max_size=25)), draw(st.lists(_STEPS, min_size=1, max_size=25))
    for number, step in enumerate(before):
        name = "all" if is_single else step.entity
        _take(base[name], design, step, _item(step, f"base {number}", luck, numbers, uid))
    tables = {name: dict(items) for name, items in base.items()}
    writes: dict[str, tuple[Write, ...]] = dict.fromkeys(tables, ())
    micros, at_once = FULL, set[Key]()
    for number, step in enumerate(after):
        name = "all" if is_single else step.entity
        found = _take(tables[name], design, step, _item(step, f"write {number}", luck, numbers, uid))
        if found is not None:
            if not step.is_at_once or found[0] in at_once:  # else it is of the same transaction
                micros, at_once = micros + HOUR // 7, set()
            at_once.add(found[0])
            writes[name] += (Write(found[0], micros, *found[1:]),)
    cuts = tuple(sorted(draw(st.sets(st.integers(1, 3 * len(after)), max_size=3))))
    nets, is_apart, overlaps = draw(st.booleans()), draw(st.booleans()), draw(st.booleans())
    return History(design, is_single, overlaps, numbers, uid, tells_old, nets, is_apart, base, writes, cuts, luck)


def _take(table: Table, design: str, step: _Step, item: Item) -> tuple[Key, Item | None, Item | None] | None:
    """Write an item into a table, unless its design does not allow that, or the row has an item already."""
    if not all(name in item for name in DESIGNS[design]):
        return None
    key = _key(item, design)
    old = table.get(key)
    if step.is_deletion:
        table.pop(key, None)
        return (key, None, old) if old else None
    same = [other for other, known in table.items() if _row(known) == _row(item) and other != key]
    if same and _row(item)[0] is not None:
        return None
    table[key] = item
    return key, item, old


def _row(item: Item) -> tuple[Any, ...]:
    return (item.get("account"), *entity_and_id(item)) if entity_and_id(item)[0] else (None,)


def _key(item: Item, design: str) -> Key:
    return tuple(next(iter(item[name].items())) for name in DESIGNS[design])


def _item(step: _Step, text: str, luck: Random, numbers: bool, uid: str) -> Item:
    """An item's attributes, in any order."""
    prefix = "X#" if step.is_of_no_entity else PREFIXES[step.entity]
    created = FULL // 1000 - 3_600_000 if step.is_recent else 1585000000000
    written = luck.choice((f"{created}", f"{created}.25", f"{created // 1000}e3", f"{created // 10**6}.{'0' * 6}E+6"))
    text += luck.choice(ODD_TEXTS) if text != "root" else ""
    known: Item = {
        "uid": {uid: base64.b64encode(b"%d" % step.uid).decode() if uid == "B" else str(step.uid)},
        "created": {luck.choice("NS"): written},
        "parent": {"S": "0"},
        "name": {"S": "a.txt"},
        **(
            {"account": _account((NUMBERS if numbers else NAMES)[step.account], numbers)}
            if step.account is not None
            else {}
        ),
        **({"sort": {"S": f"{prefix}{step.id}"}} if step.has_sort else {}),
    }
    sparse: Item = {
        "text": {"S": text},
        "tags": {"SS": ["one", "two"]},
        "custom": nested({"plan": "gold", "seats": 5}),
        "odd": {"B": "AAE="},
        "null": {"NULL": True},
        "touched": {"N": str(FULL // 10**6 - step.uid)},
    }
    known |= {name: sparse[name] for name in step.extra}
    if text == "root" or luck.random() < 0.9:
        known["text"] = {"S": text}
    return {name: known[name] for name in luck.sample(sorted(known), len(known))}


# --- what AWS makes of them ---------------------------------------------------------------------------------------


def write_base(history: History, root: Path) -> None:
    """The full exports, in files in which items lie in any order."""
    for table in history.tables:
        lines = [orjson.dumps({"Item": item}) for item in history.base[table].values()]
        _write(history, root, table, lines, "full", exportTime=_time(FULL))


def write_windows(history: History, root: Path, since: int, until: int) -> None:
    """The windows from one cut to another, of every table."""
    cuts = [0, *history.cuts, 1000]
    view = "NEW_AND_OLD_IMAGES" if history.tells_old else "NEW_IMAGE"
    for number in range(since, until):
        begin, end = (FULL + cut * HOUR // 21 for cut in cuts[number : number + 2])
        begin -= history.luck.randint(0, 5) * HOUR // 7 if history.overlaps else 0
        name = f"{history.luck.randrange(10**6):06}-{number}"  # folders are in any order
        told: Any = {"exportFromTime": _time(begin), "exportToTime": _time(end), "outputView": view}
        for table in history.tables:
            _write(history, root, table, list(_lines(history, table, begin, end)), name, **told)


def cut_at(history: History, number: int) -> int:
    """The instant before which the first so many windows lie."""
    return FULL + [0, *history.cuts, 1000][number] * HOUR // 21


def _lines(history: History, table: str, begin: int, end: int) -> Iterator[bytes]:
    mine = [write for write in history.writes[table] if begin <= write.micros < end]
    if history.nets:
        first = {write.key: write.old for write in reversed(mine)}
        last = {write.key: write for write in mine}
        mine = [Write(write.key, write.micros, write.new, first[write.key]) for write in last.values()]
    for write in mine:
        if write.new is None and write.old is None:
            continue  # it came and went within the window
        members: list[tuple[str, Any]] = [
            ("Metadata", {"WriteTimestampMicros": {"N": str(write.micros)}}),
            ("Keys", {name: dict([value]) for name, value in zip(DESIGNS[history.design], write.key, strict=True)}),
        ]
        members += [("NewImage", write.new)] if write.new is not None else []
        members += [("OldImage", write.old)] if history.tells_old and write.old is not None else []
        history.luck.shuffle(members)
        yield orjson.dumps(dict(members))


def _write(history: History, root: Path, table: str, lines: list[bytes], export_id: str, **summary: Any) -> None:
    """An export in many small files, some of them empty."""
    texts = [b""] * history.luck.randint(1 if lines else 0, 4)
    history.luck.shuffle(lines)
    for line in lines:
        place = history.luck.randrange(len(texts))
        texts[place] += line + b"\n"
    write_files(root, table, texts, export_id=export_id, **summary)


def _time(micros: int) -> str:
    return (dt.datetime(1970, 1, 1, tzinfo=dt.UTC) + dt.timedelta(microseconds=micros)).isoformat()


def mapping_text(history: History, beside: Path) -> str:
    """How items become rows."""
    value = "{account}" if history.numbers else "A#{account}"
    number = ", number = true" if history.numbers else ""
    how = f'key = {{ attribute = "account", value = "{value}"{number} }}\n'
    how += 'sort = { attribute = "sort", prefix = "%s" }\n'
    fields = {
        "threads": 'brand_id = { constant = "b1" }\nchannel_id = { constant = "c1" }\nstatus = { constant = "open" }\n'
        'subject = "text"\ntags = "tags"\ncustom_fields = "custom"\n',
        "messages": 'thread_id = "parent"\nkind = { constant = "email" }\ndirection = { constant = "inbound" }\n'
        'body = "text"\nbody_html = "null"\n',
        "attachments": 'message_id = "parent"\nfilename = "name"\nkey = "name"\ncontent_type = "text"\n',
    }
    text = f'version = 1\nbeside = "{beside}/{{account}}"\n'
    for entity, prefix in PREFIXES.items():
        index = 'index = "by-account"\n' if history.design != "whole" else ""
        text += f'[{entity}]\ntable = "{history.table_of(entity)}"\n{index}{how % prefix}\n[{entity}.fields]\n'
        text += f'id = {{ path = "sort", after = "{prefix}" }}\n'
        text += f'created_at = {{ path = "created", time = "milliseconds" }}\n{fields[entity]}'
        text += 'updated_at = { path = "touched", time = "seconds" }\n'
    return text
