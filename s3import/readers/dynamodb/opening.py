"""From the URI an operator writes to the items of one account: an export's files, or the tables themselves."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from s3import.core.errors import ConfigurationError
from s3import.readers.dynamodb.budget import ReadBudget
from s3import.readers.dynamodb.export import ExportSource
from s3import.readers.dynamodb.items import ItemSource
from s3import.readers.dynamodb.mapping import ItemMapping
from s3import.readers.dynamodb.shared import Sharing
from s3import.readers.sources.location import ANYBODY, is_table, open_source
from s3import.readers.sources.source import RetryPolicy, Role

if TYPE_CHECKING:
    from s3import.readers.dynamodb.table_source import Tables


@dataclass(frozen=True, slots=True)
class Items:
    """What is read of items: what `mapping` makes of them, `recent_days` of them first; of tables no more than
    `budget`, of an export's files each once for all accounts of `sharing`."""

    mapping: ItemMapping
    recent_days: float = 30.0
    budget: ReadBudget | None = None
    sharing: Sharing | None = None


def open_items(
    uri: str,
    account_id: str,
    *,
    items: Items,
    policy: RetryPolicy | None = None,
    connections: int = 32,
    role: Role | None = None,
) -> ItemSource:
    """The items of `account_id` at `uri`, as `objects.open_dump` opens a dump.

    Raises: ConfigurationError when the URI cannot be one.
    """
    mapping, days = items.mapping, items.recent_days
    open_stored = partial(open_source, policy=policy, connections=connections, role=role)
    companion = open_stored(mapping.companion, account_id) if mapping.companion else None
    in_tables = is_table(uri)
    fetch = None
    if in_tables or any(one.joins for one in mapping.entities):
        from s3import.readers.dynamodb.table_source import TableSource  # boto3 takes its time to import

        tables = open_tables(policy=policy, connections=connections, role=role, budget=items.budget)
        if in_tables:
            return TableSource(tables, mapping, account_id, recent_days=days, companion=companion)
        fetch = tables.fetch
    stored, sharing = open_stored(uri, account_id), items.sharing
    return ExportSource(
        stored, mapping, account_id, recent_days=days, companion=companion, fetch=fetch, sharing=sharing
    )


def find_accounts(
    uri: str,
    mapping: ItemMapping,
    sharing: Sharing,
    *,
    policy: RetryPolicy | None = None,
    connections: int = 32,
    role: Role | None = None,
) -> set[str]:
    """The ids of all accounts in the export at `uri`, whose files are read for all of `sharing`.

    Raises: ConfigurationError for tables, which are only asked for accounts that are known; as `ExportSource.accounts`.
    """
    if is_table(uri):
        raise ConfigurationError(
            "--all-accounts: tables are asked by the key of an account that is known, and never read as a whole; give "
            "--account or --accounts-from, or import from an export of them"
        )
    stored = open_source(uri, ANYBODY, policy=policy, connections=connections, role=role)
    return ExportSource(stored, mapping, ANYBODY, recent_days=0).accounts(sharing)


def open_tables(
    *,
    policy: RetryPolicy | None = None,
    connections: int = 32,
    role: Role | None = None,
    budget: ReadBudget | None = None,
) -> Tables:
    """DynamoDB itself, as the settings of AWS say. Raises: ConfigurationError where they cannot be right."""
    from s3import.readers.dynamodb.table_source import Tables, connect

    policy = policy or RetryPolicy()
    return Tables(connect(policy, connections, role), policy, budget or ReadBudget(None))
