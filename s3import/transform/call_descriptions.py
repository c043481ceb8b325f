"""Readable bodies for calls that have none, made from their telephony. The import and `verify` both make them here.

    Inbound call from +15550199 to +15550100, 3 min 25 s, answered

    Transcript:
    Hello, this is ...

What the record does not tell is left out.
"""

from __future__ import annotations

from collections.abc import Mapping

import pyarrow as pa
import pyarrow.compute as pc

_KINDS = pa.array(["call", "voicemail"])


def with_descriptions(records: Mapping[str, pa.Array]) -> pa.StringArray:
    """The bodies of messages (columns as in `SCHEMAS`); calls and voicemails without any text get a description."""
    bare = pc.and_(_is_empty(records["body"]), _is_empty(records["body_html"]))
    described = pc.and_(pc.is_in(records["kind"], _KINDS), bare)
    if not pc.any(described).as_py():
        return records["body"]
    return pc.if_else(described, _descriptions(records), records["body"])


def _descriptions(records: Mapping[str, pa.Array]) -> pa.StringArray:
    told = {name: _told(records["telephony"], name) for name in ("from", "to", "disposition", "transcript")}
    numbers = _joined(_after(" from ", told["from"]), _after(" to ", told["to"]))
    head = _joined(pc.utf8_capitalize(records["direction"]), " ", records["kind"], numbers)
    duration = _duration(pc.struct_field(records["telephony"], "duration_seconds"))
    outcome = _joined(_after(", ", duration), _after(", ", told["disposition"]))
    return _joined(head, outcome, _after("\n\nTranscript:\n", told["transcript"]))


def _duration(seconds: pa.Int64Array) -> pa.StringArray:
    """As ``1 h 2 min 5 s``, hours and minutes only where there are any; null stays null."""
    minutes, hours = pc.divide(seconds, 60), pc.divide(seconds, 3600)
    shown_hours = pc.if_else(pc.greater(hours, 0), _joined(hours, " h "), "")
    shown_minutes = pc.if_else(pc.greater(minutes, 0), _joined(_rest(minutes, hours), " min "), "")
    return pc.if_else(seconds.is_valid(), _joined(shown_hours, shown_minutes, _rest(seconds, minutes), " s"), None)


def _rest(number: pa.Int64Array, sixtieth: pa.Int64Array) -> pa.Int64Array:
    return pc.subtract(number, pc.multiply(sixtieth, 60))


def _told(telephony: pa.StructArray, name: str) -> pa.StringArray:
    text = pc.struct_field(telephony, name)
    return pc.if_else(_is_empty(text), None, text)


def _after(words: str, text: pa.StringArray) -> pa.StringArray:
    """The text with words before it; nothing where it is null."""
    return pc.if_else(text.is_valid(), _joined(words, text), "")


def _joined(*pieces: pa.Array | str) -> pa.StringArray:
    """The pieces one after the other, row by row; null counts as nothing."""
    texts = [piece if isinstance(piece, str) else piece.cast(pa.string()) for piece in pieces]
    return pc.binary_join_element_wise(*texts, "", null_handling="replace", null_replacement="")


def _is_empty(text: pa.StringArray) -> pa.BooleanArray:
    return pc.or_kleene(text.is_null(), pc.equal(text, "").fill_null(True))
