"""What of a dump somebody should know though it is no reject."""

from __future__ import annotations

import logging
from contextlib import suppress
from functools import partial

from s3import.core.accounts import notes_on
from s3import.core.errors import S3ImportError
from s3import.importing.transactions import Transactions
from s3import.readers.dump.account_document import read_account_document
from s3import.readers.sources.source import DumpSource

log = logging.getLogger(__name__)


def note(transactions: Transactions, account_id: str, source: DumpSource) -> tuple[str, ...]:
    """What of the account.json that lies there now has no effect, logged; nothing where that cannot be told."""
    notes: tuple[str, ...] = ()
    with suppress(S3ImportError):
        document = read_account_document(source.companion, account_id)
        if document is not None:
            notes = transactions.read(account_id, partial(notes_on, document=document))
    for one in notes:
        log.info("account %s: %s", account_id, one, extra={"event": "account_noted"})
    return notes
