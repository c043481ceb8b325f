"""What happens during a migration, told to whoever watches: the terminal, the log, the metrics and the notices."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from s3import.core.records import Entity, Pass


@dataclass(frozen=True, slots=True)
class Waiting:
    """Another process held the run and may be dead; its lease ends in `seconds`."""

    account_id: str
    pass_: Pass
    holder: str
    seconds: float


@dataclass(frozen=True, slots=True)
class WaitingForReset:
    """Another process was taking the account's import back and may be dead; its lease ends in `seconds`."""

    account_id: str
    holder: str
    seconds: float


@dataclass(frozen=True, slots=True)
class RowsRemoved:
    """Of what a reset or a purge takes away so much is gone; `total`: None where nobody has counted."""

    account_id: str
    what: str
    done: int
    total: int | None = None


@dataclass(frozen=True, slots=True)
class Reading:
    """The account's rows of a table are about to be read in one go: so many of `what`."""

    account_id: str
    what: str
    rows: int


@dataclass(frozen=True, slots=True)
class HowFar:
    """How far a run was at an instant (`time.monotonic`, by which all processes of a machine count), as its status
    document says: `fraction` of it is done, 0 to 1; `seconds_left` and `rows_per_second`: None, where nobody knows."""

    at: float
    fraction: float
    seconds_left: float | None
    rows_per_second: float | None


@dataclass(frozen=True, slots=True)
class PassStarted:
    """A run was claimed and planned. The `*_done` numbers are what earlier attempts did already."""

    account_id: str
    pass_: Pass
    run_id: str
    attempts: int
    parts_total: int
    parts_done: int
    bytes_total: int
    bytes_done: int
    read: int
    rejected: int
    how_far: HowFar | None = None


@dataclass(frozen=True, slots=True)
class Advanced:
    """A batch was committed; the numbers are what it added.

    `seconds`: what writing it took, tries included; 0 where nothing was written. `entity`: None in a dry run.
    `how_far`: what was last seen of the run, where somebody watches.
    """

    account_id: str
    pass_: Pass
    read: int
    rejected: int
    bytes: int
    parts: int
    entity: Entity | None = None
    written: int = 0
    unchanged: int = 0
    seconds: float = 0.0
    how_far: HowFar | None = None


@dataclass(frozen=True, slots=True)
class FilesAdvanced:
    """Files were dealt with: of the run's `total` so many are `copied` by now and so many `failed`; `bytes` came along
    since the last word."""

    account_id: str
    pass_: Pass
    total: int
    copied: int
    failed: int
    bytes: int
    how_far: HowFar | None = None


@dataclass(frozen=True, slots=True)
class Retrying:
    """The database failed in passing; the same work is tried again. No `account_id`: all accounts wait for it."""

    account_id: str
    reason: str


@dataclass(frozen=True, slots=True)
class PassEnded:
    """A run succeeded (`error` None) or ended otherwise."""

    account_id: str
    pass_: Pass
    error: str | None


@dataclass(frozen=True, slots=True)
class AccountEnded:
    """Whatever was asked for an account is done (`error` None) or given up."""

    account_id: str
    error: str | None


Event = (
    Waiting
    | WaitingForReset
    | RowsRemoved
    | Reading
    | PassStarted
    | Advanced
    | FilesAdvanced
    | Retrying
    | PassEnded
    | AccountEnded
)
Observer = Callable[[Event], None]
