"""Exports the tables of a mapping, before an import from DynamoDB."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import TYPE_CHECKING

from s3import.core.errors import ConfigurationError
from s3import.core.ids import check_account_id
from s3import.core.settings import Settings
from s3import.operations.sources import role_of
from s3import.readers.dynamodb.mapping import read_mapping
from s3import.readers.dynamodb.opening import open_tables
from s3import.readers.sources.location import resolve
from s3import.readers.sources.source import RetryPolicy

if TYPE_CHECKING:
    from s3import.readers.dynamodb.exporting import Exported


def export(settings: Settings, account_id: str, *, stop: threading.Event) -> Iterator[Exported]:
    """Export the mapped tables to the settings' source, as it is for an account. Raises: as `export_tables`."""
    from s3import.readers.dynamodb.exporting import export_tables

    check_account_id(account_id)
    if not settings.source or not settings.mapping:
        raise ConfigurationError("an export takes --source s3://bucket/prefix and --mapping FILE; give both")
    tables = open_tables(policy=RetryPolicy(retry_seconds=settings.retry_seconds), role=role_of(settings))
    uri = resolve(settings.source, account_id)
    yield from export_tables(tables, read_mapping(settings.mapping), uri, stop=stop)
