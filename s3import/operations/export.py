"""What is done before an import from DynamoDB: its mapping tried out, its tables exported."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import TYPE_CHECKING

from s3import.core.errors import ConfigurationError
from s3import.core.records import check_account_id
from s3import.core.settings import Settings
from s3import.operations.mapping_preview import Tried, try_items
from s3import.operations.sources import role_of, source_opener
from s3import.readers.dynamodb.mapping import read_mapping
from s3import.readers.dynamodb.opening import open_tables
from s3import.readers.sources.location import resolve
from s3import.readers.sources.source import RetryPolicy

if TYPE_CHECKING:
    from s3import.readers.dynamodb.exporting import Exported


def try_mapping(settings: Settings, account_id: str, limit: int) -> Iterator[Tried]:
    """What the settings' mapping makes of an account's first items. Raises: as `mapping_preview.try_items`."""
    if not settings.source:
        raise ConfigurationError("no source: give --source URI or set S3IMPORT_SOURCE")
    source = source_opener(settings, workers=1)(settings.source, account_id)
    if not settings.mapping:
        raise ConfigurationError("there is no mapping to try: give --mapping FILE")
    yield from try_items(source, account_id, limit)


def export(settings: Settings, account_id: str, *, stop: threading.Event) -> Iterator[Exported]:
    """Export the mapped tables to the settings' source, as it is for an account. Raises: as `export_tables`."""
    from s3import.readers.dynamodb.exporting import export_tables

    check_account_id(account_id)
    if not settings.source or not settings.mapping:
        raise ConfigurationError("an export takes --source s3://bucket/prefix and --mapping FILE; give both")
    tables = open_tables(policy=RetryPolicy(retry_seconds=settings.retry_seconds), role=role_of(settings))
    uri = resolve(settings.source, account_id)
    yield from export_tables(tables, read_mapping(settings.mapping), uri, stop=stop)
