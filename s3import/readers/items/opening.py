"""From the URI an operator writes to the items of one account: an export's files, or the tables themselves."""

from __future__ import annotations

from s3import.readers.items.export import ExportSource
from s3import.readers.items.mapping import ItemMapping
from s3import.readers.location import open_source
from s3import.readers.source import Patience, Source


def open_items(
    uri: str,
    account_id: str,
    *,
    mapping: ItemMapping,
    recent_days: float,
    patience: Patience | None = None,
    connections: int = 32,
) -> Source:
    """The items of `account_id` at `uri`, as `location.open_source` opens a dump.

    Raises: ConfigurationError when the URI cannot be one.
    """
    beside = mapping.beside
    files = open_source(beside, account_id, patience=patience, connections=connections) if beside else None
    stored = open_source(uri, account_id, patience=patience, connections=connections)
    return ExportSource(stored, mapping, account_id, recent_days=recent_days, files=files)
