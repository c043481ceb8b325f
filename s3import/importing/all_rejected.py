"""A pass of which nothing was imported: why, and what to do about it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

import sqlalchemy as sa
from sqlalchemy import Connection

from s3import.core.errors import AllRejected, RejectCode
from s3import.core.records import Entity, Pass
from s3import.core.tables import brands, channels, import_parts
from s3import.status import Claim

CodesByEntity = Mapping[Entity, Mapping[str, int]]
"""How many rejects of an entity have each code."""

_CURES = {
    RejectCode.UNKNOWN_BRAND: "create the brands that the records name, or correct their brand_id",
    RejectCode.UNKNOWN_CHANNEL: "create the channels that the records name, or correct their channel_id",
    RejectCode.UNKNOWN_THREAD: "add the threads of these messages to the dump, or correct their thread_id",
    RejectCode.UNKNOWN_MESSAGE: "add the messages of these attachments to the dump, or correct their message_id",
    RejectCode.WRONG_ACCOUNT: "the records are another account's: check the account and the source",
    RejectCode.DELETED_IN_TARGET: "people deleted all of this in Re:amaze, and it stays deleted",
}
_NOBODY = {
    RejectCode.UNKNOWN_BRAND: "the account has no brands; create them",
    RejectCode.UNKNOWN_CHANNEL: "the account has no channels; create them",
}


@dataclass(frozen=True, slots=True)
class AccountParents:
    """What an account has for records to belong to; `takes_document`: its account.json will be applied yet."""

    has_brands: bool
    has_channels: bool
    takes_document: bool


def require_something(connection: Connection, claim: Claim) -> None:
    """Raises: AllRejected, where all records that the run has read until now were rejected."""
    parts = import_parts.c
    sums = (sa.func.count(), sa.func.sum(parts.read_count), sa.func.sum(parts.rejected_count))
    query = sa.select(parts.entity, parts.rejects_by_code, *sums).where(parts.run_id == claim.run_id)
    codes: dict[Entity, Counter[str]] = {entity: Counter() for entity in Entity}
    read = rejected = 0
    for entity, by_code, count, read_here, rejected_here in connection.execute(
        query.group_by(parts.entity, parts.rejects_by_code)
    ):
        read, rejected = read + int(read_here), rejected + int(rejected_here)
        for code, number in by_code.items():
            codes[Entity(entity)][code] += number * count
    if rejected and read == rejected:
        takes_document = claim.pass_ is Pass.RECENT and not claim.again
        why = explain(codes, standing(connection, claim.account_id, takes_document=takes_document))
        raise AllRejected(
            f"account {claim.account_id}: nothing of the {claim.pass_} pass was imported, all {read} records were "
            f"rejected. {why}. `s3import rejects --account {claim.account_id}` lists them. Then run the same command "
            "again: it reads the pass from its beginning"
        )


def standing(connection: Connection, account_id: str, *, takes_document: bool) -> AccountParents:
    """What the account has now."""

    def has(table: sa.Table) -> bool:
        return connection.execute(sa.select(table.c.id).where(table.c.account_id == account_id)).first() is not None

    return AccountParents(has(brands), has(channels), takes_document)


def explain(codes: CodesByEntity, account: AccountParents) -> str:
    """The commonest reason and its cure, in a sentence: that of the first entity, as a child that lacks its parent only
    follows from that one's fault. Where more rejects follow than there are such, they are told of too."""
    first = next(entity for entity in Entity if codes.get(entity))
    code, number = _commonest(codes[first])
    total = sum((Counter(by_code) for by_code in codes.values()), Counter[str]())
    most, how_many = _commonest(total)
    follows = f", and {how_many} records with {most} follow from that" if most != code else ""
    return f"The most common reason is {code} ({number} {first}{follows}): {_cure(code, account)}"


def _commonest(by_code: Mapping[str, int]) -> tuple[str, int]:
    """Of those that are equally common the one that comes first: a brand before its channel."""
    order = [value for name, value in vars(RejectCode).items() if name.isupper()]
    return min(by_code.items(), key=lambda item: (-item[1], order.index(item[0])))


def _cure(code: str, account: AccountParents) -> str:
    missing = {
        RejectCode.UNKNOWN_BRAND: not account.has_brands,
        RejectCode.UNKNOWN_CHANNEL: not account.has_channels,
    }
    cure = _NOBODY[code] if missing.get(code) else _CURES.get(code, "repair the records, as their reasons say")
    if code in missing and account.takes_document:
        cure += ", or give the dump an account.json that names them"
    return cure
