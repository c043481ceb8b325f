"""How settings become the sources of accounts: dumps, exports, tables."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from s3import.core.errors import ConfigurationError, DumpNotFound
from s3import.core.ids import ACCOUNT
from s3import.core.records import Pass
from s3import.core.settings import Settings
from s3import.readers.dump.objects import open_dump
from s3import.readers.dynamodb.budget import ReadBudget
from s3import.readers.sources.location import account_folders
from s3import.readers.sources.source import RetryPolicy, Role

if TYPE_CHECKING:  # a dump needs nothing of DynamoDB, and begins the sooner
    from s3import.readers.dynamodb.shared import Sharing
    from s3import.readers.sources.source import SourceOpener


MAX_ACCOUNTS_AT_ONCE = 8


@dataclass(frozen=True, slots=True)
class Shared:
    """What the accounts of one command share, in however many processes: what may be read of tables and, where one
    export holds several of them, the folder with its items by account."""

    budget: ReadBudget
    sharing: Sharing | None = None


@contextmanager
def shared_by(settings: Settings, accounts: Sequence[str] | None) -> Iterator[Shared]:
    """What these accounts (None: all there are) share, for as long as the block runs."""
    if settings.mapping is None or (accounts is not None and len(set(accounts)) < 2):
        yield Shared(ReadBudget(settings.max_read_units if settings.mapping else None))
        return
    from s3import.readers.dynamodb.shared import Sharing

    with TemporaryDirectory(prefix="s3import-") as folder:
        budget = ReadBudget(settings.max_read_units, Path(folder, "used"))
        sharing = Sharing(folder, None if accounts is None else frozenset(accounts))
        yield Shared(budget, None if ACCOUNT in (settings.source or "") else sharing)


def source_opener(settings: Settings, workers: int, shared: Shared | None = None) -> SourceOpener:
    """Opens the dumps of accounts with the retries that the settings say, for so many parts at once."""
    access = _access(settings, workers)
    opener: SourceOpener = partial(open_dump, **access)
    if settings.mapping is not None:
        from s3import.readers.dynamodb.mapping import read_mapping
        from s3import.readers.dynamodb.opening import Items, open_items

        shared = shared or Shared(ReadBudget(settings.max_read_units))
        items = Items(read_mapping(settings.mapping), settings.recent_days, shared.budget, shared.sharing)
        opener = partial(open_items, items=items, **access)
    return lru_cache(MAX_ACCOUNTS_AT_ONCE)(opener)  # the passes of an account share what costs time to set up


def accounts_of(settings: Settings, shared: Shared, passes: Sequence[Pass]) -> list[str]:
    """The ids of all accounts at the settings' source: of the folders at the place of ``{account}``, or of the items of
    an export.

    Raises: ConfigurationError where the source cannot tell; DumpNotFound where there are none; what reading raises.
    """
    if not settings.source:
        raise ConfigurationError("no source: give --source URI or set S3IMPORT_SOURCE")
    source, access = settings.source, _access(settings, workers=1)
    if ACCOUNT in source:
        found = account_folders(source, **access)
    elif settings.mapping is None or shared.sharing is None:
        raise ConfigurationError("--all-accounts: the source needs {account} where the accounts' ids belong")
    elif Pass.DELTA in passes:
        raise ConfigurationError(
            "--all-accounts: which accounts an incremental export is for is not looked for; give "
            "--accounts-from with those that were imported"
        )
    else:
        from s3import.readers.dynamodb.mapping import read_mapping
        from s3import.readers.dynamodb.opening import find_accounts

        found = find_accounts(source, read_mapping(settings.mapping), shared.sharing, **access)
    if not found:
        raise DumpNotFound(f"there is no account at {source}; check the source, or wait until it is written")
    return sorted(found)


def role_of(settings: Settings) -> Role | None:
    """The role in which whatever lies in AWS is read; None: as whoever runs this."""
    return Role(settings.role_arn, settings.external_id) if settings.role_arn else None


def _access(settings: Settings, workers: int) -> dict[str, Any]:
    """How a source is reached, in as many connections as so many parts at once may need."""
    return {
        "policy": RetryPolicy(retry_seconds=settings.retry_seconds),
        "connections": workers + MAX_ACCOUNTS_AT_ONCE + (settings.files_in_flight if settings.files_to else 0),
        "role": role_of(settings),
    }
