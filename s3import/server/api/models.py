"""The bodies that the API takes, and the documents that it gives, as its OpenAPI description shows them.

Only what is taken is checked against these; what is given is built elsewhere, and the tests hold the two together.
"""

from __future__ import annotations

import datetime as dt
from enum import StrEnum
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, WithJsonSchema

from s3import.core.accounts import AccountStatus
from s3import.core.errors import RejectCode
from s3import.core.explanations import explain
from s3import.core.history import Happened
from s3import.core.ids import ACCOUNT_ID_SCHEMA, ID_SCHEMA
from s3import.core.json_schemas import SCHEMA_NAMES
from s3import.core.records import Pass
from s3import.readers.sources.allowed import MAX_SOURCE_LENGTH
from s3import.reporting.notify.notice import Kind
from s3import.reporting.progress import StageState
from s3import.status import State

_ID = {**ID_SCHEMA, "examples": ["b1"]}
_ACCOUNT_ID = {**ACCOUNT_ID_SCHEMA, "examples": ["acme"]}
_RUN_ID = {"type": "string", "pattern": "^[0-9a-f]{32}$", "examples": ["0f3c5a2f6a7e4a1c9d53b7a0c2d4e6f8"]}

AccountId = Annotated[str, WithJsonSchema(_ACCOUNT_ID)]
"""Checked by the operations, which say `invalid_account_id`."""
Id = Annotated[str, WithJsonSchema(_ID)]
SchemaName = Annotated[str, WithJsonSchema({"type": "string", "enum": [*SCHEMA_NAMES]})]
RunId = Annotated[str, WithJsonSchema(_RUN_ID)]
Next = Annotated[str | None, Field(description="Ask with it as `after` for the next page; null: there is none.")]
Count = Annotated[int, Field(ge=0)]
FreeText = Annotated[str | None, Field(description="Free text; a NUL in it is stored as U+FFFD.")]


class PassWanted(StrEnum):
    RECENT = "recent"
    REMAINING = "remaining"
    ALL = "all"
    DELTA = "delta"


class StatusWanted(StrEnum):
    ACTIVE_RECENT_ONLY = "active-recent-only"
    ACTIVE = "active"


class Idle(StrEnum):
    """Why there is nothing to do."""

    ALREADY_IMPORTED = "already-imported"
    ALREADY_ACTIVE = "already-active"


OptionalPass = Annotated[
    PassWanted | None,
    Field(
        alias="pass",
        description="Left out, or `all`: whatever of recent and remaining is left to do, one after the other. `delta`: "
        "what changed since, each time anew.",
    ),
]
Source = Annotated[
    str | None,
    Field(
        max_length=MAX_SOURCE_LENGTH,
        examples=["s3://dumps/conversations/{account}"],
        description="At or below the configured source, or one that the operator allows; left out: the configured one. "
        "`{account}` stands for the account id.",
    ),
]
Again = Annotated[
    bool | None,
    Field(
        strict=True,
        description="Read passes that were imported before once more: what was repaired comes in, newer replaces "
        "older, nothing deleted comes back. Without a `source` from where they were read last.",
    ),
]


class _Taken(BaseModel):
    model_config = ConfigDict(extra="forbid")


def _reject_code(text: str) -> str:
    if text not in RejectCode.ALL:
        raise ValueError("is no code of a reject")
    return text


RejectCodeWanted = Annotated[
    str, AfterValidator(_reject_code), WithJsonSchema({"type": "string", "enum": sorted(RejectCode.ALL)})
]


class NewAccount(_Taken):
    model_config = ConfigDict(json_schema_extra={"examples": [{"id": "acme", "name": "Acme Ltd"}]})
    id: AccountId
    name: FreeText = None


class NewBrand(_Taken):
    model_config = ConfigDict(json_schema_extra={"examples": [{"id": "b1", "name": "Acme Shop"}]})
    id: Id
    name: FreeText = None


class NewChannel(_Taken):
    model_config = ConfigDict(
        json_schema_extra={"examples": [{"id": "c1", "brand_id": "b1", "kind": "email", "name": "Support"}]}
    )
    id: Id
    brand_id: Id
    kind: FreeText = None
    name: FreeText = None


class AccountUpdate(_Taken):
    model_config = ConfigDict(json_schema_extra={"examples": [{"status": "active-recent-only"}]})
    status: StatusWanted


class NewMigration(_Taken):
    model_config = ConfigDict(json_schema_extra={"examples": [{"account_id": "acme", "pass": "recent"}]})
    account_id: AccountId
    pass_: OptionalPass = None
    source: Source = None
    again: Again = None


# --- what is given -----------------------------------------------------------------------------------------------


class Account(BaseModel):
    id: str
    name: str | None
    status: AccountStatus
    created_at: dt.datetime
    updated_at: dt.datetime


class Brand(BaseModel):
    id: str
    name: str | None


class Channel(BaseModel):
    id: str
    brand_id: str
    kind: str | None
    name: str | None


class Migration(BaseModel):
    """The run that a request is about."""

    run_id: RunId
    state: State


class Ignored(BaseModel):
    """Why there is nothing to do."""

    ignored: Idle


class Stage(BaseModel):
    """One of the things that a pass consists of."""

    name: Annotated[str, Field(examples=["messages"])]
    state: StageState
    done: Count
    total: Annotated[Count | None, Field(description="Null: not known yet.")]
    unit: Annotated[str, Field(examples=["bytes", "records", "files"])]


class Progress(BaseModel):
    parts_total: Count
    parts_done: Count
    bytes_total: Count
    bytes_done: Count
    fraction: Annotated[float, Field(ge=0, le=1)]
    rows_per_second: float | None
    eta_seconds: Annotated[float | None, Field(description="Null: nobody can tell yet. Never 0 before the end.")]
    stage: Annotated[str | None, Field(description="The stage at work, or where the run stopped.")]
    stages: list[Stage]
    last_sign_of_life_at: Annotated[dt.datetime | None, Field(description="By the database's clock.")]


class Counts(BaseModel):
    """Always: read = written + unchanged + rejected."""

    read: Count
    written: Count
    unchanged: Count
    rejected: Count
    sanitised: Count


class CountsByEntity(BaseModel):
    threads: Counts
    messages: Counts
    attachments: Counts
    deletions: Annotated[Counts | None, Field(description="Where there are any.")] = None


class Files(BaseModel):
    total: Count
    copied: Count
    failed: Count
    bytes: Count


class Rejects(BaseModel):
    total: Count
    by_code: Annotated[dict[str, Count], Field(examples=[{"missing_field": 2}])]
    resolved: Annotated[
        Count, Field(description="Of `total` those that deltas have brought in since, where there are any.")
    ] = 0


class RunError(BaseModel):
    code: str
    message: str


class VerifiedEntity(BaseModel):
    expected: Count
    found: Count
    missing: Count
    unexpected: Count
    different: Count
    changed_since: Count
    deleted_since: Count
    created_since: Count


class PassVerified(BaseModel):
    """What `s3import verify` found when it last compared the dump with the database."""

    verified_at: dt.datetime
    differences: Count
    rejected: Annotated[Count, Field(description="Records that were not imported, and so are not expected.")] = 0
    counts: dict[str, VerifiedEntity]
    digests: Annotated[
        dict[str, str],
        Field(description="Over the rows of each table, as `s3import certificate` compares them.", examples=[{}]),
    ] = {}


class Span(BaseModel):
    """From the tenth to the ninetieth percentile of what may come."""

    low: Annotated[float, Field(ge=0)]
    expected: Annotated[float, Field(ge=0)]
    high: Annotated[float, Field(ge=0)]


class PassStatus(BaseModel):
    run_id: RunId
    state: State
    source: str
    requested_at: dt.datetime
    started_at: dt.datetime | None
    finished_at: dt.datetime | None
    attempts: Count
    progress: Progress
    counts: CountsByEntity
    files: Files
    rejects: Rejects
    ignored_fields: list[str]
    skipped_objects: list[str]
    keys: Annotated[
        Literal["rows", "sets"] | None,
        Field(description="How its foreign keys are checked: in `sets` or by `rows`; null before it is planned."),
    ]
    error: RunError | None
    verified: PassVerified | None = None
    estimate: Annotated[
        Span | None,
        Field(description="Seconds that it was expected to take, before it began; null: nobody could tell."),
    ]


class Passes(BaseModel):
    recent: PassStatus | None
    remaining: PassStatus | None
    delta: Annotated[PassStatus | None, Field(description="The last one, where there is any.")] = None


class StatusDocument(BaseModel):
    """How far an account is, all of it at one moment."""

    account_id: str
    account_status: AccountStatus | None
    passes: Passes


class MigrationStatus(PassStatus):
    """A run as a list shows it."""

    account_id: str
    account_status: Annotated[AccountStatus | None, Field(description="Null: the account is gone.")]
    pass_: Annotated[Pass, Field(alias="pass")]


class RunPage(BaseModel):
    items: list[MigrationStatus]
    next: Next


class AccountPage(BaseModel):
    items: list[Account]
    next: Next


class Reason(BaseModel):
    code: str
    field: str | None
    message: str


class Reject(BaseModel):
    pass_: Annotated[Pass, Field(alias="pass")]
    entity: str
    part: str
    line: Annotated[int, Field(ge=1, description="From 1; in Parquet the row.")]
    id: str | None
    reasons: list[Reason]
    raw: Annotated[
        str | None, Field(description="The record's own text, up to 64 KiB; null: kept of a run's first rejects only.")
    ]
    raw_truncated: bool


class RejectPage(BaseModel):
    items: list[Reject]
    next: Next


class Event(BaseModel):
    """What happened to a run, or (without a `run_id`) to the account's migration as a whole."""

    at: dt.datetime
    event: Happened
    run_id: RunId | None
    pass_: Annotated[Pass | None, Field(alias="pass")]
    actor: Annotated[str | None, Field(description="A token by the first digits of its SHA-256, or user and host.")]
    attempt: Annotated[int | None, Field(ge=1)]
    code: Annotated[str | None, Field(description="Of what failed or was cancelled; `differences`: of `verified`.")]


class EventPage(BaseModel):
    items: list[Event]
    next: Next


class Sample(BaseModel):
    """What was done of the stage at work: records (of the stage `files`: files) and bytes."""

    at: dt.datetime
    run_id: RunId
    pass_: Annotated[Pass, Field(alias="pass")]
    stage: str
    records: Count
    bytes: Count


class SamplePage(BaseModel):
    items: list[Sample]
    next: Next


class Part(BaseModel):
    """A part of a pass's newest run, with what became of its records so far."""

    pass_: Annotated[Pass, Field(alias="pass")]
    number: Annotated[int, Field(ge=1)]
    entity: str
    key: str
    size_bytes: Count
    bytes_done: Count
    done: bool
    read: Count
    written: Count
    unchanged: Count
    rejected: Count
    sanitised: Count
    rejects_by_code: dict[str, Count]


class PartPage(BaseModel):
    items: list[Part]
    next: Next


class Notice(BaseModel):
    """What became of a run, and the command that may be due now."""

    kind: Kind
    account_id: str
    pass_: Annotated[Pass, Field(alias="pass")]
    run_id: RunId
    state: State
    occurred_at: dt.datetime
    attempts: Count
    duration_seconds: Annotated[float | None, Field(description="From the first attempt to the end, waiting included.")]
    counts: CountsByEntity
    files: Files
    rejects: Rejects
    error: RunError | None
    next: Annotated[str | None, Field(description="The command to run now.")]
    after_repair: Annotated[str | None, Field(description="Of a pass with rejects: what to run on a repaired dump.")]
    notes: Annotated[list[str], Field(description="What of the dump's account.json has no effect, for people.")]


class MigrationEvent(BaseModel):
    """The body of a callback."""

    type: Literal[
        "migration.started", "migration.delayed", "migration.succeeded", "migration.failed", "migration.cancelled"
    ]
    timestamp: dt.datetime
    data: Notice


class Health(BaseModel):
    status: Literal["ok"]
    ready: bool | None = None


class Fault(BaseModel):
    field: str
    message: str


class Problem(BaseModel):
    """RFC 9457. `code` is stable, `type` is the URL that explains it; `title` and `detail` are for people."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "type": explain("account_not_found").url,
                    "title": explain("account_not_found").meaning,
                    "status": 404,
                    "code": "account_not_found",
                    "detail": "there is no account acme; create it first (POST /accounts)",
                    "request_id": "8c1f",
                }
            ]
        }
    )
    type: str
    title: str
    status: int
    code: str
    detail: str
    request_id: str
    errors: Annotated[
        list[Fault] | None, Field(description="The fields that are wrong, with code invalid_request.")
    ] = None
