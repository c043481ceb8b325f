"""Records with one fault each, and the reject that must come of it: every code that a dump can earn by itself.

`deleted_in_target` is not among them, which takes a person who deletes something.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from s3import.core.errors import RejectCode
from s3import.core.records import MAX_LINE_BYTES, Entity
from s3import.operations.sample.conversations import Record


@dataclass(frozen=True, slots=True)
class FaultyLine:
    """A line of a part, and what of its reject can be foretold: the id (None: nothing of it can be read), the code and
    the field (None: the whole line)."""

    text: bytes
    record_id: str | None
    code: str
    field: str | None


def faulty_lines(right: Mapping[Entity, Record]) -> dict[Entity, Sequence[FaultyLine]]:
    """Faulty lines by entity, made from a right record of each; that of the attachment names a file that is there."""
    wrong_size = right[Entity.ATTACHMENTS] | {"size_bytes": 1, "sha256": None}
    return {
        Entity.THREADS: [*_unreadable(right[Entity.THREADS]), *_wrong_threads(right[Entity.THREADS])],
        Entity.MESSAGES: [_with(right[Entity.MESSAGES], RejectCode.UNKNOWN_THREAD, "thread_id", "thread-of-nobody")],
        Entity.ATTACHMENTS: [
            _with(right[Entity.ATTACHMENTS], RejectCode.UNKNOWN_MESSAGE, "message_id", "message-of-nobody"),
            _with(right[Entity.ATTACHMENTS], RejectCode.FILE_MISSING, "key", "files/nowhere.txt"),
            _with(wrong_size, RejectCode.FILE_DIFFERS, "key", wrong_size["key"]),
        ],
    }


def _unreadable(right: Record) -> list[FaultyLine]:
    """Lines of which nothing can be used, but for the one with a field twice."""
    twice = _with(right, RejectCode.DUPLICATE_KEY, "status", right["status"])
    whole = orjson.dumps(right)
    latin_1 = orjson.dumps(right | {"subject": "Caf?"}).replace(b"Caf?", b"Caf\xe9")
    long = orjson.dumps(right | {"subject": "tea " * (MAX_LINE_BYTES // 4)})
    return [
        FaultyLine(whole[: len(whole) // 2], None, RejectCode.INVALID_JSON, None),
        FaultyLine(b"[%b]" % whole, None, RejectCode.NOT_AN_OBJECT, None),
        FaultyLine(twice.text[:-1] + b',"status":"pending"}', twice.record_id, twice.code, twice.field),
        FaultyLine(latin_1, None, RejectCode.INVALID_UTF8, None),
        FaultyLine(long, None, RejectCode.TOO_LONG, None),
    ]


def _wrong_threads(right: Record) -> list[FaultyLine]:
    wrong: list[tuple[str, str, Any]] = [
        (RejectCode.MISSING_FIELD, "channel_id", None),
        (RejectCode.WRONG_TYPE, "tags", "urgent"),
        (RejectCode.INVALID_ID, "brand_id", ""),
        (RejectCode.INVALID_VALUE, "status", "Open"),
        (RejectCode.INVALID_TIMESTAMP, "created_at", "2026-06-30 17:30:00"),
        (RejectCode.WRONG_ACCOUNT, "account_id", "another-account"),
        (RejectCode.UNKNOWN_BRAND, "brand_id", "brand-of-nobody"),
        (RejectCode.UNKNOWN_CHANNEL, "channel_id", "channel-of-nobody"),
    ]
    return [_with(right, *one) for one in wrong]


def _with(right: Record, code: str, field: str, value: Any) -> FaultyLine:
    """The record under an id of its own, with that value."""
    record = right | {"id": f"faulty-{code}", field: value}
    return FaultyLine(orjson.dumps(record), record["id"], code, field)
