"""The contract's cases of single lines, each read by the column path with its fallback, and line by line."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pytest

from s3import.core.records import Entity
from tests.readers.formats.reading import Seen, read, seen

T, M, A = Entity.THREADS, Entity.MESSAGES, Entity.ATTACHMENTS
FFFD = "\N{REPLACEMENT CHARACTER}"


@dataclass(frozen=True)
class Case:
    """One line, between two good ones, and what is expected of its row."""

    name: str
    line: bytes
    record: dict[str, Any] = field(default_factory=dict)
    faults: tuple[tuple[str, str | None], ...] = ()
    entity: Entity = T
    sanitised: bool = False
    ignored: frozenset[str] = frozenset()


def _refused(name: str, line: bytes, code: str) -> Case:
    return Case(name, line, faults=((code, None),))


def _customer(**members: str | None) -> dict[str, Any]:
    return {"customer": {"id": None, "name": None, "email": None, "phone": None} | members}


UNREADABLE = [
    _refused("text that is no JSON", b"oops", "invalid_json"),
    _refused("a record cut off", b'{"id":"a","subj', "invalid_json"),
    _refused("two objects on one line", b'{"id":"a"}{"id":"b"}', "invalid_json"),
    _refused("two objects with a CR between", b'{"id":"a"}\r{"id":"b"}', "invalid_json"),
    _refused("junk after the object", b'{"id":"a"}x', "invalid_json"),
    _refused("a comment after the object", b'{"id":"a"}//}', "invalid_json"),
    _refused("a comma too many", b'{"id":"a",}', "invalid_json"),
    _refused("single quotes", b"{'id':'a'}", "invalid_json"),
    _refused("a bare NUL after the object", b'{"id":"a"}\0}', "invalid_json"),
    _refused("a bare control character in text", b'{"id":"a\tb"}', "invalid_json"),
    _refused("a leading zero", b'{"x":01}', "invalid_json"),
    _refused("NaN in a field", b'{"id":NaN}', "invalid_json"),
    _refused("NaN in an unknown field", b'{"x":NaN}', "invalid_json"),
    _refused("Infinity in an unknown field", b'{"x":[-Infinity]}', "invalid_json"),
    _refused("a byte order mark inside the part", b'\xef\xbb\xbf{"id":"a"}', "invalid_json"),
    _refused("nesting without end in an unknown field", b'{"x":' + b"[" * 100_000 + b"}", "invalid_json"),
    _refused("nesting without end in a field", b'{"tags":' + b"[" * 100_000, "invalid_json"),
    _refused("closed nesting of 50,000", b'{"x":' + b"[" * 50_000 + b"]" * 50_000 + b"}", "invalid_json"),
    _refused("a list", b'[{"id":"a"}]', "not_an_object"),
    _refused("a string", b'"{}"', "not_an_object"),
    _refused("null", b"null", "not_an_object"),
    _refused("a byte that is no UTF-8", b'{"id":"\xff"}', "invalid_utf8"),
    _refused("a byte that is no UTF-8 in an unknown field", b'{"x":"\xff"}', "invalid_utf8"),
    _refused("a surrogate in UTF-8", b'{"subject":"\xed\xa0\x80"}', "invalid_utf8"),
    _refused("an overlong form", b'{"subject":"\xc0\x80"}', "invalid_utf8"),
    _refused("text cut within a character", b'{"subject":"caf\xc3"}', "invalid_utf8"),
]

READABLE = [
    Case("an empty object", b"{}"),
    Case("null fields", b'{"id":null,"tags":null,"customer":null}'),
    Case("an empty string", b'{"subject":""}', {"subject": ""}),
    Case("white space around the object", b' \t{"id" : "a"} \r', {"id": "a"}),
    Case("an escaped name", b'{"\\u0069d":"a"}', {"id": "a"}),
    Case("NUL, which is left to the validators", b'{"subject":"\\u0000"}', {"subject": "\0"}),
    Case("a surrogate pair", b'{"subject":"\\ud83d\\ude00"}', {"subject": "\N{GRINNING FACE}"}),
    Case("lists and objects", b'{"tags":["a",null],"customer":{"id":"c"}}', {"tags": ["a", None], **_customer(id="c")}),
    Case("empty lists and objects", b'{"tags":[],"customer":{}}', {"tags": [], **_customer()}),
    Case(
        "custom fields with nulls, which are left to the validators",
        b'{"custom_fields":[null,{"name":"n"},{"value":"v"}]}',
        {"custom_fields": [None, {"name": "n", "value": None}, {"name": None, "value": "v"}]},
    ),
    Case("a list with a null only", b'{"tags":[null]}', {"tags": [None]}),
]

NUMBERS = [
    Case("a whole number", b'{"size_bytes":7}', {"size_bytes": 7}, entity=A),
    Case("minus nought", b'{"size_bytes":-0}', {"size_bytes": 0}, entity=A),
    Case("1.0", b'{"size_bytes":1.0}', {"size_bytes": 1}, entity=A),
    Case("1e3", b'{"size_bytes":1e3}', {"size_bytes": 1000}, entity=A),
    Case("15e-1", b'{"size_bytes":15e-1}', {}, (("wrong_type", "size_bytes"),), entity=A),
    Case("150E-1", b'{"size_bytes":150E-1}', {"size_bytes": 15}, entity=A),
    Case("the largest", b'{"size_bytes":9223372036854775807}', {"size_bytes": 2**63 - 1}, entity=A),
    Case("the largest as a decimal", b'{"size_bytes":9223372036854775807.0}', {"size_bytes": 2**63 - 1}, entity=A),
    Case("the smallest", b'{"size_bytes":-9223372036854775808}', {"size_bytes": -(2**63)}, entity=A),
    Case("one too large", b'{"size_bytes":9223372036854775808}', {}, (("invalid_value", "size_bytes"),), entity=A),
    Case("1e400", b'{"size_bytes":1e400}', {}, (("invalid_value", "size_bytes"),), entity=A),
    Case("an absurd power", b'{"size_bytes":1e' + b"9" * 30 + b"}", {}, (("invalid_value", "size_bytes"),), entity=A),
    Case("many digits", b'{"size_bytes":' + b"9" * 9000 + b"}", {}, (("invalid_value", "size_bytes"),), entity=A),
    Case("a tiny fraction", b'{"size_bytes":1e-400}', {}, (("wrong_type", "size_bytes"),), entity=A),
    Case("a string of digits", b'{"size_bytes":"7"}', {}, (("wrong_type", "size_bytes"),), entity=A),
    Case("a boolean", b'{"size_bytes":true}', {}, (("wrong_type", "size_bytes"),), entity=A),
    Case("1e400 in an unknown field", b'{"id":"a","x":1e400}', {"id": "a"}, ignored=frozenset({"threads.x"})),
]

WRONG_TYPES = [
    Case("a number for text", b'{"id":"a","subject":1}', {"id": "a"}, (("wrong_type", "subject"),)),
    Case("a boolean for text", b'{"subject":false}', {}, (("wrong_type", "subject"),)),
    Case("an object for text", b'{"subject":{"id":"x"}}', {}, (("wrong_type", "subject"),)),
    Case("text for a list", b'{"tags":"a"}', {}, (("wrong_type", "tags"),)),
    Case("an object for a list", b'{"tags":{}}', {}, (("wrong_type", "tags"),)),
    Case("a number in a list", b'{"tags":["a",1,2]}', {}, (("wrong_type", "tags"),)),
    Case("a list for an object", b'{"customer":[]}', {}, (("wrong_type", "customer"),)),
    Case("text for a custom field", b'{"custom_fields":["a"]}', {}, (("wrong_type", "custom_fields"),)),
    Case(
        "a number for the name of a custom field",
        b'{"custom_fields":[{"name":1,"value":"v"}]}',
        {"custom_fields": [{"name": None, "value": "v"}]},
        (("wrong_type", "custom_fields.name"),),
    ),
    Case("a number in an object", b'{"customer":{"id":1}}', _customer(), (("wrong_type", "customer.id"),)),
    Case(
        "several faults at once",
        b'{"id":1,"id":"b","tags":7,"created_at":"\\ud800","subject":"s"}',
        {"subject": "s"},
        (("duplicate_key", "id"), ("wrong_type", "tags"), ("invalid_timestamp", "created_at")),
    ),
]

DUPLICATES = [
    Case("a field twice", b'{"id":"a","subject":"x","subject":"y"}', {"id": "a"}, (("duplicate_key", "subject"),)),
    Case(
        "a field twice, once null",
        b'{"id":"a","subject":null,"subject":"y"}',
        {"id": "a"},
        (("duplicate_key", "subject"),),
    ),
    Case("a field twice, once escaped", b'{"id":"a","\\u0069d":"b"}', {}, (("duplicate_key", "id"),)),
    Case("a nested field twice", b'{"customer":{"id":"a","id":"a"}}', _customer(), (("duplicate_key", "customer.id"),)),
    Case("an object twice", b'{"customer":{},"customer":{}}', {}, (("duplicate_key", "customer"),)),
    Case(
        "a field of a custom field twice",
        b'{"custom_fields":[{"name":"n","value":"a","value":"b"}]}',
        {"custom_fields": [{"name": "n", "value": None}]},
        (("duplicate_key", "custom_fields.value"),),
    ),
    Case("an unknown field twice", b'{"id":"a","x":1,"x":2}', {"id": "a"}, ignored=frozenset({"threads.x"})),
    Case(
        "twice in an unknown object", b'{"id":"a","x":{"id":1,"id":2}}', {"id": "a"}, ignored=frozenset({"threads.x"})
    ),
]

SURROGATES = [
    Case("one in free text", b'{"subject":"a\\ud800b"}', {"subject": f"a{FFFD}b"}, sanitised=True),
    Case("a low one in free text", b'{"subject":"\\udc00"}', {"subject": FFFD}, sanitised=True),
    Case("a pair the wrong way round", b'{"subject":"\\udc00\\ud800"}', {"subject": FFFD * 2}, sanitised=True),
    Case(
        "one beside a pair",
        b'{"subject":"\\ud83d\\ude00\\ud83d"}',
        {"subject": f"\N{GRINNING FACE}{FFFD}"},
        sanitised=True,
    ),
    Case("one in a list", b'{"tags":["\\ud800"]}', {"tags": [FFFD]}, sanitised=True),
    Case("one in a customer's id", b'{"customer":{"id":"\\ud800"}}', _customer(id=FFFD), sanitised=True),
    Case("one in an id", b'{"id":"\\ud800","subject":"s"}', {"subject": "s"}, (("invalid_id", "id"),)),
    Case("one in a parent's id", b'{"brand_id":"\\ud800"}', {}, (("invalid_id", "brand_id"),)),
    Case("one in a word", b'{"status":"open\\ud800"}', {}, (("invalid_value", "status"),)),
    Case("one in a timestamp", b'{"updated_at":"\\ud800"}', {}, (("invalid_timestamp", "updated_at"),)),
    Case("one in a file's key", b'{"key":"\\ud800"}', {"key": FFFD}, entity=A, sanitised=True),
    Case("one in an unknown field", b'{"id":"a","x":"\\ud800"}', {"id": "a"}, ignored=frozenset({"threads.x"})),
    Case("one in an unknown name", b'{"id":"a","\\ud800":1}', {"id": "a"}, ignored=frozenset({f"threads.{FFFD}"})),
    Case("an escaped backslash before u", b'{"subject":"\\\\ud800"}', {"subject": "\\ud800"}),
]

UNKNOWN = [
    Case("an unknown field", b'{"id":"a","x":1}', {"id": "a"}, ignored=frozenset({"threads.x"})),
    Case(
        "an unknown object goes by its own name",
        b'{"id":"a","x":{"id":"b"}}',
        {"id": "a"},
        ignored=frozenset({"threads.x"}),
    ),
    Case("an unknown null", b'{"id":"a","x":null}', {"id": "a"}, ignored=frozenset({"threads.x"})),
    Case("an unknown empty name", b'{"id":"a","":1}', {"id": "a"}, ignored=frozenset({"threads."})),
    Case("NUL in an unknown name", b'{"id":"a","\\u0000":1}', {"id": "a"}, ignored=frozenset({f"threads.{FFFD}"})),
    Case(
        "an unknown nested field",
        b'{"customer":{"id":"c","x":1}}',
        _customer(id="c"),
        ignored=frozenset({"threads.customer.x"}),
    ),
    Case(
        "an unknown field of a custom field",
        b'{"custom_fields":[{"name":"n","x":1}]}',
        {"custom_fields": [{"name": "n", "value": None}]},
        ignored=frozenset({"threads.custom_fields.x"}),
    ),
    Case(
        "an unknown field with a wrong type beside it",
        b'{"x":1,"id":2}',
        {},
        (("wrong_type", "id"),),
        ignored=frozenset({"threads.x"}),
    ),
    Case(
        "a name of another entity",
        b'{"id":"a","subject":"s"}',
        {"id": "a"},
        entity=M,
        ignored=frozenset({"messages.subject"}),
    ),
    Case(
        "nesting of 300",
        b'{"id":"a","x":' + b"[" * 300 + b"]" * 300 + b"}",
        {"id": "a"},
        ignored=frozenset({"threads.x"}),
    ),
    Case("many brackets", b'{"id":"a","x":[' + b"[]," * 999 + b"[]]}", {"id": "a"}, ignored=frozenset({"threads.x"})),
]

MESSAGES = [
    Case(
        "an author and a telephone call",
        b'{"author":{"type":"staff","y":1},"telephony":{"duration_seconds":2e0,"x":1}}',
        {
            "author": {"type": "staff", "id": None, "name": None, "email": None, "phone": None},
            "telephony": {
                **dict.fromkeys(("call_id", "from", "to", "disposition", "recording_key", "transcript")),
                "duration_seconds": 2,
            },
        },
        entity=M,
        ignored=frozenset({"messages.author.y", "messages.telephony.x"}),
    ),
    Case(
        "a surrogate in the author's type",
        b'{"author":{"type":"\\ud800"}}',
        {"author": dict.fromkeys(("type", "id", "name", "email", "phone"))},
        (("invalid_value", "author.type"),),
        entity=M,
    ),
]

CASES = UNREADABLE + READABLE + NUMBERS + WRONG_TYPES + DUPLICATES + SURROGATES + UNKNOWN + MESSAGES


@pytest.mark.parametrize("careful", [False, True], ids=["columns", "lines"])
@pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])
def test_a_line_gives_its_own_row_and_leaves_its_neighbours_alone(case: Case, careful: bool) -> None:
    """A line of any kind becomes the expected row, and the lines around it are read as if it were not there."""
    text = b'{"id":"before"}\n' + case.line + b'\n{"id":"after"}\n'
    assert seen(read(text, case.entity, careful=careful), case.entity) == Seen(
        records=[{"id": "before"}, case.record, {"id": "after"}],
        lines=[1, 2, 3],
        faults=[(1, *fault) for fault in case.faults],
        sanitised={1} if case.sanitised else set(),
        ignored_fields=set(case.ignored),
    )


@pytest.mark.parametrize("case", UNREADABLE, ids=[case.name for case in UNREADABLE])
def test_a_reason_says_what_is_wrong_without_the_records_text(case: Case) -> None:
    """The message of a reason is a sentence of ours: nothing of the line is in it."""
    (batch,) = read(b'{"subject":"secret" ' + case.line, case.entity)
    assert "secret" not in batch.faults[0].reason.message


@pytest.mark.parametrize("careful", [False, True], ids=["columns", "lines"])
def test_an_object_over_two_lines_costs_those_lines_only(careful: bool) -> None:
    """An object that goes on after an LF is two bad lines, even where others hold as many objects too many."""
    text = b'{"id":"a"}\n{"id":\n"b"}\n{"id":"c"}{"id":"d"}\n{"id":"e"}\n'
    rows = seen(read(text, careful=careful))
    assert rows.records == [{"id": "a"}, {}, {}, {}, {"id": "e"}]
    assert rows.faults == [(row, "invalid_json", None) for row in (1, 2, 3)]


@pytest.mark.parametrize("careful", [False, True], ids=["columns", "lines"])
def test_blank_lines_are_no_records_but_count_as_lines(careful: bool) -> None:
    """Lines of white space are skipped, and the lines after them keep their numbers."""
    rows = seen(read(b'\n\n{"id":"a"}\n \t\r\n\r\n\n{"id":"b"}\n\n', careful=careful))
    assert (rows.records, rows.lines, rows.faults) == ([{"id": "a"}, {"id": "b"}], [3, 7], [])
