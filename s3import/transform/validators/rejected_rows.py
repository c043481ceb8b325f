"""Rejects: records that are set aside with their place, their reasons and as much of their text as is kept."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from s3import.core.records import MAX_ID_LENGTH, MAX_RAW_BYTES, REPLACEMENT, Batch, Reason, Reject
from s3import.transform.validators.text import NUL


def make_rejects(batch: Batch, reasons_by_row: Mapping[int, Sequence[Reason]]) -> list[Reject]:
    """A reject for each row (from 0) of the batch that has reasons, in the order of the rows.

    `raw` holds at most MAX_RAW_BYTES of UTF-8; in it and in `id`, U+FFFD stands for NUL and for bytes that are no
    UTF-8.
    """
    rows = sorted(reasons_by_row)
    if not rows:
        return []
    ids, lines = batch.records["id"].take(rows).to_pylist(), batch.lines.take(rows).to_pylist()
    return [
        Reject(line, _shown_id(record_id), tuple(reasons_by_row[row]), *_shown(raw))
        for row, line, record_id, raw in zip(rows, lines, ids, batch.raw(rows), strict=True)
    ]


def _shown_id(record_id: str | None) -> str | None:
    return None if record_id is None else record_id[:MAX_ID_LENGTH].replace(NUL, REPLACEMENT)


def _shown(raw: bytes) -> tuple[str, bool]:
    """The text to keep, and whether it was cut. What stands for a byte may be longer than it: cut afterwards."""
    text = raw[: MAX_RAW_BYTES + 4].decode("utf-8", "replace").replace(NUL, REPLACEMENT)
    kept = text.encode()
    if len(kept) <= MAX_RAW_BYTES:
        return text, False
    return kept[:MAX_RAW_BYTES].decode("utf-8", "ignore"), True
