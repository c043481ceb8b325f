"""From the URI an operator writes to the items of one account: an export's files, or the tables themselves."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from s3import.errors import ConfigurationError
from s3import.readers.items.budget import ReadBudget
from s3import.readers.items.export import ExportSource
from s3import.readers.items.mapping import ItemMapping
from s3import.readers.items.shared import Sharing
from s3import.readers.location import open_source, split_scheme
from s3import.readers.source import Patience, Role, Source

if TYPE_CHECKING:
    from s3import.readers.items.tables import Tables


def open_items(
    uri: str,
    account_id: str,
    *,
    mapping: ItemMapping,
    recent_days: float = 30.0,
    budget: ReadBudget | None = None,
    patience: Patience | None = None,
    connections: int = 32,
    role: Role | None = None,
    sharing: Sharing | None = None,
) -> Source:
    """The items of `account_id` at `uri`, as `location.open_source` opens a dump; of tables no more than `budget`, of
    an export's files each once for all accounts of `sharing`.

    Raises: ConfigurationError when the URI cannot be one.
    """
    open_stored = partial(open_source, patience=patience, connections=connections, role=role)
    files = open_stored(mapping.beside, account_id) if mapping.beside else None
    scheme, rest = split_scheme(uri)
    if scheme == "dynamodb" and rest.strip("/"):
        raise ConfigurationError(f"the source {uri} names what the mapping names: give just dynamodb:")
    if scheme != "dynamodb" and not any(one.joins for one in mapping.entities):
        stored = open_stored(uri, account_id)
        return ExportSource(stored, mapping, account_id, recent_days=recent_days, files=files, sharing=sharing)
    from s3import.readers.items.tables import TableSource  # boto3 takes its time to import

    tables = open_tables(patience=patience, connections=connections, role=role, budget=budget)
    if scheme == "dynamodb":
        return TableSource(tables, mapping, account_id, recent_days=recent_days, files=files)
    stored = open_stored(uri, account_id)
    return ExportSource(stored, mapping, account_id, recent_days=recent_days, files=files, fetch=tables.fetch)


def open_tables(
    *,
    patience: Patience | None = None,
    connections: int = 32,
    role: Role | None = None,
    budget: ReadBudget | None = None,
) -> Tables:
    """DynamoDB itself, as the settings of AWS say. Raises: ConfigurationError where they cannot be right."""
    from s3import.readers.items.tables import Tables, connect

    patience = patience or Patience()
    return Tables(connect(patience, connections, role), patience, budget or ReadBudget(None))
