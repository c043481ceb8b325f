"""How settings become the sources of accounts: dumps, exports, tables."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache, partial
from tempfile import TemporaryDirectory

from s3import.migration import Request, SourceOpener
from s3import.readers.items.budget import ReadBudget
from s3import.readers.items.mapping import read_mapping
from s3import.readers.items.opening import open_items
from s3import.readers.items.shared import Sharing
from s3import.readers.location import ACCOUNT, open_source
from s3import.readers.source import Patience, Role
from s3import.settings import Settings

MAX_ACCOUNTS_AT_ONCE = 8


def source_opener(settings: Settings, workers: int, sharing: Sharing | None = None) -> SourceOpener:
    """Opens the dumps of accounts as patiently as the settings say, for so many parts at once."""
    patience = Patience(retry_seconds=settings.retry_seconds)
    role = role_of(settings)
    connections = workers + MAX_ACCOUNTS_AT_ONCE + (settings.files_in_flight if settings.files_to else 0)
    opener: SourceOpener = partial(open_source, patience=patience, connections=connections, role=role)
    if settings.mapping is not None:
        opener = partial(
            open_items,
            mapping=read_mapping(settings.mapping),
            recent_days=settings.recent_days,
            budget=ReadBudget(settings.max_read_units),
            patience=patience,
            connections=connections,
            role=role,
            sharing=sharing,
        )
    return lru_cache(MAX_ACCOUNTS_AT_ONCE)(opener)  # the passes of an account share what costs time to set up


def role_of(settings: Settings) -> Role | None:
    """The role in which whatever lies in AWS is read; None: as whoever runs this."""
    return Role(settings.role_arn, settings.external_id) if settings.role_arn else None


@contextmanager
def shared(settings: Settings, requests: Sequence[Request]) -> Iterator[Sharing | None]:
    """A folder for sorting an export's items by account, where several accounts are read from one export."""
    if settings.mapping is None or len(requests) < 2 or ACCOUNT in requests[0].source:
        yield None
        return
    with TemporaryDirectory(prefix="s3import-") as folder:
        yield Sharing(folder, tuple(request.account_id for request in requests))
