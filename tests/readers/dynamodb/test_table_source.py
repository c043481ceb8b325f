"""DynamoDB tables as a source: an account's items by its key, page by page, on two implementations."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from dataclasses import replace
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError, EndpointConnectionError

from s3import.core.errors import (
    ConfigurationError,
    DumpNotFound,
    S3ImportError,
    SourceDenied,
    SourceMissing,
    SourceUnavailable,
)
from s3import.core.records import HALVES, Batch, Entity, Pass, Position, Window
from s3import.readers.dynamodb.budget import ReadBudget
from s3import.readers.dynamodb.mapping import ItemMapping, parse_mapping
from s3import.readers.dynamodb.opening import Items, open_items
from s3import.readers.dynamodb.passes import Parents
from s3import.readers.dynamodb.table_source import Tables, TableSource
from s3import.readers.sources.source import DumpSource, RetryPolicy, Role
from s3import.transform.validators import check
from tests.objects import CREDENTIALS
from tests.readers.dynamodb.items import MAPPING, attachment, mapping, message, thread
from tests.readers.dynamodb.served import Served

QUICK = RetryPolicy(retry_seconds=5, connect_seconds=1, stall_seconds=5, first_wait_seconds=0.01)
SINCE = dt.datetime(2026, 9, 1, tzinfo=dt.UTC)
WINDOW = Window(Pass.RECENT, SINCE, SINCE + dt.timedelta(days=30))
OLD_TEXT, OLD_MILLISECONDS = "2026-08-01T00:00:00Z", 1785000000000


def opened(known: ItemMapping) -> DumpSource:
    return open_items("dynamodb:", "acme", items=Items(known), policy=QUICK)


def batches(source: DumpSource, pass_: Pass, entity: Entity, block_bytes: int = 1 << 20) -> Iterator[Batch]:
    for part in source.plan(pass_, lambda: WINDOW).parts:
        if part.entity is entity:
            yield from source.read_part(part, Position(), block_bytes)


def ids(source: DumpSource, pass_: Pass, entity: Entity) -> list[str]:
    return [id_ for batch in batches(source, pass_, entity) for id_ in batch.records["id"].to_pylist()]


def test_an_account_of_several(served: Served, tables_mapping: ItemMapping) -> None:
    """Only the account's items of the entity are read, a parent with its recent child, and by its own time again."""
    served.put("threads", thread(1, created=OLD_TEXT), thread(2, created=OLD_TEXT), thread(3, account="other"))
    served.put("messages", message(1), message(2, created=OLD_MILLISECONDS, thread="t2"), message(3, account="other"))
    served.put("messages", message(4, sort="T#4"))
    served.put("attachments", attachment(1), attachment(2, created=OLD_TEXT), attachment(3, account="other"))
    source = opened(tables_mapping)
    recent = [ids(source, Pass.RECENT, entity) for entity in tuple(Entity)[:3]]
    remaining = [ids(source, Pass.REMAINING, entity) for entity in tuple(Entity)[:3]]
    assert (recent, remaining) == ([["t1"], ["m1"], ["a1"]], [["t1", "t2"], ["m2"], ["a2"]])


def test_many_pages(served: Served, tables_mapping: ItemMapping) -> None:
    """Reading goes on behind the last key that was evaluated, in another process too."""
    served.put("messages", *(message(n, body="x" * 300_000) for n in range(8)))
    source = opened(tables_mapping)
    whole = list(batches(source, Pass.RECENT, Entity.MESSAGES, block_bytes=1000))
    assert [batch.records.num_rows for batch in whole[:2]] in ([3, 3], [4, 4])
    part = next(part for part in source.plan(Pass.RECENT, lambda: WINDOW).parts if part.entity is Entity.MESSAGES)
    again = list(opened(tables_mapping).read_part(part, whole[0].end, 1000))
    assert [batch.records for batch in again] == [batch.records for batch in whole[1:]]
    assert [batch.lines for batch in again] == [batch.lines for batch in whole[1:]]
    assert whole[-1].last


def test_shards(served: Served) -> None:
    """What is recent in any shard takes its thread along; each shard is a part."""
    text = served.mapping_text(MAPPING).replace('value = "A#{account}"', 'value = "A#{account}#{shard}", shards = 6')
    old = [thread(n, created=OLD_TEXT) for n in range(7)]
    served.put("threads", *old)
    served.put("messages", *(message(n, account=f"acme#{n}", thread=f"t{n}") for n in range(6)))
    source = opened(parse_mapping(text, "m"))
    assert sorted(ids(source, Pass.RECENT, Entity.MESSAGES)) == [f"m{n}" for n in range(6)]
    assert ids(source, Pass.RECENT, Entity.THREADS) == [f"t{n}" for n in range(6)]


def test_a_table_that_is_not_there(aws: str) -> None:
    """The message names the table, and what to correct."""
    with pytest.raises(SourceMissing, match="the table threads, or its index, does not exist"):
        list(batches(opened(mapping()), Pass.RECENT, Entity.MESSAGES))


def test_an_account_without_any_item(moto_tables: Served) -> None:
    """An account of which no table has an item is not there: its key may be spelt otherwise."""
    moto_tables.put("messages", message(1, account="other"))
    with pytest.raises(DumpNotFound, match=r"no item of account acme, such as acme in threads-.*the mapping's keys"):
        opened(parse_mapping(moto_tables.mapping_text(MAPPING), "m")).plan(Pass.RECENT)
    moto_tables.put("attachments", attachment(1))
    assert opened(parse_mapping(moto_tables.mapping_text(MAPPING), "m")).plan(Pass.RECENT).parts


def test_a_key_that_is_none(moto_tables: Served) -> None:
    """A key that the table does not have is an error of the mapping."""
    text = moto_tables.mapping_text(MAPPING).replace(
        'attribute = "account", value = "A#', 'attribute = "konto", value = "A#'
    )
    with pytest.raises(ConfigurationError, match="cannot be asked so"):
        list(batches(opened(parse_mapping(text, "m")), Pass.RECENT, Entity.MESSAGES))


def test_an_arn_for_an_endpoint_that_knows_none(dynalite_endpoint: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where an endpoint other than AWS's refuses a table's ARN the message says what may be wrong with it."""
    monkeypatch.setenv("AWS_ENDPOINT_URL", dynalite_endpoint)
    for name, value in CREDENTIALS.items():
        monkeypatch.setenv(name, value)
    arn = "arn:aws:dynamodb:us-east-1:111122223333:table/threads"
    known = parse_mapping(MAPPING.replace('table = "threads"', f'table = "{arn}"'), "m")
    with pytest.raises(ConfigurationError, match="may not know ARNs as names of tables: give the name alone"):
        opened(known).plan(Pass.RECENT)


@pytest.mark.parametrize(("account", "found"), [("4711", True), ("04711", False), ("acme", False)])
def test_keys_that_are_numbers(served: Served, account: str, found: bool) -> None:
    """No account gets the items of another whose id is the same number, and none that is no number has any."""
    name = f"numbers-{served.suffix}"
    served.client.create_table(
        TableName=name,
        KeySchema=[{"AttributeName": "account", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "account", "AttributeType": "N"}],
        BillingMode="PAY_PER_REQUEST",
    )
    served.client.get_waiter("table_exists").wait(TableName=name, WaiterConfig={"Delay": 0.01, "MaxAttempts": 1000})
    served.put("numbers", thread(1, account={"N": "4711"}))
    text = MAPPING.replace('table = "threads"', f'table = "{name}"')
    known = parse_mapping(text.replace('value = "{account}" }', 'value = "{account}", number = true }'), "m")
    known = replace(known, entities=known.entities[:1])
    source = open_items("dynamodb:", account, items=Items(known), policy=QUICK)
    if found:
        assert source.plan(Pass.RECENT).parts
    else:
        with pytest.raises(DumpNotFound, match=f"{account} is not how DynamoDB writes a number"):
            source.plan(Pass.RECENT)


def test_in_a_role(moto_tables: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a role, requests are made with credentials that STS gave for it."""
    moto_tables.put("messages", message(1))
    known = parse_mapping(moto_tables.mapping_text(MAPPING), "m")
    role = Role("arn:aws:iam::444455556666:role/reader", "secret")
    source = open_items("dynamodb:", "acme", items=Items(known), policy=QUICK, role=role)
    assert isinstance(source, TableSource)
    keys: list[str] = []

    def note(request_signer: Any, **_: Any) -> None:
        keys.append(request_signer._credentials.access_key)

    source._tables.client.meta.events.register("before-sign.dynamodb", note)
    with pytest.raises(SourceMissing):  # another account has other tables
        list(batches(source, Pass.RECENT, Entity.MESSAGES))
    assert keys[0].startswith("ASIA")


# --- what a real endpoint does not do on demand --------------------------------------------------------------------


class Scripted:
    """A client whose answers are given: pages, or errors to raise."""

    def __init__(self, *answers: Any) -> None:
        self.answers = list(answers)
        self.queries: list[dict[str, Any]] = []

    def query(self, **query: Any) -> dict[str, Any]:
        if query.get("Limit") == 1:  # whether there is any item at all
            return {"Items": [{}]}
        self.queries.append(query)
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return {"ConsumedCapacity": {"CapacityUnits": 1.0}, **answer}


def refusal(code: str, status: int = 400) -> ClientError:
    return ClientError({"Error": {"Code": code}, "ResponseMetadata": {"HTTPStatusCode": status}}, "Query")


def page(*items: dict[str, Any], last: int | None = None) -> dict[str, Any]:
    return {"Items": [*items], **({"LastEvaluatedKey": {"sort": {"S": f"M#m{last}"}}} if last is not None else {})}


def scripted(
    *answers: Any, policy: RetryPolicy = QUICK, known: ItemMapping | None = None
) -> tuple[TableSource, Scripted]:
    """A source of messages only, so that no question is asked but for those."""
    client = Scripted(*answers)
    only = known or replace(mapping(), entities=mapping().entities[1:2])
    tables = Tables(client, policy, ReadBudget(None))
    return TableSource(tables, only, "acme", recent_days=30), client


def remaining(source: TableSource) -> list[str]:
    """The ids of the remaining pass; what is recent was found before."""
    source._parents[WINDOW.since] = Parents()
    return ids(source, Pass.REMAINING, Entity.MESSAGES)


OLD: dict[str, Any] = {"created": OLD_MILLISECONDS}


def test_empty_pages() -> None:
    """A page without items is not the end: only a missing last key is."""
    source, client = scripted(page(last=1), page(last=2), page(message(3, **OLD), last=3), page())
    assert remaining(source) == ["m3"]
    assert [query.get("ExclusiveStartKey", {}).get("sort", {}).get("S") for query in client.queries] == [
        None,
        "M#m1",
        "M#m2",
        "M#m3",
    ]


def test_tables_have_no_delta() -> None:
    """A delta comes from incremental exports, which the message says."""
    source, _ = scripted()
    with pytest.raises(DumpNotFound, match="export them incrementally"):
        source.plan(Pass.DELTA)


def test_throttling_passes() -> None:
    """A throttled request is made again."""
    busy = refusal("ProvisionedThroughputExceededException")
    source, _ = scripted(
        busy, refusal("ThrottlingException"), EndpointConnectionError(endpoint_url="x"), page(message(1, **OLD))
    )
    assert remaining(source) == ["m1"]


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (refusal("ProvisionedThroughputExceededException"), SourceUnavailable),
        (refusal("ExpiredTokenException", 400), SourceDenied),
        (refusal("AccessDeniedException"), SourceDenied),
        (EndpointConnectionError(endpoint_url="x"), SourceUnavailable),
    ],
)
def test_what_stays(error: Exception, kind: type[S3ImportError]) -> None:
    """What does not pass ends the run with an error of its kind that names the table."""
    source, _ = scripted(*[error] * 5, policy=replace(QUICK, retry_seconds=0))
    with pytest.raises(kind, match="the table messages"):
        remaining(source)


def test_binary_values_are_rejects() -> None:
    """Binary in a text field is named as in an export."""
    source, _ = scripted(page(message(1, body={"B": b"\0\1"}, **OLD)))
    source._parents[WINDOW.since] = Parents()
    [batch] = batches(source, Pass.REMAINING, Entity.MESSAGES)
    assert [fault.reason.code for fault in batch.faults] == ["wrong_type"]
    assert b'"B":"AAE="' in batch.raw([0])[0]


def test_what_comes_later_is_left() -> None:
    """What was created after the first run began is in neither pass."""
    later: dict[str, Any] = {"created": 1795000000000}
    source, _ = scripted(*[page(message(1), message(2, **later), message(3, **OLD))] * 2)
    assert ids(source, Pass.RECENT, Entity.MESSAGES) == ["m1"]
    assert ids(source, Pass.REMAINING, Entity.MESSAGES) == ["m3"]


@pytest.mark.parametrize("created", [1790000000000, -5, 7258118400])
def test_times_that_are_none_are_read(created: int) -> None:
    """What was created outside of the years 1970 to 2199 is not taken for what comes later: it is a reject."""
    text = MAPPING.replace('time = "milliseconds"', 'time = "seconds"')
    only = parse_mapping(text, "m")
    source, _ = scripted(*[page(message(1, created=created))] * 2, known=replace(only, entities=only.entities[1:2]))
    found = [batch for pass_ in HALVES for batch in batches(source, pass_, Entity.MESSAGES)]
    rejects = [reject for batch in found for reject in check(batch, Entity.MESSAGES, "acme").rejects]
    assert [reason.code for reject in rejects for reason in reject.reasons] == ["invalid_timestamp"]


def test_no_thread_is_missed_while_a_table_changes() -> None:
    """A message that shows up between the passes, of an earlier time, takes no old thread out of the remaining pass."""
    old, late = thread(1, created=OLD_TEXT), message(1)
    source, _ = scripted(page(), page(old), known=mapping())
    source._parents[WINDOW.since] = Parents()
    assert ids(source, Pass.RECENT, Entity.THREADS) == []
    source, _ = scripted(page(old), page(late), page(late), known=mapping())
    assert ids(source, Pass.REMAINING, Entity.THREADS) == ["t1"]


def test_the_order_of_creation_saves_reading() -> None:
    """Where items are in order, the recent pass reads from the newest, and neither pass reads on in the other's."""
    text = MAPPING.replace('prefix = "M#" }', 'prefix = "M#", in_order = true }')
    known = parse_mapping(text, "m")
    only = replace(known, entities=known.entities[1:2])
    old, new = page(message(1, **OLD), last=1), page(message(2), last=2)
    source, client = scripted(new, old, old, new, known=only)
    first = list(batches(source, Pass.RECENT, Entity.MESSAGES, block_bytes=1))
    assert [batch.records["id"].to_pylist() for batch in first] == [["m2"], []]
    assert all(not query["ScanIndexForward"] for query in client.queries)
    del client.queries[:]
    second = list(batches(source, Pass.REMAINING, Entity.MESSAGES, block_bytes=1))
    assert [batch.records["id"].to_pylist() for batch in second] == [["m1"], []]
    assert all(query["ScanIndexForward"] for query in client.queries)


def in_order() -> ItemMapping:
    """The mapping of messages and threads, both in the order of their creation."""
    text = MAPPING.replace('prefix = "M#" }', 'prefix = "M#", in_order = true }').replace(
        'key = { attribute = "account", value = "{account}" }\n',
        'key = { attribute = "account", value = "{account}" }\nsort = { attribute = "created", in_order = true }\n',
        1,
    )
    known = parse_mapping(text, "m")
    return replace(known, entities=known.entities[:2])


@pytest.mark.parametrize("odd", [{"S": "noon"}, {"N": "-5"}, {"N": "99999999999999999"}])
def test_pages_without_a_time_in_order(odd: dict[str, str]) -> None:
    """Items whose time is none hide nothing behind them, at either end, and are rejects of a pass themselves."""
    known = in_order()
    new, odd_new = page(message(3), last=3), page(message(4, created=odd), last=4)
    old, odd_old = page(message(2, **OLD), last=2), page(message(1, created=odd), last=1)
    backwards = [odd_new, new, old]
    source, _ = scripted(*backwards, known=replace(known, entities=known.entities[1:]))
    assert ids(source, Pass.RECENT, Entity.MESSAGES) == ["m4", "m3"]
    source, _ = scripted(odd_old, old, new, known=replace(known, entities=known.entities[1:]))
    found = [
        id_
        for batch in batches(source, Pass.REMAINING, Entity.MESSAGES, block_bytes=1)
        for id_ in batch.records["id"].to_pylist()
    ]
    assert found == ["m1", "m2"]


def test_parents_are_looked_for_no_further_than_they_lie() -> None:
    """The recent pass of threads in order ends with the last one that a recent message takes along."""
    old = {"created": OLD_TEXT}
    new, border = page(thread(9), thread(8)), page()
    older = [page(thread(n, **old), last=n) for n in range(7, 0, -1)]
    source, client = scripted(page(message(1, thread="t6")), new, border, *older, known=in_order())
    assert ids(source, Pass.RECENT, Entity.THREADS) == ["t9", "t8", "t6"]
    assert len(client.queries) == 1 + 4


def test_what_is_read_in_order(served: Served) -> None:
    """Of a table in order the recent pass reads what is recent and little beyond it, then the other one everything."""
    text = served.mapping_text(MAPPING).replace('prefix = "M#" }', 'prefix = "M#", in_order = true }')
    items = [message(n, sort=f"M#{n:04}", **({} if n >= 180 else OLD)) for n in range(200)]
    for some in range(0, 200, 25):
        served.put_all("messages", *items[some : some + 25])
    known = parse_mapping(text, "m")
    source = opened(replace(known, entities=known.entities[1:2]))
    assert isinstance(source, TableSource)
    read: list[int] = []

    def note(parsed: dict[str, Any], **_: Any) -> None:
        read.append(len(parsed["Items"]) if parsed.get("Count", 0) > 1 else 0)

    source._tables.client.meta.events.register("after-call.dynamodb.Query", note)
    found = [ids(source, pass_, Entity.MESSAGES) for pass_ in HALVES]
    assert [len(one) for one in found] == [20, 180]
    assert sum(read) == 100 + 200


def test_a_budget_holds_for_other_processes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a process of the same command used is waited for in this one."""
    budget = ReadBudget(10, tmp_path / "used")
    child = get_context("spawn").Process(target=budget.spend, args=(600,))
    child.start()
    child.join()
    slept: list[float] = []
    monkeypatch.setattr("s3import.readers.dynamodb.budget.time.sleep", slept.append)
    budget.wait()
    assert 0 < slept[0] <= 60


def test_a_budget_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """A request waits until what the earlier ones used is paid off, whoever made them."""
    now = [100.0]
    slept: list[float] = []
    monkeypatch.setattr("s3import.readers.dynamodb.budget.time.monotonic", lambda: now[0])
    monkeypatch.setattr("s3import.readers.dynamodb.budget.time.sleep", slept.append)
    budget = ReadBudget(10)
    budget.wait()
    budget.spend(5)
    budget.spend(10)
    now[0] += 0.5
    budget.wait()
    assert slept == [pytest.approx(1.0)]
