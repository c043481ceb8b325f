"""Tables whose sort key begins with the time of creation: what each pass reads of them, and that nothing is missed."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from s3import.core.errors import ConfigurationError
from s3import.core.records import EARLIEST, HALVES, Batch, Entity, Pass, Position, Window
from s3import.readers.dynamodb.budget import ReadBudget
from s3import.readers.dynamodb.mapping import ItemMapping, SortKey, Time, parse_mapping
from s3import.readers.dynamodb.opening import Items, open_items
from s3import.readers.dynamodb.zones import Zone, Zones
from s3import.readers.sources.source import DumpSource, RetryPolicy
from tests.readers.dynamodb.items import MAPPING, item
from tests.readers.dynamodb.served import Served

QUICK = RetryPolicy(retry_seconds=5, connect_seconds=1, stall_seconds=5, first_wait_seconds=0.01)
SINCE = dt.datetime(2026, 9, 1, tzinfo=dt.UTC)
WINDOW = Window(Pass.RECENT, SINCE, SINCE + dt.timedelta(days=30))
HOUR = dt.timedelta(hours=1)
SORTS = ["iso", "iso and id", "number", "digits", "digits and id"]
"""How the sort keys of a table begin with a time."""
TABLES = pytest.mark.parametrize(
    ("served", "kind"),
    [*(("dynalite", kind) for kind in SORTS), ("moto", "iso"), ("moto", "number")],
    indirect=["served"],
)
"""Tables with all of them; the other implementation has to compare texts and numbers as this one does."""


# --- where an item lies -------------------------------------------------------------------------------------------

TEXTS = st.one_of(
    st.text(max_size=5),
    st.timedeltas(-200 * HOUR, 200 * HOUR).map(lambda behind: (SINCE + behind).isoformat()),
    st.integers(int(SINCE.timestamp()) - 3, int(SINCE.timestamp()) + 3).map(str),
    st.sampled_from(("2026-08-31", "2026-08-31\0", "2026-09-03", "2026-09-03\0", "2026-09-03 ")),
)


@given(st.sampled_from(("", "M#", "a\ud7ff", "\U0010ffff")), st.sampled_from(("text", "seconds")), TEXTS)
def test_each_text_lies_in_one_zone(prefix: str, time: Time, text: str) -> None:
    """Whatever an entity's sort key holds behind its prefix, one zone has it, and no more."""
    zones = Zones.of(SortKey("sort", prefix, True, time), "S", WINDOW)
    assert len([zone for zone in Zone if _finds(zones, zone, prefix + text)]) == 1


@given(st.integers(-5, 5), st.decimals(0, 1, places=3))
def test_each_number_lies_in_one_zone(number: int, fraction: Decimal) -> None:
    """One zone has a number, however close it is to the border."""
    zones = Zones.of(SortKey("sort", "", True, "seconds"), "N", WINDOW)
    value = str(int(SINCE.timestamp()) + number + fraction)
    assert len([zone for zone in Zone if _finds(zones, zone, value)]) == 1


@given(st.timedeltas(-49 * HOUR, 49 * HOUR), st.integers(-1439, 1439), st.booleans())
def test_no_time_lies_in_the_other_pass(behind: dt.timedelta, offset: int, lower: bool) -> None:
    """What is recent by its time is never in the zone of old items, and the other way, at any offset."""
    text = (SINCE + behind).astimezone(dt.timezone(dt.timedelta(minutes=offset))).isoformat()
    zones = Zones.of(SortKey("sort", "", True, "text"), "S", WINDOW)
    wrong = Zone.OLD if behind >= dt.timedelta() else Zone.NEW
    assert not _finds(zones, wrong, text.lower() if lower else text)


def _finds(zones: Zones, zone: Zone, value: str) -> bool:
    """Whether a zone's query finds an item with a sort key, as DynamoDB compares them."""
    query = zones.narrowed({"ExpressionAttributeNames": {}, "ExpressionAttributeValues": {}}, zone)
    given_values = {name: next(iter(given.values())) for name, given in query["ExpressionAttributeValues"].items()}
    ends = {name: _ordered(given, zones.kind) for name, given in given_values.items()}
    how, mine = query["KeyConditionExpression"].partition(" AND #sort ")[2], _ordered(value, zones.kind)
    if how == "< :ends":
        return bool(mine < ends[":ends"])
    if how == "> :begins":
        return bool(mine > ends[":begins"])
    assert how == "BETWEEN :begins AND :ends"
    return bool(ends[":begins"] <= mine <= ends[":ends"])


def _ordered(value: str, kind: str) -> Any:
    return Decimal(value) if kind == "N" else value.encode("utf-8", "surrogatepass")


def test_a_time_of_a_sort_key_without_order() -> None:
    """Only of a sort key in order the mapping may say how its time is written."""
    with pytest.raises(ConfigurationError, match=r"messages.sort.time must be one of text, seconds, milliseconds, and"):
        parse_mapping(MAPPING.replace('prefix = "M#" }', 'prefix = "M#", time = "seconds" }'), "m")


# --- what is read -------------------------------------------------------------------------------------------------


class Counting(ReadBudget):
    """As much as one likes, counted."""

    def __init__(self) -> None:
        super().__init__(None)
        self.units = 0.0

    def spend(self, units: float) -> None:
        self.units += units


def sort_value(kind: str, time: dt.datetime, number: int) -> dict[str, str]:
    milliseconds = str((time - EARLIEST) // dt.timedelta(milliseconds=1))
    text = f"{time:%Y-%m-%dT%H:%M:%S}Z"
    texts = {
        "iso": f"M#{text}",
        "iso and id": f"M#{text}#{number}",
        "digits": milliseconds,
        "digits and id": f"M#{milliseconds}#{number}",
    }
    return {"N": milliseconds} if kind == "number" else {"S": texts[kind]}


def timed(kind: str, number: int, time: dt.datetime, **more: Any) -> dict[str, Any]:
    """A message that lies where its time says."""
    known = {"account": "A#acme", "sort": sort_value(kind, time, number), "id": f"m{number}", "thread": "t1"}
    milliseconds = (time - EARLIEST) // dt.timedelta(milliseconds=1)
    return item(**{**known, "inbound": True, "created": milliseconds, **more})


def mapped(served: Served, kind: str, table: str) -> ItemMapping:
    """Only messages, whose sort key begins with their time in one of the `SORTS`."""
    text = served.mapping_text(MAPPING).replace(f'table = "messages-{served.suffix}"', f'table = "{table}"')
    text = text.replace('id = { path = "sort", after = "M#" }', 'id = "id"')
    sort = {
        "iso": 'prefix = "M#", in_order = true',
        "iso and id": 'prefix = "M#", in_order = true, time = "text"',
        "number": "in_order = true",
        "digits": "in_order = true",
        "digits and id": 'prefix = "M#", in_order = true, time = "milliseconds"',
    }
    text = text.replace('prefix = "M#" }', f"{sort[kind]} }}")
    created = {
        "iso": '{ path = "sort", after = "M#" }',
        **dict.fromkeys(("number", "digits"), '{ path = "sort", time = "milliseconds" }'),
    }
    if kind in created:
        text = text.replace('created_at = { path = "created", time = "milliseconds" }', f"created_at = {created[kind]}")
    known = parse_mapping(text, "m")
    return replace(known, entities=known.entities[1:2])


@pytest.fixture
def known(served: Served, kind: str) -> ItemMapping:
    """The mapping of messages in a table with such sort keys."""
    served.create("timed", "account", "sort", sort_kind="N" if kind == "number" else "S")
    return mapped(served, kind, f"timed-{served.suffix}")


def opened(known: ItemMapping, budget: ReadBudget | None = None) -> DumpSource:
    return open_items("dynamodb:", "acme", items=Items(known, budget=budget), policy=QUICK)


def batches(source: DumpSource, pass_: Pass) -> Iterator[Batch]:
    for part in source.plan(pass_, lambda: WINDOW).parts:
        if part.entity is Entity.MESSAGES:
            yield from source.read_part(part, Position(), 1)


def ids(source: DumpSource, pass_: Pass) -> list[str]:
    return [id_ for batch in batches(source, pass_) for id_ in batch.records["id"].to_pylist()]


@TABLES
def test_each_pass_reads_its_own(served: Served, known: ItemMapping, kind: str) -> None:
    """Both passes give each item once, and pay for little more than reading each once."""
    times = [SINCE + (number - 280) * 6 * HOUR for number in range(300)]
    items = [timed(kind, number, time, body="x" * 4000) for number, time in enumerate(times)]
    for some in range(0, len(items), 25):
        served.put_all("timed", *items[some : some + 25])
    budget = Counting()
    source = opened(known, budget)
    recent = ids(source, Pass.RECENT)
    units_recent = budget.units
    remaining = ids(source, Pass.REMAINING)
    assert (sorted(recent), sorted(remaining)) == (
        sorted(f"m{number}" for number in range(280, 300)),
        sorted(f"m{number}" for number in range(280)),
    )
    border = 12 if kind.startswith("iso") else 1
    assert units_recent <= (20 + border) * 4400 / 8192 + 4
    assert budget.units - units_recent <= (280 + border) * 4400 / 8192 + 4


@TABLES
def test_nothing_is_missed_out_of_order(served: Served, known: ItemMapping, kind: str) -> None:
    """Items that lie elsewhere than their time says, or have none, are each in one pass."""
    odd = "created" if kind.endswith("id") else "other"
    times = [SINCE + hours * HOUR for hours in (-9000, -100, -30, -1, 0, 1, 30, 100)]
    items = [timed(kind, number, time) for number, time in enumerate(times)]
    late, early = (int((SINCE + days * 24 * HOUR).timestamp() * 1000) for days in (9, -9))
    items += [timed(kind, 10, times[0], **{odd: late}), timed(kind, 11, times[7] + HOUR, **{odd: early})]
    items += [timed(kind, 12 + n, time + 2 * HOUR, **{odd: "noon"}) for n, time in enumerate(times)]
    if kind != "number":
        texts = ("M#", "M#2026-08-31", "M#2026-09-03", "M#noon", "999999999999", "0", "M#999999999999")
        items += [timed(kind, 30 + n, SINCE, sort=text) for n, text in enumerate(texts)]
    items = list({str(one["sort"]): one for one in items}.values())
    served.put("timed", *items)
    source = opened(known)
    prefix = "M#" if kind in ("iso", "iso and id", "digits and id") else ""
    mine = [one["id"]["S"] for one in items if next(iter(one["sort"].values())).startswith(prefix)]
    assert sorted(ids(source, Pass.RECENT) + ids(source, Pass.REMAINING)) == sorted(mine)


@TABLES
def test_reading_goes_on_in_any_zone(served: Served, known: ItemMapping, kind: str) -> None:
    """From the end of any batch the same batches follow, in another process too."""
    items = [timed(kind, n, SINCE + (n - 4) * 24 * HOUR, body="x" * 300_000) for n in range(9)]
    served.put("timed", *items)
    for pass_ in HALVES:
        whole = list(batches(opened(known), pass_))
        assert [batch.last for batch in whole] == [False] * (len(whole) - 1) + [True]
        part = opened(known).plan(pass_, lambda: WINDOW).parts[0]
        for number, batch in enumerate(whole[:-1], 1):
            again = list(opened(known).read_part(part, batch.end, 1))
            assert [one.records for one in again] == [one.records for one in whole[number:]]
            assert [one.end for one in again] == [one.end for one in whole[number:]]
