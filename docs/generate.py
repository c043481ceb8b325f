"""Fills in what the docs take from the code: `python -m docs.generate`.

A page names such a text between two comments, `<!-- made: NAME -->` and `<!-- end -->`; `MADE` has the names. The test
beside it, tests/docs/test_generate.py, finds a page that is out of date.
"""

from __future__ import annotations

import ast
import re
import tomllib
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import click
import pyarrow as pa
import sqlalchemy as sa
from sqlalchemy.dialects import mysql, postgresql, sqlite
from sqlalchemy.engine import Dialect
from sqlalchemy.schema import CreateColumn

from s3import.cli import cli
from s3import.console.exits import status_of
from s3import.core import errors, tables
from s3import.core.errors import S3ImportError
from s3import.core.explanations import GROUPS, Explanation, explanations
from s3import.core.records import (
    ID_FIELDS,
    REQUIRED,
    SCHEMAS,
    TIMESTAMP_FIELDS,
    VOCABULARY,
    Entity,
)
from s3import.core.settings import DECLARED, Settings

HERE = Path(__file__).parent
README = HERE.parent / "README.md"
PACKAGE = HERE.parent / "s3import"
REGION = re.compile(r"(<!-- made: ([\w-]+)(?: ([\w-]+))? -->\n).*?(<!-- end -->)", re.DOTALL)


def filled(page: str) -> str:
    """The page with each of its regions made anew. Raises: KeyError for a name that `MADE` lacks."""

    def fill(region: re.Match[str]) -> str:
        make = MADE[region[2]]
        text = make(region[3]) if region[3] else make()
        return f"{region[1]}\n{text}\n\n{region[4]}"

    return REGION.sub(fill, page)


def pages() -> list[Path]:
    """The pages that have regions."""
    return [page for page in (README, *sorted(HERE.rglob("*.md"))) if REGION.search(page.read_text("utf-8"))]


def table(*heads: str, rows: Iterable[Iterable[str]]) -> str:
    """A table of Markdown."""
    lines = (map(str.strip, cells) for cells in (heads, ["---"] * len(heads), *rows))
    return "\n".join(f"|{'|'.join(f' {cell} ' if cell else ' ' for cell in cells)}|" for cells in lines)


def code(text: str) -> str:
    """The text as code, unless it is empty."""
    return f"`{text}`" if text else ""


# --- commands and settings ------------------------------------------------------------------------------------------


def commands() -> str:
    """Each command with the first sentence of its help."""
    return table("command", "what it does", rows=sorted(_commands(cli, "s3import")))


def _commands(group: click.Group, name: str) -> Iterator[tuple[str, str]]:
    for command in group.commands.values():
        if isinstance(command, click.Group):
            yield from _commands(command, f"{name} {command.name}")
        else:
            sentence = re.split(r"(?<=[.;:]) ", " ".join((command.help or "").split()))[0]
            yield code(f"{name} {command.name}"), f"{sentence.rstrip('.;:')}."


def settings() -> str:
    """Each environment variable."""
    rows = ((code(setting.variable), setting.default, setting.told) for setting in DECLARED.values())
    return table("variable", "default", "what it is", rows=rows)


# --- the dump -------------------------------------------------------------------------------------------------------


def fields(entity: str) -> str:
    """The fields of an entity's records, members of objects by their path."""
    rows = (
        (code(name), kind, "yes" if name in REQUIRED[Entity(entity)] else "")
        for name, kind in _fields(SCHEMAS[Entity(entity)], "")
    )
    return table("field", "value", "required", rows=rows)


def _fields(members: pa.Schema | pa.StructType, prefix: str) -> Iterator[tuple[str, str]]:
    for index in range(len(members.names) if isinstance(members, pa.Schema) else members.num_fields):
        member = members.field(index)
        name = f"{prefix}{member.name}"
        yield name, _value(name, member.type)
        inner = member.type.value_type if pa.types.is_list(member.type) else member.type
        if pa.types.is_struct(inner):
            yield from _fields(inner, f"{name}[]." if pa.types.is_list(member.type) else f"{name}.")


def _value(name: str, kind: pa.DataType) -> str:
    """What a field may hold, in words."""
    if name in VOCABULARY:
        return f"one of {', '.join(map(code, VOCABULARY[name]))}"
    if name in ID_FIELDS:
        return "id"
    if name in TIMESTAMP_FIELDS:
        return "timestamp"
    if pa.types.is_list(kind):
        return "list of objects" if pa.types.is_struct(kind.value_type) else "list of strings"
    return "object" if pa.types.is_struct(kind) else "integer" if pa.types.is_integer(kind) else "text"


def words() -> str:
    """The words of Conversations and those of Re:amaze."""
    from s3import.core.records import ORIGINS, STATUSES, VISIBILITIES

    columns = {"threads.status": STATUSES, "messages.origin": ORIGINS, "messages.visibility": VISIBILITIES}
    fields_of = {"threads.status": "status", "messages.origin": "kind", "messages.visibility": "visibility"}
    return table(
        "field",
        "word in the dump",
        "column",
        "word in the database",
        rows=(
            (code(fields_of[column]), code(theirs), code(column), code(ours))
            for column, translated in columns.items()
            for theirs, ours in translated.items()
        ),
    )


# --- the tables -----------------------------------------------------------------------------------------------------

DIALECTS: tuple[Dialect, ...] = tuple(dialect() for dialect in (postgresql.dialect, mysql.dialect, sqlite.dialect))


def columns(name: str) -> str:
    """The columns of a table with their types on the three databases."""
    found = tables.metadata.tables[name]
    keys = {column: constraint for constraint in found.foreign_key_constraints for column in constraint.column_keys}
    rows = (
        (
            code(column.name),
            *(code(_type(column, dialect)) for dialect in DIALECTS),
            "" if column.nullable else "yes",
            _role(column, keys),
        )
        for column in found.columns
    )
    return table("column", "PostgreSQL", "MySQL, MariaDB", "SQLite", "never null", "key", rows=rows)


def _type(column: sa.Column[Any], dialect: Dialect) -> str:
    """The column's type as the database calls it, without its collation."""
    made = str(CreateColumn(column).compile(dialect=dialect)).removeprefix(column.name).strip()
    return re.split(r" (?:COLLATE|CHARACTER SET|NOT NULL)\b", made)[0].strip('" `')


def _role(column: sa.Column[Any], keys: dict[str, sa.ForeignKeyConstraint]) -> str:
    primary = ["primary"] if column.primary_key else []
    constraint = keys.get(column.name)
    parent = [f"of `{constraint.referred_table.name}`"] if constraint is not None else []
    return ", ".join(primary + (parent if column.name != "account_id" or len(keys) == 1 else []))


# --- codes, exit statuses -------------------------------------------------------------------------------------------


def every_explanation() -> str:
    """Every code, explained: the entries that messages, notices and problem documents lead to."""
    lines: list[str] = []
    for group, title in GROUPS.items():
        lines += [f"## {title}", ""]
        for explanation in (one for one in explanations().values() if one.group == group):
            lines += [
                f"### `{explanation.code}`",
                "",
                explanation.meaning,
                "",
                f"- **Cause:** {explanation.cause}",
                f"- **Cure:** {explanation.cure}",
                f"- **Example:** {explanation.example}",
                "",
            ]
    return "\n".join(lines).rstrip()


def codes(group: str) -> str:
    """The codes of a group, each with its meaning and, of errors and answers, the status that goes with it."""
    found = [one for one in explanations().values() if one.group == group]
    heads = {"errors": ("exit status",), "answers": ("HTTP status",)}.get(group, ())
    of_group: dict[str, Callable[[Explanation], tuple[str, ...]]] = {
        "errors": lambda one: (_exit_status(one.code),),
        "answers": lambda one: (one.example[:3],),
    }
    more: Callable[[Explanation], tuple[str, ...]] = of_group.get(group, lambda one: ())
    rows = ((f"[`{one.code}`](../guides/errors.md#{one.code})", one.meaning, *more(one)) for one in found)
    return table("code", "meaning", *heads, rows=rows)


WITHOUT_CLASS = {
    "interrupted": "130, 143",
    "cancelled": "1",
    "temporary_folder": "1",
    "not_delivered": "",
    "refused": "",
}
"""Codes whose exit status their class does not tell: signals, codes of single places, and what ends no command."""


def _exit_status(code: str) -> str:
    """The exit status of an error's code. Raises: KeyError for one that has neither a class nor a line above."""
    statuses = {kind.code: str(status_of(kind(""))) for kind in _errors(S3ImportError) if "code" in vars(kind)}
    return {**statuses, **WITHOUT_CLASS}[code]


def _errors(kind: type[S3ImportError]) -> Iterator[type[S3ImportError]]:
    for child in kind.__subclasses__():
        if child.__module__ == errors.__name__:
            yield child
            yield from _errors(child)


# --- documents, metrics, log events ---------------------------------------------------------------------------------


def members(model: str) -> str:
    """The members of a document of the API, those of objects within it by their path."""
    from s3import.server.api import models

    schema = getattr(models, model).model_json_schema(by_alias=True)
    return table("member", "value", "what it says", rows=_members(schema, schema.get("$defs", {}), ""))


APART = {"PassStatus": "a pass", "Counts": "counts", "VerifiedEntity": "counts of a verification", "Span": "a range"}
"""Objects that occur several times, and what a page calls the table of their members."""


def _members(schema: dict[str, Any], known: dict[str, Any], prefix: str) -> Iterator[tuple[str, str, str]]:
    for name, member in schema["properties"].items():
        shapes = member.get("anyOf", [member])
        shape = next(one for one in shapes if one.get("type") != "null")
        is_list = shape.get("type") == "array"
        inner = shape.get("items") or shape.get("additionalProperties") or shape
        refers = inner.get("$ref", "").rpartition("/")[2]
        target = known.get(refers, inner)
        path = f"{prefix}{name}{'[]' if is_list else '.*' if 'additionalProperties' in shape else ''}"
        null = ", or null" if len(shapes) > 1 else ""
        told = member.get("description") or (target.get("description", "") if "properties" in target else "")
        yield code(path), APART.get(refers) or _kind(target) + null, " ".join(told.split())
        if "properties" in target and refers not in APART:
            yield from _members(target, known, f"{path}.")


def _kind(schema: dict[str, Any]) -> str:
    """What a value is, in words."""
    if "enum" in schema or "const" in schema:
        return ", ".join(map(code, schema.get("enum", [schema.get("const")])))
    if schema.get("format") == "date-time":
        return "timestamp"
    kinds = {"string": "text", "object": "object", "boolean": "true or false"}
    return kinds.get(str(schema.get("type")), str(schema.get("type", "")))


def metrics() -> str:
    """Each metric with its labels."""
    from s3import.reporting.metrics import DESCRIBED

    rows = ((code(one.name), one.kind, ", ".join(map(code, one.labels)), one.told) for one in DESCRIBED)
    return table("metric", "type", "labels", "what it says", rows=rows)


LEVELS = {"debug", "info", "warning", "error", "exception", "critical", "log"}


def logged() -> Iterator[tuple[Path, int, str, str | None]]:
    """Each place of the program that logs: its file, line and level, and the event that it names."""
    for path in sorted(PACKAGE.rglob("*.py")):
        text = path.read_text("utf-8")
        for node in ast.walk(ast.parse(text)) if "log." in text else ():
            match node:
                case ast.Call(func=ast.Attribute(value=ast.Name(id="log"), attr=level)) if level in LEVELS:
                    extras = [ast.literal_eval(word.value) for word in node.keywords if word.arg == "extra"]
                    yield path, node.lineno, level, extras[0].get("event") if extras else None


def log_events() -> str:
    """Each event with its levels. Raises: KeyError for one that log-events.toml does not explain."""
    told = tomllib.loads((HERE / "reference/log-events.toml").read_text("utf-8"))
    levels: dict[str, set[str]] = {}
    for *_, level, event in logged():
        levels.setdefault(str(event), set()).add("error" if level == "exception" else level)
    rows = ((code(event), ", ".join(sorted(levels[event])), told[event]) for event in sorted(levels))
    return table("event", "level", "what happened", rows=rows)


# --- HTTP -----------------------------------------------------------------------------------------------------------


def openapi() -> dict[str, Any]:
    """The description of the HTTP API, as `/openapi.json` gives it. Nothing is opened for it."""
    from s3import.operations.composition import operations_for_clients
    from s3import.server.api.application import create_app
    from s3import.writers import open_database

    described = Settings(database="sqlite:///never-opened.db")
    document: dict[str, Any] = create_app(
        operations_for_clients(described, open_database(described.database)), tokens=()
    ).openapi()
    return document


def routes() -> str:
    """Each request that the API answers."""
    rows = (
        (code(f"{method.upper()} {path}"), " ".join(operation["description"].split()))
        for path, operations in openapi()["paths"].items()
        for method, operation in operations.items()
    )
    return table("request", "what it does", rows=rows)


MADE: dict[str, Callable[..., str]] = {
    "commands": commands,
    "settings": settings,
    "fields": fields,
    "words": words,
    "columns": columns,
    "explanations": every_explanation,
    "codes": codes,
    "members": members,
    "metrics": metrics,
    "log-events": log_events,
    "routes": routes,
}
"""What makes each kind of region, by its name; a second word in the comment is its argument."""


def main() -> None:
    """Make every region anew."""
    for page in pages():
        text = page.read_text("utf-8")
        if (new := filled(text)) != text:
            page.write_text(new, "utf-8")


if __name__ == "__main__":
    main()
