"""Where something happens, as summaries and the first line of progress name it."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass

from s3import.core.errors import S3ImportError
from s3import.core.settings import Settings
from s3import.importing.requests import Request
from s3import.readers.sources.location import resolve
from s3import.writers.url import shown


@dataclass(frozen=True, slots=True)
class WorkPlace:
    """Where something happens: the database, without its password, and the source (None: each run's own)."""

    database: str
    source: str | None = None

    def __str__(self) -> str:
        return f"from {self.source} into {self.database}" if self.source else f"in {self.database}"


def place_of_account(settings: Settings, account_id: str, source: str | None = None) -> WorkPlace:
    """Where what was imported of an account came from, or `source` instead, and where it is."""
    known = [resolve(source, account_id)] if source else _sources_of(settings, account_id)
    return WorkPlace(shown(settings.database), ", ".join(known) or None)


def place_of(settings: Settings, requests: Sequence[Request] = ()) -> WorkPlace:
    """Where the settings say that something happens; of a single request the source is its account's own."""
    source = settings.source if requests else None
    if len(requests) == 1 and requests[0].source:
        source = resolve(requests[0].source, requests[0].account_id)
    return WorkPlace(shown(settings.database), source)


def _sources_of(settings: Settings, account_id: str) -> list[str]:
    """Where the account's passes were imported from, as far as the database says so."""
    from s3import.operations.composition import opened

    with suppress(S3ImportError), opened(settings) as operations:
        return operations.sources(account_id)
    return []
