"""The rules of the contract's section 3, applied to whole columns: Arrow in, Arrow out, nothing else touched."""

from __future__ import annotations

from s3import.validators.checking import check
from s3import.validators.rejects import make_rejects

__all__ = ["check", "make_rejects"]
