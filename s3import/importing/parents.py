"""What the records of a dry run can belong to, as far as a database tells that nothing may be written to."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field

import pyarrow as pa
import pyarrow.compute as pc
import sqlalchemy as sa
from sqlalchemy import Connection

from s3import.core.accounts import account_status, account_was_checked, missing_of
from s3import.core.records import AccountDocument, Brand, Channel, Entity, Reason, one_array
from s3import.core.tables import PARENTS, brands, channels, messages, threads
from s3import.importing.all_rejected import AccountParents
from s3import.writers import schema

_SAYS = "there is no {} of this id in the account"


@dataclass(slots=True)
class KnownParents:
    """The ids that parents have, by the column that names them; of a column that is missing here nothing is known, and
    any id is taken. `takes_document`: an account.json would still be applied."""

    ids: dict[str, Collection[str]] = field(default_factory=dict)
    takes_document: bool = True

    @property
    def standing(self) -> AccountParents:
        """What the account has for records to belong to."""
        has_brands, has_channels = (bool(self.ids.get(name, True)) for name in ("brand_id", "channel_id"))
        return AccountParents(has_brands, has_channels, self.takes_document)

    def accepted(self, entity: Entity, count: int) -> None:
        """There are records of the entity now, so that others may belong to one."""
        if count:
            self.ids.pop({Entity.THREADS: "thread_id", Entity.MESSAGES: "message_id"}.get(entity, ""), None)

    def missing(self, entity: Entity, records: pa.Table) -> dict[int, tuple[Reason, ...]]:
        """Why records, by their index, will be rejected although nothing is wrong with themselves."""
        found: dict[int, tuple[Reason, ...]] = {}
        for column, parent, code in PARENTS.get(entity, ()):
            if column in self.ids:
                reason = Reason(code, column, _SAYS.format(parent.name.removesuffix("s")))
                known = pc.is_in(one_array(records[column]), pa.array(sorted(self.ids[column]), pa.string()))
                for index in pc.indices_nonzero(pc.invert(known)).to_pylist():
                    found[index] = (*found.get(index, ()), reason)
        return found


def parents_of(connection: Connection, account_id: str, document: AccountDocument | None) -> KnownParents | None:
    """What there is, and what the account's first run would make of its document; None where there would be no account.

    Raises: SchemaMismatch, SchemaTooNew; InvalidAccountDocument.
    """
    if not schema.is_there(connection):
        return _of_document(document) if document else None
    takes_document = not account_was_checked(connection, account_id)
    if account_status(connection, account_id) is None and not (document and takes_document):
        return None
    new: tuple[list[Brand], list[Channel]] = ([], [])
    if document and takes_document:
        new = missing_of(connection, document)
    ids: dict[str, Collection[str]] = {
        "brand_id": _ids(connection, brands, account_id) | {brand.id for brand in new[0]},
        "channel_id": _ids(connection, channels, account_id) | {channel.id for channel in new[1]},
    }
    for column, table in (("thread_id", threads), ("message_id", messages)):
        if not _has_any(connection, table, account_id):
            ids[column] = ()
    return KnownParents(ids, takes_document)


def _of_document(document: AccountDocument) -> KnownParents:
    """In a database without any of our tables."""
    ids = {brand.id for brand in document.brands}, {channel.id for channel in document.channels}
    return KnownParents({"brand_id": ids[0], "channel_id": ids[1], "thread_id": (), "message_id": ()})


def _ids(connection: Connection, table: sa.Table, account_id: str) -> set[str]:
    return set(connection.scalars(sa.select(table.c.id).where(table.c.account_id == account_id)))


def _has_any(connection: Connection, table: sa.Table, account_id: str) -> bool:
    return (
        connection.execute(sa.select(table.c.id).where(table.c.account_id == account_id).limit(1)).first() is not None
    )
