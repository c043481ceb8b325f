"""Accounts, brands and channels: made before a run, by ``account.json`` or over HTTP, never changed by one."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import asdict, astuple
from enum import StrEnum

import sqlalchemy as sa
from sqlalchemy import Connection

from s3import.core.errors import AccountNotFound, InvalidAccountDocument
from s3import.core.records import ORIGINS, AccountDocument, Brand, Channel, Pass
from s3import.core.tables import accounts, brands, channels, import_accounts, import_runs, import_tombstones

MAX_NOTED = 10  # brands and channels that one note names


class AccountStatus(StrEnum):
    MIGRATING = "migrating"
    ACTIVE_RECENT_ONLY = "active-recent-only"
    ACTIVE = "active"


STATUS_AFTER: dict[Pass, AccountStatus] = {
    Pass.RECENT: AccountStatus.ACTIVE_RECENT_ONLY,
    Pass.REMAINING: AccountStatus.ACTIVE,
}
_IMPORTED: dict[Pass, tuple[AccountStatus, ...]] = {
    Pass.DELTA: (),
    Pass.RECENT: (AccountStatus.ACTIVE_RECENT_ONLY, AccountStatus.ACTIVE),
    Pass.REMAINING: (AccountStatus.ACTIVE,),
}


# Built once: small accounts would notice.
_ID: sa.BindParameter[str] = sa.bindparam("account_id")
_STATUS = sa.select(accounts.c.status).where(accounts.c.id == _ID)
_CHECKED = (
    sa.select(import_runs.c.run_id).where(import_runs.c.account_id == _ID, import_runs.c.account_checked).limit(1)
)
_REMEMBER = import_accounts.insert().from_select(
    ["account_id", "deletions_since"],
    sa.select(accounts.c.id, sa.bindparam("now", type_=import_accounts.c.deletions_since.type)).where(
        accounts.c.id == _ID, ~sa.exists().where(import_accounts.c.account_id == _ID)
    ),
)


def is_imported(pass_: Pass, status: AccountStatus | None) -> bool:
    """Whether an account of this status (None: no account) has that pass behind it; it never has deltas behind it."""
    return status in _IMPORTED[pass_]


def account_status(connection: Connection, account_id: str) -> AccountStatus | None:
    """The account's status, None where there is no such account."""
    status = connection.execute(_STATUS, {"account_id": account_id}).scalar()
    return AccountStatus(status) if status is not None else None


def set_status(connection: Connection, account_id: str, status: AccountStatus) -> None:
    """Give the account that status, if it is there."""
    account = accounts.update().where(accounts.c.id == account_id)
    connection.execute(account.values(status=status, updated_at=dt.datetime.now(dt.UTC)))


def raise_status(connection: Connection, account_id: str, status: AccountStatus) -> None:
    """Give the account that status, unless it is there already or further on."""
    before = list(AccountStatus)[: list(AccountStatus).index(status)]
    account = accounts.update().where(accounts.c.id == account_id, accounts.c.status.in_(before))
    connection.execute(account.values(status=status, updated_at=dt.datetime.now(dt.UTC)))


def account_exists(account_id: str) -> sa.ColumnElement[bool]:
    return sa.exists().where(accounts.c.id == account_id)


def create_account(connection: Connection, account_id: str, name: str | None) -> bool:
    """Create the account, status ``migrating``, unless it exists; whether it was created."""
    if account_status(connection, account_id) is not None:
        return False
    now = dt.datetime.now(dt.UTC)
    connection.execute(
        accounts.insert().values(
            id=account_id, name=name, status=AccountStatus.MIGRATING.value, created_at=now, updated_at=now
        )
    )
    return True


def create_brand(connection: Connection, account_id: str, brand: Brand) -> bool:
    """Create the brand unless it exists; whether it was created."""
    if _exists(connection, brands, account_id, brand.id):
        return False
    connection.execute(brands.insert().values(account_id=account_id, id=brand.id, name=brand.name))
    return True


def create_channel(connection: Connection, account_id: str, channel: Channel) -> bool | None:
    """Create the channel unless it exists; whether it was created, None where its brand does not exist."""
    if _exists(connection, channels, account_id, channel.id):
        return False
    if not _exists(connection, brands, account_id, channel.brand_id):
        return None
    connection.execute(
        channels.insert().values(
            account_id=account_id, id=channel.id, brand_id=channel.brand_id, kind=channel.kind, name=channel.name
        )
    )
    return True


def apply_document(connection: Connection, document: AccountDocument) -> None:
    """Create the account and what of its brands and channels is missing; changes nothing that exists, and brings back
    nothing that somebody deleted.

    Raises: InvalidAccountDocument, when a channel names a brand that exists neither here nor there.
    """
    is_new = create_account(connection, document.id, document.name)
    new_brands, new_channels = missing_of(connection, document, is_new=is_new)
    _insert(connection, brands, document.id, new_brands)
    _insert(connection, channels, document.id, new_channels)


def missing_of(
    connection: Connection, document: AccountDocument, *, is_new: bool = False
) -> tuple[list[Brand], list[Channel]]:
    """What of the document's brands and channels is missing; a new account has none. Raises: as `apply_document`."""
    if is_new:
        present, there, deleted = set[str](), set[str](), set[tuple[str, str]]()
    else:
        present, there = (_ids(connection, table, document.id) for table in (brands, channels))
        deleted = _deleted(connection, document.id)
    gone = {row_id for table, row_id in deleted if table == brands.name} - present
    known = present | {brand.id for brand in document.brands}
    there |= {row_id for table, row_id in deleted if table == channels.name}
    missing = [channel for channel in document.channels if channel.id not in there and channel.brand_id not in gone]
    if any(channel.brand_id not in known for channel in missing):
        raise InvalidAccountDocument(
            f"account.json of account {document.id}: a channel names a brand_id that is neither among its brands nor "
            "in the database; correct the document, then run the same command again"
        )
    return [brand for brand in document.brands if brand.id not in present | gone], missing


def notes_on(connection: Connection, document: AccountDocument) -> tuple[str, ...]:
    """What of an ``account.json`` somebody should know: words that nobody knows, and what differs from the database, as
    the document is applied once and changes nothing that exists."""
    known = ", ".join(ORIGINS)
    odd = sorted({channel.kind for channel in document.channels if channel.kind is not None} - ORIGINS.keys())
    notes = [f"account.json: the channel kind {kind[:40]!r} is none of {known}; it is kept as given" for kind in odd]
    there = {tuple(row) for row in connection.execute(_THERE, {"account_id": document.id})}
    asked = [
        ("its name", ("account", document.id, None, None, document.name)),
        *((f"brand {one.id!r}", ("brand", one.id, None, None, one.name)) for one in document.brands),
        *((f"channel {one.id!r}", ("channel", *astuple(one))) for one in document.channels),
    ]
    ignored = [name for name, row in asked if row not in there]
    if ignored:
        shown = ", ".join(ignored[:MAX_NOTED]) + (
            f" and {len(ignored) - MAX_NOTED} more" if ignored[MAX_NOTED:] else ""
        )
        notes.append(
            "account.json is applied once, by the account's first run, and changes nothing that exists; it differs "
            f"from the database in {shown}: change that in Re:amaze or over HTTP"
        )
    return tuple(notes)


_THERE = sa.union_all(
    sa.select(
        sa.literal_column("'channel'"), channels.c.id, channels.c.brand_id, channels.c.kind, channels.c.name
    ).where(channels.c.account_id == _ID),
    sa.select(sa.literal_column("'brand'"), brands.c.id, sa.null(), sa.null(), brands.c.name).where(
        brands.c.account_id == _ID
    ),
    sa.select(sa.literal_column("'account'"), accounts.c.id, sa.null(), sa.null(), accounts.c.name).where(
        accounts.c.id == _ID
    ),
)
"""An account, its brands and channels, each as what it is and all that an ``account.json`` says of it."""


def no_account(account_id: str) -> AccountNotFound:
    """There is no such account, and nobody who could create it but whoever asks."""
    return AccountNotFound(f"there is no account {account_id}; create it first (POST /accounts)")


def unknown_account(account_id: str) -> AccountNotFound:
    """There is no such account where the operator looks."""
    return AccountNotFound(
        f"account {account_id} is not known here: it is not in the database, and no migration of it is "
        "recorded there; check --account and --database"
    )


def account_was_checked(connection: Connection, account_id: str) -> bool:
    """Whether a run of this account has been past the point where account.json is applied."""
    return connection.execute(_CHECKED, {"account_id": account_id}).first() is not None


def remember_deletions(connection: Connection, account_id: str) -> None:
    """From now on what people delete in the account, if it is there, is remembered until its migration is forgotten."""
    connection.execute(_REMEMBER, {"account_id": account_id, "now": dt.datetime.now(dt.UTC)})


def _ids(connection: Connection, table: sa.Table, account_id: str) -> set[str]:
    return set(connection.scalars(sa.select(table.c.id).where(table.c.account_id == account_id)))


def _deleted(connection: Connection, account_id: str) -> set[tuple[str, str]]:
    """The brands and channels that people deleted and did not make again, by table and id."""
    kept = import_tombstones.c
    query = sa.select(kept.entity, kept.id).where(
        kept.account_id == account_id, kept.entity.in_([brands.name, channels.name])
    )
    return {(entity, row_id) for entity, row_id in connection.execute(query)}


def _insert(connection: Connection, table: sa.Table, account_id: str, rows: Sequence[Brand | Channel]) -> None:
    if rows:
        connection.execute(table.insert(), [{"account_id": account_id, **asdict(row)} for row in rows])


def _exists(connection: Connection, table: sa.Table, account_id: str, row_id: str) -> bool:
    query = sa.select(sa.literal(1)).where(table.c.account_id == account_id, table.c.id == row_id)
    return connection.execute(query).scalar() is not None
