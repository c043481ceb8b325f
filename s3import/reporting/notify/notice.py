"""What is told to the world about a run: its kinds, its channels, and what a notice says."""

from __future__ import annotations

import datetime as dt
import shlex
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from s3import.core.errors import AccountDeleted, TemporaryFailure, can_be_repaired
from s3import.core.logs import redacted
from s3import.reporting.progress import rfc3339, seconds_between
from s3import.status import State

MAX_ERROR_CHARACTERS = 1000


class Kind(StrEnum):
    """What happened to a run. Delayed: it failed in passing and waits for its next attempt, which comes by itself."""

    STARTED = "started"
    DELAYED = "delayed"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"


class NoticeChannel(StrEnum):
    """Where notices go."""

    SLACK = "slack"
    CALLBACK = "callback"


@dataclass(frozen=True, slots=True)
class Notice:
    """One thing to tell on one channel. `id` stays the same however often it is sent; `attempts` counts this one."""

    id: str
    channel: NoticeChannel
    payload: Mapping[str, Any]
    attempts: int


Sender = Callable[[Notice], None]  # Raises: NotDelivered or Refused


class NotDelivered(TemporaryFailure):
    """The other side could not be reached or asked to come back later, after `retry_after` seconds if it said so."""

    code = "not_delivered"

    def __init__(self, message: str, *, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class Refused(NotDelivered):
    """The other side does not want the notice; trying again will hardly change that."""

    code = "refused"


def kind_of(shown: Mapping[str, Any]) -> Kind | None:
    """What the state of a pass says that happened; None for one that only waits for its first attempt."""
    if shown["state"] == State.QUEUED:
        return Kind.DELAYED if shown["error"] else None
    return _KINDS[State(shown["state"])]


_KINDS = {
    State.RUNNING: Kind.STARTED,
    State.SUCCEEDED: Kind.SUCCEEDED,
    State.FAILED: Kind.FAILED,
    State.CANCELLED: Kind.CANCELLED,
}


def payload(kind: Kind, account_id: str, pass_: str, shown: Mapping[str, Any], now: dt.datetime) -> dict[str, Any]:
    """What a notice says, taken from the pass as the status document shows it; nothing of any record.

    `duration_seconds` runs from the first attempt to the end, waiting included, None before that; `next` is the command
    to run now, `after_repair` the one that reads a pass with rejects again once its dump is repaired.
    """
    return {
        "kind": kind.value,
        "account_id": account_id,
        "pass": pass_,
        "run_id": shown["run_id"],
        "state": shown["state"],
        "occurred_at": rfc3339(now),
        "attempts": shown["attempts"],
        "duration_seconds": seconds_between(shown["started_at"], shown["finished_at"]),
        "counts": shown["counts"],
        "files": shown["files"],
        "rejects": shown["rejects"],
        "error": _error(shown["error"]),
        **_commands(kind, f"--account {shlex.quote(account_id)} --pass {pass_}", shown),
    }


def _commands(kind: Kind, place: str, shown: Mapping[str, Any]) -> dict[str, str | None]:
    commands: dict[str, str | None] = {"next": None, "after_repair": None}
    if kind is Kind.SUCCEEDED and shown["rejects"]["total"]:
        commands["next"] = f"s3import rejects {place}"
        if can_be_repaired(shown["rejects"]["by_code"]):
            commands["after_repair"] = f"s3import migrate {place} --again"
    if kind in (Kind.FAILED, Kind.CANCELLED) and (shown["error"] or {}).get("code") != AccountDeleted.code:
        commands["next"] = f"s3import migrate {place}"
    return commands


def _error(error: Mapping[str, str] | None) -> dict[str, str] | None:
    if error is None:
        return None
    return {"code": error["code"], "message": redacted(error["message"])[:MAX_ERROR_CHARACTERS]}
