"""The records of docs/reference/dump-format.md as Arrow schemas, and the frozen values that cross layers.

A reader yields a `Batch` whose columns have the types of `SCHEMAS`: text, timestamps still as text, whole numbers as
int64. The validators turn it into a table of the same columns whose timestamps are ``timestamp[us, UTC]`` and whose
every value is right; the mapping turns that into the rows of a table.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from itertools import takewhile

import pyarrow as pa


class Entity(StrEnum):
    """What a record is, in the order in which parents come before children."""

    THREADS = "threads"
    MESSAGES = "messages"
    ATTACHMENTS = "attachments"
    DELETIONS = "deletions"

    @property
    def earlier(self) -> tuple[Entity, ...]:
        """The entities that are imported before this one."""
        return tuple(takewhile(lambda one: one is not self, Entity))


ROW_ENTITIES = (Entity.THREADS, Entity.MESSAGES, Entity.ATTACHMENTS)
"""The entities whose records become rows; a deletion takes some of them away."""


class Pass(StrEnum):
    """The two halves of a dump, in the order in which they are imported, and what changed since."""

    RECENT = "recent"
    REMAINING = "remaining"
    DELTA = "delta"


HALVES = (Pass.RECENT, Pass.REMAINING)
"""The passes that every account goes through, once each."""


MAX_LINE_BYTES = 16 * 1024 * 1024  # without the line's end
MAX_BATCH_ROWS = 32 * 1024  # however small they are: what is noted of each takes memory
MAX_RAW_BYTES = 64 * 1024  # how much of a reject's text is kept
MAX_ID_LENGTH = 255  # code points
MAX_IGNORED_FIELDS = 1000  # names kept of one batch, and of one part: there may be a new name in every record

REPLACEMENT = "\N{REPLACEMENT CHARACTER}"  # for what cannot be stored
LONE_SURROGATE = re.compile("[\ud800-\udfff]")  # after parsing: pairs have become one character

TEXT = pa.string()
TIMESTAMP = pa.timestamp("us", tz="UTC")
CUSTOM_FIELD = pa.struct([("name", TEXT), ("value", TEXT)])
CUSTOMER = pa.struct([(name, TEXT) for name in ("id", "name", "email", "phone")])
AUTHOR = pa.struct([(name, TEXT) for name in ("type", "id", "name", "email", "phone")])
TELEPHONY = pa.struct(
    [
        ("call_id", TEXT),
        ("from", TEXT),
        ("to", TEXT),
        ("duration_seconds", pa.int64()),
        ("disposition", TEXT),
        ("recording_key", TEXT),
        ("transcript", TEXT),
    ]
)

SCHEMAS: dict[Entity, pa.Schema] = {
    Entity.THREADS: pa.schema(
        [
            ("id", TEXT),
            ("account_id", TEXT),
            ("brand_id", TEXT),
            ("channel_id", TEXT),
            ("subject", TEXT),
            ("status", TEXT),
            ("tags", pa.list_(TEXT)),
            ("custom_fields", pa.list_(CUSTOM_FIELD)),
            ("customer", CUSTOMER),
            ("assignee_id", TEXT),
            ("created_at", TEXT),
            ("updated_at", TEXT),
        ]
    ),
    Entity.MESSAGES: pa.schema(
        [
            ("id", TEXT),
            ("account_id", TEXT),
            ("thread_id", TEXT),
            ("kind", TEXT),
            ("direction", TEXT),
            ("visibility", TEXT),
            ("author", AUTHOR),
            ("body", TEXT),
            ("body_html", TEXT),
            ("telephony", TELEPHONY),
            ("created_at", TEXT),
            ("updated_at", TEXT),
        ]
    ),
    Entity.ATTACHMENTS: pa.schema(
        [
            ("id", TEXT),
            ("account_id", TEXT),
            ("message_id", TEXT),
            ("filename", TEXT),
            ("content_type", TEXT),
            ("size_bytes", pa.int64()),
            ("sha256", TEXT),
            ("key", TEXT),
            ("url", TEXT),
            ("created_at", TEXT),
            ("updated_at", TEXT),
        ]
    ),
    Entity.DELETIONS: pa.schema([("entity", TEXT), ("id", TEXT), ("deleted_at", TEXT)]),
}
"""The record schemas, by entity: column names are the contract's, every column may be null."""

REQUIRED: dict[Entity, tuple[str, ...]] = {
    Entity.THREADS: ("id", "account_id", "brand_id", "channel_id", "status", "created_at"),
    Entity.MESSAGES: ("id", "account_id", "thread_id", "kind", "direction", "created_at"),
    Entity.ATTACHMENTS: ("id", "account_id", "message_id", "filename", "created_at"),
    Entity.DELETIONS: ("entity", "id", "deleted_at"),
}
ID_FIELDS = frozenset({"id", "account_id", "brand_id", "channel_id", "thread_id", "message_id"})
TIMESTAMP_FIELDS = ("created_at", "updated_at", "deleted_at")
EARLIEST = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
TOO_LATE = dt.datetime(2200, 1, 1, tzinfo=dt.UTC)  # the first instant after the last that is right

STATUSES = {
    "open": "unresolved",
    "pending": "pending",
    "resolved": "resolved",
    "spam": "spam",
    "archived": "archived",
    "on_hold": "on_hold",
}
ORIGINS = {
    "email": "email",
    "chat": "chat",
    "sms": "sms",
    "call": "voice",
    "voicemail": "voice",
    "facebook": "facebook",
    "messenger": "facebook",
    "instagram": "instagram",
    "twitter": "twitter",
    "whatsapp": "whatsapp",
    "form": "contact_form",
    "note": "api",
}
VISIBILITIES = {"regular": "regular", "internal": "internal_note"}
DIRECTIONS = ("inbound", "outbound")
AUTHOR_TYPES = ("customer", "staff", "bot", "system")
VOCABULARY: dict[str, tuple[str, ...]] = {
    "status": tuple(STATUSES),
    "kind": tuple(ORIGINS),
    "direction": DIRECTIONS,
    "visibility": tuple(VISIBILITIES),
    "author.type": AUTHOR_TYPES,
    "entity": ROW_ENTITIES,
}
"""The words that Conversations may use, by field; `STATUSES`, `ORIGINS`, `VISIBILITIES` turn them into Re:amaze's."""


@dataclass(frozen=True, slots=True, order=True)
class Position:
    """A place between two records of a part, where reading can start again.

    `offset` counts bytes of decompressed text (JSON Lines) or rows (Parquet) before the place; `line` counts the
    lines (JSON Lines, blank ones included) or rows before it, so that the next record's line is ``line + 1``.
    `cursor` is a table's own word for the place (DynamoDB's LastEvaluatedKey as JSON), where it has one.
    """

    offset: int = 0
    line: int = 0
    cursor: str | None = None


@dataclass(frozen=True, slots=True)
class Reason:
    """Why a record is set aside: a reject code, the field (dotted path; None: the whole record) and a sentence.

    The sentence never holds the record's own text.
    """

    code: str
    field: str | None
    message: str


@dataclass(frozen=True, slots=True)
class Fault:
    """A `Reason` found while reading, and the row (from 0, within its batch) it belongs to.

    A fault without a field means that nothing of the record could be read; all columns of the row are then null and
    no further check is made. A fault with a field means that this field's value was unusable and is null instead.
    """

    row: int
    reason: Reason


@dataclass(frozen=True, slots=True)
class Reject:
    """A record that is not imported: its line (from 1), id where there is one, reasons, and raw text (<= 64 KiB)."""

    line: int
    id: str | None
    reasons: tuple[Reason, ...]
    raw: str
    raw_truncated: bool


@dataclass(frozen=True, slots=True)
class Batch:
    """Consecutive records of one part, as read: one row a record, readable or not.

    `records`: a table of the entity's `SCHEMAS` type, all text valid UTF-8; `lines`: int64, each row's line (from 1);
    `faults`: what the reader could not take as it stood; `sanitised`: rows in which the reader already replaced
    a lone surrogate in free text by U+FFFD; `raw`: gives the raw bytes of the rows asked for;
    `start` and `end`: the places before and after it; `bytes_done`: bytes of the stored object consumed up to `end`;
    `ignored_fields`: names that the contract does not know, as ``messages.foo``; `last`: surely nothing follows (False:
    something may).
    """

    records: pa.Table
    lines: pa.Int64Array
    raw: Callable[[Sequence[int]], list[bytes]]
    start: Position
    end: Position
    bytes_done: int
    faults: tuple[Fault, ...] = ()
    sanitised: frozenset[int] = field(default_factory=frozenset)
    ignored_fields: frozenset[str] = field(default_factory=frozenset)
    last: bool = False


@dataclass(frozen=True, slots=True)
class Served:
    """The headers that an object is served with, where its store keeps any."""

    content_type: str | None = None
    content_encoding: str | None = None
    cache_control: str | None = None


@dataclass(frozen=True, slots=True)
class StoredObject:
    """An object of a source as it was listed: key relative to the source, size in bytes, and its version's ETag.

    `served` is known of what was looked for by its key, and tells no versions apart.
    """

    key: str
    size_bytes: int
    etag: str
    served: Served = field(default=Served(), compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Window:
    """Which pass a part that is not divided in passes is read for, and the instants that divide it.

    What was created from `since` on is recent, the rest remaining. What was created from `until` on had not been when
    the account's first run began: a table that is written to while it is read gives nothing of it.
    """

    pass_: Pass
    since: dt.datetime
    until: dt.datetime

    def __str__(self) -> str:
        return f"{self.pass_} {self.since.isoformat()}/{self.until.isoformat()}"

    @classmethod
    def parse(cls, text: str) -> Window:
        """The window that `str` gave."""
        pass_, _, instants = text.partition(" ")
        since, until = map(dt.datetime.fromisoformat, instants.split("/"))
        return cls(Pass(pass_), since, until)


@dataclass(frozen=True, slots=True)
class PlannedPart:
    """A part as the plan remembers it.

    `key` is relative to the pass's folder (``threads/part-0.jsonl.gz``); `stored` is the object as it was listed;
    `expected_rows` and `expected_sha256` (lower-case hex) are the manifest's word, None where it gives none; `window`
    is None where a part is of one pass as a whole.
    """

    entity: Entity
    key: str
    stored: StoredObject
    expected_rows: int | None = None
    expected_sha256: str | None = None
    window: Window | None = None


@dataclass(frozen=True, slots=True)
class Plan:
    """What one pass consists of: its parts, parents' entities first, and the keys (relative to the pass's folder) of
    objects that are no parts. `from_manifest`: a manifest said so, not merely the listing. Parts that are many are not
    in memory: each look at them reads them again."""

    parts: Sequence[PlannedPart]
    skipped_objects: tuple[str, ...] = ()
    from_manifest: bool = False


@dataclass(frozen=True, slots=True)
class RunOptions:
    """What a run does besides importing records; kept with it, so that whoever resumes or verifies it does the same.

    `files_to`: where the files' bytes go, ``{account}`` in it, None: nowhere; `describe_calls`: calls without a body
    get one made from their telephony.
    """

    files_to: str | None = None
    describe_calls: bool = False


@dataclass(frozen=True, slots=True)
class Brand:
    id: str
    name: str | None


@dataclass(frozen=True, slots=True)
class Channel:
    id: str
    brand_id: str
    kind: str | None
    name: str | None


@dataclass(frozen=True, slots=True)
class AccountDocument:
    """The contents of ``account.json``."""

    id: str
    name: str | None
    brands: tuple[Brand, ...] = ()
    channels: tuple[Channel, ...] = ()


@dataclass(frozen=True, slots=True)
class Checked:
    """What the validators make of a `Batch`.

    `accepted`: the right records, columns as in `SCHEMAS` but those of `TIMESTAMP_FIELDS` as `TIMESTAMP`, lists
    never null; `rows`: int64, each accepted record's row in the batch; `sanitised`: bool, whether free text of that
    record was repaired; `rejects`: the others.
    """

    accepted: pa.Table
    rows: pa.Int64Array
    sanitised: pa.BooleanArray
    rejects: tuple[Reject, ...]


@dataclass(frozen=True, slots=True)
class Written:
    """What became of a batch's accepted rows in the database: ``written + unchanged + len(rejected)`` is their number.

    `rejected` maps the index of a row to its reasons (a parent that is not there, a deletion in the target).
    `winners`: the indices of the rows that were written, None where all were and none of them replaced another.
    Of deletions those are written that hold from now on, unchanged those that say nothing new.
    """

    written: int
    unchanged: int
    rejected: dict[int, tuple[Reason, ...]] = field(default_factory=dict)
    winners: frozenset[int] | None = field(default=None, compare=False)


def one_array(column: pa.ChunkedArray) -> pa.Array:
    """A table's column as a single array, copied only where it lies in several chunks."""
    return column.chunk(0) if column.num_chunks == 1 else column.combine_chunks()
