"""``account.json``: the account with its brands and channels, where a dump brings them along."""

from __future__ import annotations

from collections.abc import Iterable

from s3import.core.errors import InvalidAccountDocument
from s3import.core.records import AccountDocument, Brand, Channel
from s3import.readers.formats.documents import Node
from s3import.readers.sources.source import Source

ACCOUNT_DOCUMENT = "account.json"


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
    brands = [Brand(node.id("id"), node.free_text("name")) for node in _unique(top.nodes("brands"))]
    channels = [
        Channel(node.id("id"), node.id("brand_id"), node.free_text("kind"), node.free_text("name"))
        for node in _unique(top.nodes("channels"))
    ]
    return AccountDocument(account_id, top.free_text("name"), tuple(brands), tuple(channels))


def _unique(nodes: Iterable[Node]) -> Iterable[Node]:
    seen: set[str] = set()
    for node in nodes:
        if node.id("id") in seen:
            raise node.fault("id", f"{node.id('id')!r} is there a second time")
        seen.add(node.id("id"))
        yield node
