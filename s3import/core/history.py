"""The diary of an account's migration: what happened to its runs, when, and who did it.

Events are added in the transaction of what they tell of, and never changed. They go when the migration is forgotten.
"""

from __future__ import annotations

import contextvars
import datetime as dt
import getpass
import hashlib
import os
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from enum import StrEnum
from functools import cache

import sqlalchemy as sa
from sqlalchemy import Connection

from s3import.core.tables import import_events

TOKEN_DIGITS = 8


class Happened(StrEnum):
    """What an event tells. A run that is to be tried again by itself has failed, too; a delta that brought in
    records which other passes had rejected has resolved those rejects. Files were copied or retried once that came to
    its end, whatever became of them."""

    ASKED_FOR = "asked_for"
    CLAIMED = "claimed"
    RESUMED = "resumed"
    TAKEN_OVER = "taken_over"
    FAILED = "failed"
    CANCELLED = "cancelled"
    FINISHED = "finished"
    VERIFIED = "verified"
    CERTIFIED = "certified"
    FILES_COPIED = "files_copied"
    FILES_RETRIED = "files_retried"
    RESOLVED = "resolved"
    RESET = "reset"
    PURGED = "purged"


def write(
    connection: Connection,
    account_id: str,
    attempts: Mapping[Happened, int | None],
    *,
    run_id: str | None = None,
    pass_: str | None = None,
    code: str | None = None,
) -> None:
    """Add events, each with the attempt that it was in, in the caller's transaction; no `run_id`: they are of the
    account as a whole."""
    same = {
        "account_id": account_id,
        "run_id": run_id,
        "pass": pass_,
        "at": dt.datetime.now(dt.UTC),
        "actor": actor(),
        "code": code,
    }
    rows = [{**same, "event": event.value, "attempt": attempt} for event, attempt in attempts.items()]
    connection.execute(import_events.insert(), rows)


def forget(connection: Connection, *mine: sa.ColumnElement[bool]) -> None:
    """Remove the events for which all of that holds."""
    connection.execute(import_events.delete().where(*mine))


# --- who -------------------------------------------------------------------------------------------------------------

_actor: contextvars.ContextVar[str | None] = contextvars.ContextVar("actor", default=None)


def actor() -> str:
    """Who acts here: whom `acting_as` names, else the user and the host of this process."""
    return _actor.get() or _operator()


@contextmanager
def acting_as(name: str) -> Iterator[None]:
    """Have what the block does be done by `name`, in this thread or task."""
    before = _actor.set(name)
    try:
        yield
    finally:
        _actor.reset(before)


def token_name(token: str) -> str:
    """How a token is called where the token itself must not stand: by the first digits of its SHA-256."""
    return f"token {hashlib.sha256(token.encode()).hexdigest()[:TOKEN_DIGITS]}"


@cache
def _operator() -> str:
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # a user that the system has no name for
        user = str(os.getuid())
    return f"{user}@{socket.gethostname()}"
