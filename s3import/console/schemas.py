"""The command that prints JSON Schemas."""

from __future__ import annotations

import click

from s3import.console import options
from s3import.core.json_schemas import schema_text, schema_titles


@click.command(cls=options.SingleCommand)
@click.argument("name", required=False)
def schema(name: str | None) -> None:
    """Print the JSON Schema of a record, a document of a dump, or what s3import tells; without NAME list them all.

    They follow JSON Schema 2020-12. `s3import serve` gives them at /schemas/NAME.json.
    """
    if name is not None:
        click.echo(schema_text(name), nl=False)
        return
    titles = schema_titles()
    column = 2 + max(map(len, titles))
    for known, title in titles.items():
        click.echo(f"{known:{column}}{title}")
