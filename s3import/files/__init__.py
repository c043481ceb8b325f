"""The bytes behind attachments and recordings: copied to where Re:amaze keeps its files, checked, and written down."""

from __future__ import annotations

from s3import.files.ledger import storage_keys
from s3import.files.migrated import FileCopier, TargetOpener
from s3import.files.retried import LaterFiles, Retried
from s3import.files.target_uri import check_target, open_target

__all__ = [
    "FileCopier",
    "LaterFiles",
    "Retried",
    "TargetOpener",
    "check_target",
    "open_target",
    "storage_keys",
]
