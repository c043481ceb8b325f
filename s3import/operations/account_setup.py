"""Accounts, brands and channels as they are created and shown, each call in the caller's transaction."""

from __future__ import annotations

import datetime as dt
import re
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection

from s3import.core import accounts
from s3import.core.accounts import AccountStatus, is_imported, no_account, unknown_account
from s3import.core.errors import DatabaseUnavailable, InvalidRequest, PassNotFinished, UnknownBrand
from s3import.core.ids import is_id
from s3import.core.records import Brand, Channel
from s3import.core.tables import accounts as accounts_table
from s3import.core.tables import brands, channels
from s3import.importing.transactions import Transactions
from s3import.writers import schema


@dataclass(frozen=True, slots=True)
class Account:
    """An account as it stands in the database."""

    id: str
    name: str | None
    status: str
    created_at: dt.datetime
    updated_at: dt.datetime


def create_account(connection: Connection, account_id: str, name: str | None) -> tuple[Account, bool]:
    """The account, and whether it was created: one that exists stays as it is."""
    created = accounts.create_account(connection, account_id, _storable(name))
    return read_account(connection, account_id), created


def read_account(connection: Connection, account_id: str) -> Account:
    """The account. Raises: AccountNotFound."""
    row = connection.execute(sa.select(accounts_table).where(accounts_table.c.id == account_id)).first()
    if row is None:
        raise no_account(account_id)
    return Account(**row._mapping)


def require_status(account: Account, wanted: AccountStatus) -> None:
    """Make sure that the account has that status, or the one after it. Raises: PassNotFinished."""
    pass_ = next(pass_ for pass_, after in accounts.STATUS_AFTER.items() if after is wanted)
    if not is_imported(pass_, AccountStatus(account.status)):
        raise PassNotFinished(
            f"account {account.id}: the {pass_} pass has not succeeded yet; ask for it (POST /migrate) and wait "
            f"until GET /check-migration says so: from that moment the account is {wanted} by itself"
        )


def create_brand(connection: Connection, account_id: str, brand: Brand) -> tuple[Brand, bool]:
    """The brand, and whether it was created. Raises: AccountNotFound."""
    read_account(connection, account_id)
    created = accounts.create_brand(connection, account_id, Brand(brand.id, _storable(brand.name)))
    return Brand(**_row(connection, brands, account_id, brand.id)), created


def create_channel(connection: Connection, account_id: str, channel: Channel) -> tuple[Channel, bool]:
    """The channel, and whether it was created. Raises: AccountNotFound, UnknownBrand."""
    read_account(connection, account_id)
    wanted = Channel(channel.id, channel.brand_id, _storable(channel.kind), _storable(channel.name))
    created = accounts.create_channel(connection, account_id, wanted)
    if created is None:
        raise UnknownBrand("the account has no brand of this brand_id; create it first (POST /accounts/{id}/brands)")
    return Channel(**_row(connection, channels, account_id, channel.id)), created


def require_id(name: str, value: str) -> None:
    """Raise InvalidRequest, code ``invalid_id``, unless it can be the id of a brand or a channel."""
    if not is_id(value):
        raise InvalidRequest(f"{name} must be 1 to 255 characters, no control characters", code="invalid_id")


def _storable(text: str | None) -> str | None:
    """Free text as every database can hold it."""
    return text and re.sub("[\0\ud800-\udfff]", "\N{REPLACEMENT CHARACTER}", text)


def _row(connection: Connection, table: sa.Table, account_id: str, row_id: str) -> dict[str, Any]:
    """A brand's or a channel's columns but that of its account."""
    columns = [column for column in table.columns if column.name != "account_id"]
    row = connection.execute(sa.select(*columns).where(table.c.account_id == account_id, table.c.id == row_id)).first()
    if row is None:
        raise DatabaseUnavailable(f"account {account_id}: what was just created is gone; ask again")
    return dict(row._mapping)


def require_migrated(transactions: Transactions, account_id: str) -> None:
    """Make sure that the database was migrated into, and that its tables fit.

    Raises: AccountNotFound, SchemaMismatch.
    """
    if not (transactions.database.is_there and transactions.read(account_id, schema.exists)):
        raise unknown_account(account_id)
    transactions.run(account_id, schema.require)
