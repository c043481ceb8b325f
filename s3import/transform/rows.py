"""From right records to the rows of a table: Conversations' words become Re:amaze's, structs become columns."""

from __future__ import annotations

from collections.abc import Mapping

import pyarrow as pa
import pyarrow.compute as pc

from s3import.core.records import ORIGINS, STATUSES, VISIBILITIES, Entity, RunOptions, one_array
from s3import.core.tables import TARGETS
from s3import.transform.call_descriptions import with_descriptions

Columns = dict[str, pa.Array]

_CUSTOMER = {name: f"customer_{name}" for name in ("id", "name", "email", "phone")}
_AUTHOR = {name: f"author_{name}" for name in ("type", "id", "name", "email", "phone")}
_TELEPHONY = {
    "call_id": "call_id",
    "from": "call_from",
    "to": "call_to",
    "duration_seconds": "call_duration_seconds",
    "disposition": "call_disposition",
    "recording_key": "recording_key",
    "transcript": "transcript",
}


def to_rows(entity: Entity, accepted: pa.Table, options: RunOptions = RunOptions()) -> pa.Table:
    """The rows of the entity's table (`TARGETS`), its columns in their order, for the records of a `Checked.accepted`.

    `options`: whether files wait to be copied, and whether calls without a body get one (`calls`). `tags` and
    `custom_fields` become JSON text; every other column keeps its Arrow type. Rows correspond one to one. Deletions
    stay as they are.
    """
    if entity is Entity.DELETIONS:
        return accepted
    records = {name: one_array(accepted[name]) for name in accepted.column_names}
    columns = {**records, **_MAPPINGS[entity](records, options)}
    names = [column.name for column in TARGETS[entity].columns]
    return pa.table([columns[name] for name in names], names)


def _threads(records: Columns, _options: RunOptions) -> Columns:
    return {
        "status": _translate(records["status"], STATUSES),
        "tags": _json_list(records["tags"], _json_string(records["tags"].flatten())),
        "custom_fields": _json_list(records["custom_fields"], _json_fields(records["custom_fields"].flatten())),
        **_flatten(records["customer"], _CUSTOMER),
    }


def _messages(records: Columns, options: RunOptions) -> Columns:
    given = _translate(records["visibility"].fill_null("regular"), VISIBILITIES)
    return {
        "origin": _translate(records["kind"], ORIGINS),
        "body": with_descriptions(records) if options.describe_calls else records["body"],
        "visibility": pc.if_else(pc.equal(records["kind"], "note"), VISIBILITIES["internal"], given),
        **_flatten(records["author"], _AUTHOR),
        **_flatten(records["telephony"], _TELEPHONY),
    }


def _attachments(records: Columns, options: RunOptions) -> Columns:
    number = len(records["id"])
    return {
        "source_key": records["key"],
        "source_url": records["url"],
        "storage_key": pa.nulls(number, pa.string()),
        "state": pa.repeat("pending" if options.files_to else "referenced", number),
    }


_MAPPINGS = {Entity.THREADS: _threads, Entity.MESSAGES: _messages, Entity.ATTACHMENTS: _attachments}


def _translate(words: pa.StringArray, vocabulary: Mapping[str, str]) -> pa.StringArray:
    return pa.array(vocabulary.values()).take(pc.index_in(words, pa.array(vocabulary.keys())))


def _flatten(struct: pa.StructArray, names: Mapping[str, str]) -> Columns:
    return {column: pc.struct_field(struct, child) for child, column in names.items()}


# --- JSON text, column by column, as PostgreSQL shows it: a row then has the same fingerprint everywhere ------------


def _json_list(lists: pa.ListArray, elements: pa.StringArray) -> pa.StringArray:
    """The JSON arrays of lists without nulls whose flattened elements are JSON text already."""
    ends = pc.cumulative_sum(pc.list_value_length(lists))
    joined = pc.binary_join(pa.ListArray.from_arrays(pa.concat_arrays([_ZERO, ends]), elements), ", ")
    return pc.binary_join_element_wise("[", joined, "]", "")


def _json_fields(fields: pa.StructArray) -> pa.StringArray:
    name, value = (_json_string(pc.struct_field(fields, child)) for child in ("name", "value"))
    return pc.binary_join_element_wise('{"name": ', name, ', "value": ', value.fill_null("null"), "}", "")


def _json_string(text: pa.StringArray) -> pa.StringArray:
    """Each text in quotes with its escapes; null stays null."""
    escaped = pc.replace_substring(pc.replace_substring(text, "\\", "\\\\"), '"', '\\"')
    if pc.any(pc.match_substring_regex(escaped, r"[\x00-\x1f]")).as_py():
        for code in range(ord(" ")):
            escaped = pc.replace_substring(escaped, chr(code), _ESCAPES.get(chr(code), f"\\u{code:04x}"))
    return pc.binary_join_element_wise('"', escaped, '"', "")


_ESCAPES = {"\b": r"\b", "\f": r"\f", "\n": r"\n", "\r": r"\r", "\t": r"\t"}
_ZERO = pa.array([0], pa.int32())
