"""What is asked of an importer, and what becomes of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from s3import.core.errors import S3ImportError
from s3import.core.limits import RejectLimit
from s3import.core.records import Pass


@dataclass(frozen=True, slots=True)
class Request:
    """One account to be moved: which passes, from where, and how many rejects are too many.

    `again`: also passes that were imported before are read; without a `source` then, each from where it was read last.
    """

    account_id: str
    passes: tuple[Pass, ...]
    source: str | None
    limit: RejectLimit = RejectLimit()
    again: bool = False

    @property
    def wanted(self) -> Pass | None:
        """The one pass that was asked for; None: both halves of the dump."""
        return self.passes[0] if len(self.passes) == 1 else None


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a request: the passes that were imported by it, and the error that ended it, if one did."""

    account_id: str
    imported: tuple[Pass, ...] = ()
    rejected: int = 0
    error: S3ImportError | None = None
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Result:
    """An outcome with the document that shows it: the account's status document, or that of a dry run."""

    account_id: str
    document: dict[str, Any]
    imported: tuple[Pass, ...] = ()
    rejected: int = 0
    error: S3ImportError | None = None
    notes: tuple[str, ...] = ()
