"""Verifies an account as the settings say where its database and its dump are."""

from __future__ import annotations

import threading

from s3import.core.events import Observer
from s3import.core.settings import Settings
from s3import.operations.composition import on_tables, readers
from s3import.operations.foreground import in_thread
from s3import.operations.sources import source_opener
from s3import.operations.verify.findings import Verified
from s3import.operations.verify.verification import Verification


def verify(settings: Settings, account_id: str, *, observe: Observer, stop: threading.Event) -> Verified:
    """Compare an account's imported passes with the dump at the settings' source (None: where each pass was read from).

    Raises: AccountNotFound, NotImported, RunIsAlive, and whatever reading the dump or the database may raise.
    """
    side_by_side = readers(settings)
    with on_tables(settings, account_id, observe, stop, patient=True) as transactions:
        verification = Verification(
            transactions,
            account_id,
            settings.source,
            open_source=source_opener(settings, side_by_side),
            block_bytes=settings.block_bytes,
            workers=side_by_side,
        )
        return in_thread(verification.run)
