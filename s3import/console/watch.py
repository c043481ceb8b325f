"""Looks at how accounts are, one after the other."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

from s3import.console.summary import at_work
from s3import.core.settings import Settings
from s3import.operations.composition import opened
from s3import.status import State

WATCH_SECONDS = 1.0
LOOKS_ALONE = 5  # in a row, before a queued run counts as one that nobody takes


def look(settings: Settings, account: str | None, state: str | None) -> list[dict[str, Any]]:
    """How far the account is, or (None) all that are listed, with that state of a run. Raises: AccountNotFound."""
    with opened(settings) as operations:
        return operations.status_documents(account, State(state) if state else None)


def looks(settings: Settings, account: str | None, state: str | None) -> Iterator[tuple[list[dict[str, Any]], int]]:
    """The documents, each second for as long as somebody is at work, and how many looks in a row, this one included,
    found the account queued and nobody to take it."""
    alone = 0
    while any(map(at_work, documents := look(settings, account, state))):
        alone = alone + 1 if account is not None and _is_left_alone(settings, account) else 0
        yield documents, alone
        time.sleep(WATCH_SECONDS)
    yield documents, 0


def _is_left_alone(settings: Settings, account: str) -> bool:
    with opened(settings) as operations:
        return operations.is_left_alone(account)
