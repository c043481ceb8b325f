"""RFC 3339, strictly: the pattern decides alone, so that the cast behind it cannot fail or guess."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc

from s3import.core.errors import RejectCode
from s3import.core.records import EARLIEST, TIMESTAMP, TOO_LATE
from s3import.transform.validators.row_findings import BrokenRule, where

# The years from 1970 to 2199 and, as zones may shift an instant over an end of them, the two beside them.
_YEAR = r"(?:19(?:69|[7-9]\d)|2[01]\d\d|2200)"
_LEAP_YEAR = r"(?:19(?:[79][26]|8[048])|2000|2[01](?:0[48]|[2468][048]|[13579][26]))"
_DATE = (
    rf"(?:{_YEAR}-(?:(?:0[13578]|1[02])-(?:0[1-9]|[12]\d|3[01])|(?:0[469]|11)-(?:0[1-9]|[12]\d|30)"
    rf"|02-(?:0[1-9]|1\d|2[0-8]))|{_LEAP_YEAR}-02-29)"
)
_CLOCK = r"(?:[01]\d|2[0-3]):[0-5]\d"
_PLAIN = rf"\A{_DATE}T{_CLOCK}:[0-5]\d(?:\.\d{{1,6}})?(?:Z|[+-]{_CLOCK})\z"  # as Arrow reads it
INSTANT = rf"\A{_DATE}[Tt]{_CLOCK}:[0-5]\d(?:\.\d{{1,9}})?(?:[Zz]|[+-]{_CLOCK})\z"
"""What a timestamp looks like; its instant besides lies between `EARLIEST` and `TOO_LATE`."""


def read_timestamps(field: str, column: pa.Array) -> tuple[pa.TimestampArray, BrokenRule]:
    """The instants of a column of text (or of timestamps already), cut to microseconds, and the rows that hold none.

    An instant is right from 1970-01-01 to 2199-12-31, both in UTC and included. A wrong one stays in the result as
    null or as it is: its record is a reject.
    """
    instants = column if pa.types.is_timestamp(column.type) else _parse(column)
    in_range = pc.and_(pc.greater_equal(instants, EARLIEST), pc.less(instants, TOO_LATE))
    wrong = pc.and_(column.is_valid(), pc.invert(in_range.fill_null(False)))
    message = "must be an RFC 3339 timestamp with a zone, in the years 1970 to 2199"
    return instants, where(wrong, RejectCode.INVALID_TIMESTAMP, field, message)


def _parse(column: pa.StringArray) -> pa.TimestampArray:
    if column.null_count == len(column) or pc.all(pc.match_substring_regex(column, _PLAIN)).as_py():
        return column.cast(TIMESTAMP)
    right = pc.if_else(pc.match_substring_regex(column, INSTANT), column, None)
    return pc.replace_substring_regex(pc.ascii_upper(right), r"(\.\d{6})\d+", r"\1").cast(TIMESTAMP)
