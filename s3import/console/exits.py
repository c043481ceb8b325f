"""The exit statuses of docs/reference/exit-statuses.md."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from s3import.core.errors import ConfigurationError, RunIsAlive, S3ImportError, TemporaryFailure

DONE, FAILED, USAGE, SOME_REJECTED, ALIVE, TEMPORARY = 0, 1, 2, 3, 4, 75


def exit_status(result: Any) -> int:
    """The exit status that tells what became of one account."""
    if result.error is not None:
        return status_of(result.error)
    return SOME_REJECTED if result.rejected else DONE


def status_of(error: S3ImportError) -> int:
    """The exit status of an error: the group it belongs to."""
    groups = ((ConfigurationError, USAGE), (RunIsAlive, ALIVE), (TemporaryFailure, TEMPORARY))
    return next((status for kind, status in groups if isinstance(error, kind)), FAILED)


def worst(statuses: Iterable[int]) -> int:
    """One exit status for several accounts: the one that most needs somebody to act."""
    return min(statuses, key=(FAILED, USAGE, TEMPORARY, ALIVE, SOME_REJECTED, DONE).index)
