"""The bytes behind attachments and recordings: copied to where Re:amaze keeps its files, checked, and written down."""

from __future__ import annotations

from s3import.files.ledger import LEDGERS, storage_keys
from s3import.files.location import check_target, open_target
from s3import.files.migrated import FileCopier, TargetOpener
from s3import.files.retried import Retried, last_copied

__all__ = [
    "LEDGERS",
    "FileCopier",
    "Retried",
    "TargetOpener",
    "check_target",
    "last_copied",
    "open_target",
    "storage_keys",
]
