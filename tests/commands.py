"""What the commands do, each in one call over settings, in this process."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from s3import.core.records import Pass
from s3import.core.settings import Settings
from s3import.operations.composition import connect, opened, opened_telling
from s3import.operations.dry_run import dry_run_accounts
from s3import.operations.files import copy_files, retry_files
from s3import.operations.migrate import migrate
from s3import.operations.purge import purge, purge_expired
from s3import.operations.queue import queue
from s3import.operations.reset import reset
from s3import.operations.validate.validation import validate
from s3import.operations.verify.account import verify
from s3import.reporting.pages import RejectSelection
from s3import.status import Run, State

__all__ = [
    "cancel",
    "connect",
    "copy_files",
    "dry_run_accounts",
    "is_left_alone",
    "migrate",
    "purge",
    "purge_expired",
    "queue",
    "rejects",
    "reset",
    "retry_files",
    "status_document",
    "validate",
    "verify",
]


def status_document(settings: Settings, account_id: str) -> dict[str, Any]:
    """What `s3import status --account` shows."""
    with opened(settings) as operations:
        return operations.status_document(account_id)


def is_left_alone(settings: Settings, account_id: str) -> bool:
    """What `s3import status --watch` says of a queued account."""
    with opened(settings) as operations:
        return operations.is_left_alone(account_id)


def rejects(settings: Settings, account_id: str, passes: Sequence[Pass]) -> Iterator[dict[str, Any]]:
    """What `s3import rejects` lists."""
    with opened(settings) as operations:
        yield from operations.each_reject(account_id, RejectSelection(tuple(passes)))


def cancel(settings: Settings, account_id: str) -> list[tuple[Run, State]]:
    """What `s3import cancel` does."""
    with opened_telling(settings) as operations:
        return operations.cancel_account(account_id)
