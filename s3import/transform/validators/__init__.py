"""The rules of docs/reference/dump-format.md, applied to whole columns: Arrow in, Arrow out, nothing else touched."""

from __future__ import annotations

from s3import.transform.validators.checking import check
from s3import.transform.validators.rejected_rows import make_rejects
from s3import.transform.validators.rules import leaves_source

__all__ = ["check", "leaves_source", "make_rejects"]
