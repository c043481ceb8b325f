"""Writes the JSON Schemas that are shipped with the package: `python -m docs.schemas`.

Each is made from what the code itself goes by: records from the columns and the rules of the validators, the small
documents from the tables that read them, what is given from the models of the HTTP API.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
from pydantic import BaseModel, TypeAdapter

import s3import
from s3import.core.ids import ACCOUNT_ID_SCHEMA, ID_SCHEMA
from s3import.core.json_schemas import url_of
from s3import.core.records import ID_FIELDS, REQUIRED, SCHEMAS, TIMESTAMP_FIELDS, VOCABULARY, Entity
from s3import.core.signing import ALGORITHM
from s3import.readers.dump import account_document, objects
from s3import.readers.formats.members import Members, schema_of
from s3import.reporting.certificate import FORMAT, VERSION, Certificate
from s3import.reporting.status_document import UNKNOWN
from s3import.server.api.models import MigrationEvent, StatusDocument
from s3import.transform.validators.rules import ONE_OF, REQUIRED_WITHIN, WAYS_OUT, WHOLE_NUMBERS
from s3import.transform.validators.timestamps import INSTANT

FOLDER = Path(s3import.__file__).parent / "core/schemas"
DIALECT = "https://json-schema.org/draft/2020-12/schema"

Schema = dict[str, Any]


# --- records ---------------------------------------------------------------------------------------------------------


def record(entity: Entity) -> Schema:
    """A line of a part. What is absent and what is null is the same."""
    schema = _object(SCHEMAS[entity], "", REQUIRED[entity])
    if entity in ONE_OF:
        schema["oneOf"] = [{"required": [name], "properties": {name: {"type": "string"}}} for name in ONE_OF[entity]]
    return schema


def _object(members: pa.Schema | pa.DataType, prefix: str, required: tuple[str, ...]) -> Schema:
    properties = {
        member.name: _value(member.type, prefix + member.name, optional=member.name not in required)
        for member in members
    }
    return {"type": "object", "properties": properties, **({"required": list(required)} if required else {})}


def _value(kind: pa.DataType, path: str, *, optional: bool) -> Schema:
    """What a field may be; `path`: as the rules name it."""
    schema = _stated(kind, path)
    if not optional:
        return schema
    if "enum" in schema:
        return {**schema, "enum": [*schema["enum"], None]}
    return {**schema, "type": [schema["type"], "null"]}


def _stated(kind: pa.DataType, path: str) -> Schema:
    if pa.types.is_list(kind):
        return {"type": "array", "items": _stated(kind.value_type, path)}
    if pa.types.is_struct(kind):
        return _object(kind, f"{path}.", tuple(filter(None, [REQUIRED_WITHIN.get(path)])))
    if path in VOCABULARY:
        return {"enum": list(VOCABULARY[path])}
    if path in WHOLE_NUMBERS:
        return {"type": "integer", "minimum": 0, "maximum": WHOLE_NUMBERS[path]}
    if path == "account_id":
        return dict(ACCOUNT_ID_SCHEMA)
    if path in ID_FIELDS:
        return dict(ID_SCHEMA)
    if path in TIMESTAMP_FIELDS:
        return {"type": "string", "format": "date-time", "pattern": ecma(INSTANT)}
    if path == "key":
        return {"type": "string", "not": {"pattern": ecma(WAYS_OUT)}}
    return {"type": "string"}


def ecma(pattern: str) -> str:
    r"""The pattern of RE2 in the words of ECMA-262, as JSON Schema wants it. `\d` is a digit of ASCII in both."""
    return pattern.replace(r"\A", "^").replace(r"\z", "$")


# --- documents -------------------------------------------------------------------------------------------------------


def document(members: Members) -> Callable[[], Schema]:
    """A document that is read by that table."""
    return lambda: schema_of(members)


def model(kind: type[BaseModel]) -> Callable[[], Schema]:
    """A document that the HTTP API gives."""
    return kind.model_json_schema


def status() -> Schema:
    """The status document; the command line gives one too where the database does not answer."""
    schema = StatusDocument.model_json_schema()
    known = schema["properties"]["account_status"]
    known["anyOf"].append({"const": UNKNOWN, "description": "Only `s3import status`: the database does not answer."})
    return schema


def certificate() -> Schema:
    """A signed certificate: the members that are declared, those that name it, and the signature."""
    schema: Schema = TypeAdapter(Certificate).json_schema()
    run = schema["$defs"]["CertifiedRun"]
    run["properties"] = {name.rstrip("_"): shape for name, shape in run["properties"].items()}
    run["required"] = [name.rstrip("_") for name in run["required"]]
    text = {"type": "string"}
    signature = {"algorithm": {"const": ALGORITHM}, "key": text, "value": {**text, "pattern": "^[0-9a-f]{64}$"}}
    head: Schema = {"format": {"const": FORMAT}, "version": {"const": VERSION}}
    last: Schema = {
        "signature": {
            "type": "object",
            "description": "HMAC-SHA256 over the document without this member, as RFC 8785 writes it.",
            "properties": signature,
            "required": list(signature),
        }
    }
    properties = head | schema["properties"] | last
    return schema | {"properties": properties, "required": list(properties)}


MADE: Mapping[str, tuple[str, Callable[[], Schema]]] = {
    "thread": ("A thread: a line of a part below threads/", lambda: record(Entity.THREADS)),
    "message": ("A message: a line of a part below messages/", lambda: record(Entity.MESSAGES)),
    "attachment": ("An attachment: a line of a part below attachments/", lambda: record(Entity.ATTACHMENTS)),
    "deletion": ("A deletion: a line of a part below deletions/", lambda: record(Entity.DELETIONS)),
    "manifest": ("manifest.json: the parts of a pass", document(objects.MANIFEST_MEMBERS)),
    "account": ("account.json: an account, its brands and channels", document(account_document.ACCOUNT)),
    "status": ("The status document: `s3import status --json`, GET /check-migration", status),
    "callback": ("The body of a callback", model(MigrationEvent)),
    "certificate": ("A certificate: `s3import certificate`", certificate),
}
"""Each schema by its name: its title, and what makes it."""


def schemas() -> dict[str, Schema]:
    """All schemas by their names."""
    return {name: _whole(name, title, make()) for name, (title, make) in MADE.items()}


def _whole(name: str, title: str, schema: Schema) -> Schema:
    head = {"$schema": DIALECT, "$id": url_of(name), "title": title}
    return head | {word: value for word, value in schema.items() if word != "title"}


def as_text(schema: Schema) -> str:
    """A schema as its file has it."""
    return json.dumps(schema, indent=2, ensure_ascii=False) + "\n"


def main() -> None:
    """Write every schema anew."""
    FOLDER.mkdir(exist_ok=True)
    for name, schema in schemas().items():
        (FOLDER / f"{name}.json").write_text(as_text(schema), "utf-8")


if __name__ == "__main__":
    main()
