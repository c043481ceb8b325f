"""``account.json``: the account with its brands and channels, where a dump brings them along."""

from __future__ import annotations

from s3import.core.errors import InvalidAccountDocument
from s3import.core.records import AccountDocument, Brand, Channel
from s3import.readers.formats.documents import Node
from s3import.readers.formats.members import ACCOUNT_ID, FREE_TEXT, ID, Members, listed, read_members
from s3import.readers.sources.source import Source

ACCOUNT_DOCUMENT = "account.json"
BRAND: Members = {"id": ID, "name": FREE_TEXT}
CHANNEL: Members = {"id": ID, "brand_id": ID, "kind": FREE_TEXT, "name": FREE_TEXT}
ACCOUNT: Members = {"id": ACCOUNT_ID, "name": FREE_TEXT, "brands": listed(BRAND), "channels": listed(CHANNEL)}
"""The members of the document."""


def read_account_document(source: Source, account_id: str) -> AccountDocument | None:
    """The ``account.json`` of a dump's `companion`; None where there is none.

    NUL and lone surrogates in its names are replaced by U+FFFD. Whether a channel's brand exists is
    left to the caller, whose database may hold it already.
    Raises: InvalidAccountDocument naming the place of the fault; what `source` raises.
    """
    raw = source.read(ACCOUNT_DOCUMENT)
    if raw is None:
        return None
    top = Node.parse(raw, f"{source.uri}: {ACCOUNT_DOCUMENT}", InvalidAccountDocument)
    top.exactly("id", account_id)
    given = read_members(top, ACCOUNT)
    brands = tuple(Brand(**brand) for brand in given["brands"])
    channels = tuple(Channel(**channel) for channel in given["channels"])
    return AccountDocument(account_id, given["name"], brands, channels)
