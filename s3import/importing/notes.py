"""What of a dump somebody should know though it is no reject."""

from __future__ import annotations

import logging
from contextlib import suppress
from functools import partial

from sqlalchemy import Connection

from s3import.core.accounts import notes_on
from s3import.core.errors import S3ImportError
from s3import.core.records import AccountDocument
from s3import.importing.transactions import Transactions
from s3import.readers.dump.account_document import read_account_document
from s3import.readers.sources.source import DumpSource

log = logging.getLogger(__name__)


def note(transactions: Transactions, account_id: str, source: DumpSource) -> tuple[str, ...]:
    """What of the account.json that lies there now has no effect, logged; nothing where that cannot be told."""
    document = read_document(source, account_id)
    with suppress(S3ImportError):
        return transactions.read(account_id, partial(note_on, document=document))
    return ()


def read_document(source: DumpSource, account_id: str) -> AccountDocument | None:
    """The account.json that lies there now; None where there is none that can be read."""
    with suppress(S3ImportError):
        return read_account_document(source.companion, account_id)
    return None


def note_on(connection: Connection, document: AccountDocument | None) -> tuple[str, ...]:
    """What of the document has no effect, logged."""
    if document is None:
        return ()
    notes = notes_on(connection, document)
    for one in notes:
        log.info("account %s: %s", document.id, one, extra={"event": "account_noted"})
    return notes
