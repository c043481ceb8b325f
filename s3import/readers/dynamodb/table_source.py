"""DynamoDB tables as a source: an account's items by its key, page by page, in the order of the sort key."""

from __future__ import annotations

import base64
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from itertools import chain
from typing import Any

import orjson
import pyarrow as pa
import pyarrow.compute as pc
from botocore import exceptions as boto
from botocore.config import Config

from s3import.core.errors import (
    ConfigurationError,
    MigrationFailed,
    S3ImportError,
    SourceDenied,
    SourceMissing,
    SourceUnavailable,
)
from s3import.core.logs import in_context
from s3import.core.records import (
    Batch,
    Entity,
    Pass,
    Plan,
    PlannedPart,
    Position,
    StoredObject,
    Window,
    one_array,
)
from s3import.readers.dynamodb.budget import ReadBudget
from s3import.readers.dynamodb.decode import items_batch
from s3import.readers.dynamodb.items import ItemSource
from s3import.readers.dynamodb.joins import Item, add_joined
from s3import.readers.dynamodb.mapping import EntityMapping, ItemMapping
from s3import.readers.dynamodb.passes import (
    NO_IDS,
    PARENTS,
    Parents,
    before,
    in_pass,
    is_recent,
    no_items,
    parents_of_recent,
    reaches,
    unique,
)
from s3import.readers.dynamodb.values import as_base64, line_of
from s3import.readers.dynamodb.zones import Zone, Zones, place_in_zones, zones_from
from s3import.readers.formats.blocks import Block
from s3import.readers.sources import aws_retries
from s3import.readers.sources.aws import client
from s3import.readers.sources.aws_retries import code_of, is_temporary
from s3import.readers.sources.location import no_deltas
from s3import.readers.sources.remedies import shown_code
from s3import.readers.sources.source import RetryPolicy, Role, Source

MAX_KEYS = 100  # in one BatchGetItem
KEY_KINDS = (("S", "N"), ("N", "S"))  # what may refer to an item, and what else may
FIRST_PAGE = 100  # items of what is recent: it may not be many
SCANS = 4  # shards read at once for what is recent in them
TELLING = {"ReturnConsumedCapacity": "TOTAL"}
UNFIT = {  # what keeps a table from being exported, and what to do
    "PointInTimeRecoveryUnavailableException": "turn on its point-in-time recovery",
    "TableNotFoundException": "correct the mapping, AWS_DEFAULT_REGION or --role-arn",
    "LimitExceededException": "wait until other exports are complete",
    "ExportConflictException": "wait until the other export is complete",
}


def connect(policy: RetryPolicy, connections: int, role: Role | None = None) -> Any:
    """A client as `aws.client` makes it, that slows down by itself when it is throttled."""
    config = Config(
        connect_timeout=policy.connect_seconds,
        read_timeout=policy.stall_seconds,
        max_pool_connections=connections,
        retries={"mode": "adaptive", "total_max_attempts": 2},
        tcp_keepalive=True,
    )
    return client("dynamodb", config, role)


@dataclass(frozen=True, slots=True)
class ItemPage:
    """What one request gave: the items, and the key to go on behind (None: there are no more)."""

    items: list[dict[str, Any]]
    last_key: dict[str, Any] | None


@dataclass(frozen=True, slots=True)
class Tables:
    """DynamoDB itself: tried again and paced as agreed."""

    client: Any
    policy: RetryPolicy
    budget: ReadBudget

    def pages(self, query: dict[str, Any], last_key: dict[str, Any] | None) -> Iterator[ItemPage]:
        """The pages of a query behind a key; one may be empty.

        A query with a Limit begins with pages so small, each twice as large as the one before.
        Raises: SourceUnavailable, SourceDenied, SourceMissing; ConfigurationError for a query that cannot be one.
        """
        while True:
            start = {"ExclusiveStartKey": last_key} if last_key else {}
            answer = self.ask(self.client.query, "Query", query["TableName"], {**query, **start, **TELLING})
            last_key = answer.get("LastEvaluatedKey")
            query = {**query, "Limit": 2 * query["Limit"]} if "Limit" in query else query
            yield ItemPage(answer["Items"], last_key)
            if not last_key:
                return

    def fetch(self, table: str, keys: Sequence[Item]) -> Iterator[Item]:
        """Those items of a table that have one of the keys (each given once). A key of another type than the table's
        finds nothing. Raises: as `pages`."""
        for kind, other in KEY_KINDS:
            alike = [key for key in keys if kind in next(iter(key.values()))]
            try:
                yield from self._fetch(table, alike)
            except ConfigurationError:
                if not self._has_keys_of(table, next(iter(alike[0])), other):
                    raise

    def _has_keys_of(self, table: str, attribute: str, kind: str) -> bool:
        try:
            list(self._fetch(table, [{attribute: {kind: "0"}}]))
        except ConfigurationError:
            return False
        return True

    def _fetch(self, table: str, keys: Sequence[Item]) -> Iterator[Item]:
        left = list(keys)
        while left:
            asked, left = left[:MAX_KEYS], left[MAX_KEYS:]
            answer = self.ask(
                self._get_some, "BatchGetItem", table, {"RequestItems": {table: {"Keys": asked}}, **TELLING}
            )
            yield from chain(*answer["Responses"].values())
            unprocessed = _unprocessed(answer)
            if unprocessed:
                time.sleep(self.policy.first_wait_seconds)
            left += unprocessed

    def _get_some(self, **request: Any) -> dict[str, Any]:
        """An answer to some of the keys at least: a table that processes none has too much to do, as if it said so."""
        answer: dict[str, Any] = self.client.batch_get_item(**request)
        [asked] = request["RequestItems"].values()
        if len(_unprocessed(answer)) >= len(asked["Keys"]):
            busy = {"Error": {"Code": "ProvisionedThroughputExceededException", "Message": "no key was processed"}}
            raise boto.ClientError(busy, "BatchGetItem")
        return answer

    def ask(
        self, ask: Callable[..., dict[str, Any]], action: str, table: str, request: dict[str, Any]
    ) -> dict[str, Any]:
        """What DynamoDB answers to a request about a table. Raises: as `pages`; `action` names it in errors."""
        where = f"the table {table}"

        def within_budget() -> dict[str, Any]:
            self.budget.wait()
            answer = ask(**request)
            self.budget.spend(_units(answer.get("ConsumedCapacity")))
            return answer

        refusal = partial(_refusal, action=action, where=where, hint=self._unused_to_arns(table))
        return aws_retries.ask(within_budget, where, self.policy, refusal, "correct the mapping or the AWS settings")

    def _unused_to_arns(self, table: str) -> str:
        """What to say where a table is named by its ARN to an endpoint that is not AWS's."""
        endpoint = str(self.client.meta.endpoint_url) if table.startswith("arn:") else ""
        if not endpoint or ".amazonaws.com" in endpoint:
            return ""
        return f" (the endpoint {endpoint} may not know ARNs as names of tables: give the name alone)"


def _unprocessed(answer: dict[str, Any]) -> list[Item]:
    return [key for left in answer.get("UnprocessedKeys", {}).values() for key in left["Keys"]]


def _units(consumed: Any) -> float:
    """The read units that an answer tells of: of one table, or of each of several."""
    tables = consumed if isinstance(consumed, list) else [consumed or {}]
    return float(sum(table.get("CapacityUnits", 0.0) for table in tables))


class TableSource(ItemSource):
    """The `DumpSource` of an account's items in their tables.

    A part is what one value of the account's key finds. Its place is the key that was evaluated last.
    """

    def __init__(
        self,
        tables: Tables,
        mapping: ItemMapping,
        account_id: str,
        *,
        recent_days: float,
        companion: Source | None = None,
    ) -> None:
        super().__init__("dynamodb:", mapping, account_id, recent_days=recent_days, companion=companion)
        self._tables = tables

    def plan_window(self, window: Window) -> Plan:
        """The parts of the window's pass.

        Raises: DumpNotFound for a delta, which tables do not tell, and where no table has an item of the account: as
        likely as not its key is another.
        """
        if window.pass_ is Pass.DELTA:
            raise no_deltas()
        parts = tuple(part for one in self._mapping.entities for part in self._parts(one, window))
        if not any(self._has_items(part) for part in parts):
            where = f"such as {parts[0].stored.etag} in {parts[0].stored.key}" if parts else "in any table"
            raise no_items(tuple(self._selections.values()), where)
        return Plan(parts, from_manifest=True)

    def read_part(self, part: PlannedPart, start: Position, block_bytes: int) -> Iterator[Batch]:
        """The records that a part's query finds behind `start`, in batches of whole pages of about `block_bytes`."""
        window = part.window
        if window is None:
            query = _query(self._selections[part.entity].mapping, part.stored.etag, backwards=False)
            yield from self._batches(part.entity, query, start, block_bytes)
            return
        # The remaining pass takes the recent ones' older parents once more: a table changes, and what became such a
        # parent only now was not in the recent pass.
        is_recent_pass = window.pass_ is Pass.RECENT
        parents = self._recent_parents(window).of(part.entity) if is_recent_pass else NO_IDS
        # In order, but without zones, what has no right time is of the pass that comes across it before the other
        # pass's items: neither comes across all.
        sort = self._selections[part.entity].mapping.sort
        undated = is_recent_pass if sort and sort.in_order and not sort.time else None
        for zone, batch in self._read(part.entity, part.stored.etag, window, start, block_bytes, parents):
            yield before(in_pass(batch, window, parents, undated=undated, zone=zone), window.until)
            undated = undated and not reaches(batch, window, Pass.REMAINING)

    def table_size(self, part: PlannedPart) -> tuple[int, int]:
        """Items and bytes of the whole table that a part is of, as DynamoDB counted them within the last six hours.

        Raises: as `Tables.pages`.
        """
        table = self._selections[part.entity].mapping.table
        ask = self._tables.client.describe_table
        told = self._tables.ask(ask, "DescribeTable", table, {"TableName": table})["Table"]
        return int(told["ItemCount"]), int(told["TableSizeBytes"])

    def _has_items(self, part: PlannedPart) -> bool:
        query = _query(self._selections[part.entity].mapping, part.stored.etag, backwards=False)
        return any(page.items for page in self._tables.pages({**query, "Limit": 1}, None))

    def _parts(self, mapping: EntityMapping, window: Window) -> Iterator[PlannedPart]:
        place = mapping.table_name + (f"/{mapping.index}" if mapping.index else "")
        for value in mapping.key.values(self._selections[mapping.entity].account_id):
            yield PlannedPart(
                mapping.entity, f"{mapping.entity}/{place}/{value}", StoredObject(place, 0, value), None, None, window
            )

    def _read(
        self, entity: Entity, key_value: str, window: Window, start: Position, block_bytes: int, also: pa.StringArray
    ) -> Iterator[tuple[Zone, Batch]]:
        """A query's items in batches of whole pages, each with its zone. Where they are in the order of their creation
        it begins at the end that the pass is about, and ends as soon as it comes to the other pass's and has found all
        that are needed `also`."""
        mapping, recent = self._selections[entity].mapping, window.pass_ is Pass.RECENT
        query = _query(mapping, key_value, backwards=recent and _is_ordered(mapping))
        missing = set(also.to_pylist())
        if zones := self._zones(mapping, query, window):
            yield from self._read_zones(entity, query, zones, window, start, block_bytes, missing)
            return
        if not _is_ordered(mapping):
            yield from ((Zone.BORDER, batch) for batch in self._batches(entity, query, start, block_bytes))
            return
        small = {"Limit": FIRST_PAGE} if recent else {}
        for batch in self._batches(entity, {**query, **small}, start, 1 if recent else block_bytes):
            missing -= set(batch.records["id"].to_pylist()) if missing else set()
            others = Pass.REMAINING if recent else Pass.RECENT
            over = not missing and reaches(batch, window, others)
            yield Zone.BORDER, replace(batch, last=True) if over else batch
            if over:
                return

    def _zones(self, mapping: EntityMapping, query: dict[str, Any], window: Window) -> Zones | None:
        """How the sort key divides the items; None where it does not, or there are none."""
        sort = mapping.sort
        if sort is None or sort.time is None:
            return None
        if sort.prefix or sort.time == "text":
            return Zones.of(sort, "S", window)
        first = next(self._tables.pages({**query, "Limit": 1}, None)).items  # a number, or its text: any item tells
        return Zones.of(sort, "N" if "N" in first[0][sort.attribute] else "S", window) if first else None

    def _read_zones(
        self,
        entity: Entity,
        query: dict[str, Any],
        zones: Zones,
        window: Window,
        start: Position,
        block_bytes: int,
        missing: set[str],
    ) -> Iterator[tuple[Zone, Batch]]:
        """The items of the pass's zones; of those that the recent pass needs only for what is `missing`, until that is
        found."""
        mine, recent = Zone.of_pass(window.pass_), window.pass_ is Pass.RECENT
        place, cursor = place_in_zones(start.cursor, mine)
        start = replace(start, cursor=cursor)
        for zone, following in zones_from(place, mine):
            is_searched, narrow = recent and zone is Zone.OLD, zones.narrowed(query, zone)
            if is_searched:
                narrow, block_bytes = {**narrow, "Limit": FIRST_PAGE}, 1
            for batch in self._batches(entity, narrow, start, block_bytes):
                missing -= set(batch.records["id"].to_pylist()) if missing else set()
                cursor = following if batch.last else f"{zone} {batch.end.cursor}"
                if recent and not missing and (is_searched or cursor == Zone.OLD):
                    cursor = None
                yield zone, replace(batch, end=replace(batch.end, cursor=cursor), last=cursor is None)
                if cursor is None:
                    return
                start = replace(batch.end, cursor=None)

    def _batches(self, entity: Entity, query: dict[str, Any], start: Position, block_bytes: int) -> Iterator[Batch]:
        """Whole pages, until there are about `block_bytes` of them."""
        lines: list[bytes] = []
        size_bytes = 0
        for page in self._tables.pages(query, _key(start.cursor)):
            add_joined(page.items, self._selections[entity].mapping, self._tables.fetch)
            lines += (line_of(item) + b"\n" for item in page.items)
            size_bytes += sum(map(len, lines[len(lines) - len(page.items) :]))
            if size_bytes >= block_bytes or not page.last_key:
                count = start.line + len(lines)
                end = Position(count, count, _cursor(page.last_key) if page.last_key else None)
                block = Block(b"".join(lines), count - start.line, is_last=not page.last_key)
                yield items_batch(block, self._selections[entity], start, end)
                start, lines, size_bytes = end, [], 0

    # --- what is recent for what is below it -----------------------------------------------------------------------

    def _recent_parents(self, window: Window) -> Parents:
        """Found once, by reading what is recent and has parents."""
        with self._lock:
            if window.since not in self._parents:
                messages = self._older(Entity.MESSAGES, self._parents_of(Entity.ATTACHMENTS, window, NO_IDS), window)
                threads = self._older(Entity.THREADS, self._parents_of(Entity.MESSAGES, window, messages), window)
                self._parents[window.since] = Parents({Entity.MESSAGES: messages, Entity.THREADS: threads})
            return self._parents[window.since]

    def _older(self, entity: Entity, ids: pa.StringArray, window: Window) -> pa.StringArray:
        """Of the ids of an entity's records in ordered shards those that are not recent by themselves: few, or none, so
        that a shard need not be read to its end for what lies in another."""
        mapping = self._mapping.of(entity)
        if not len(ids) or mapping is None or mapping.key.shards == 1 or not _is_ordered(mapping):
            return ids

        def own(zone: Zone, batch: Batch) -> pa.StringArray:
            return one_array(batch.records["id"]).filter(is_recent(batch, window, NO_IDS, zone=zone))

        return ids.filter(pc.invert(pc.is_in(ids, self._scan(entity, window, own, NO_IDS))))

    def _parents_of(self, entity: Entity, window: Window, also_recent: pa.StringArray) -> pa.StringArray:
        """The ids of the parents of an entity's recent records; none where nothing of the parents is imported."""
        if self._mapping.of(PARENTS[entity]) is None:
            return NO_IDS

        def parents(zone: Zone, batch: Batch) -> pa.StringArray:
            return parents_of_recent(batch, entity, window, also_recent, zone)

        return self._scan(entity, window, parents, also_recent)

    def _scan(
        self, entity: Entity, window: Window, ids_of: Callable[[Zone, Batch], pa.StringArray], also: pa.StringArray
    ) -> pa.StringArray:
        """The ids found in an entity's items as far as the recent pass needs them: page by page, shards at once."""
        recent = replace(window, pass_=Pass.RECENT)

        def of_part(part: PlannedPart) -> pa.StringArray:
            batches = self._read(entity, part.stored.etag, recent, Position(), 1, also)
            return unique(ids_of(zone, before(batch, window.until)) for zone, batch in batches)

        mapping = self._mapping.of(entity)
        parts = self._parts(mapping, recent) if mapping else ()
        with ThreadPoolExecutor(SCANS, "recent") as reading:
            scans = [reading.submit(in_context(of_part), part) for part in parts]
            return unique(scan.result() for scan in scans)


def _is_ordered(mapping: EntityMapping) -> bool:
    """Whether its items come in the order of their creation."""
    return mapping.sort is not None and mapping.sort.in_order


def _query(mapping: EntityMapping, key_value: str, *, backwards: bool) -> dict[str, Any]:
    names, values = {"#key": mapping.key.attribute}, {":key": {"N" if mapping.key.is_number else "S": key_value}}
    condition = "#key = :key"
    if mapping.sort and mapping.sort.prefix:
        names["#sort"], values[":prefix"] = mapping.sort.attribute, {"S": mapping.sort.prefix}
        condition += " AND begins_with(#sort, :prefix)"
    query = {
        "TableName": mapping.table,
        "KeyConditionExpression": condition,
        "ExpressionAttributeNames": names,
        "ExpressionAttributeValues": values,
        "ScanIndexForward": not backwards,
    }
    return {**query, "IndexName": mapping.index} if mapping.index else query


def _cursor(key: dict[str, Any]) -> str:
    return orjson.dumps(key, default=as_base64).decode()


def _key(cursor: str | None) -> dict[str, Any] | None:
    """The key that a checkpoint kept."""
    if cursor is None:
        return None
    key: dict[str, Any] = orjson.loads(cursor)
    return {name: {"B": base64.b64decode(value["B"])} if "B" in value else value for name, value in key.items()}


def _refusal(error: boto.ClientError, *, action: str, where: str, hint: str) -> S3ImportError:
    """What an error that DynamoDB itself answered means to the caller; `hint`: what else may be wrong with the name."""
    code = code_of(error)
    said = shown_code(code) + hint  # not its message, which may quote what was asked
    if code == "ResourceNotFoundException":
        return SourceMissing(
            f"{where}, or its index, does not exist: {said}; correct the mapping, AWS_DEFAULT_REGION or --role-arn"
        )
    if is_temporary(error):
        return SourceUnavailable(f"{where} does not answer: {said}; run the same command again")
    if code == "ValidationException":
        return ConfigurationError(f"{where} cannot be asked so: {said}; correct the keys in the mapping")
    if code in UNFIT:
        return MigrationFailed(f"{where} cannot be exported: {said}; {UNFIT[code]}, then run the same command again")
    return SourceDenied(
        f"DynamoDB refuses dynamodb:{action} on {where}: {said}; use credentials that may, or allow it for these, then "
        "run the same command again"
    )
