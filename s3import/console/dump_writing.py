"""Commands for whoever writes dumps: the JSON Schemas, and a sample."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING

import click

from s3import.console import completed, options
from s3import.console.tabular import Column, print_rows
from s3import.core.json_schemas import schema_text, schema_titles

if TYPE_CHECKING:
    from s3import.operations.sample.sample_dump import SampleDump


SCHEMA_COLUMNS = [Column("name"), Column("describes", wraps=True)]


@click.command(cls=options.SingleCommand)
@click.argument("name", required=False, shell_complete=completed.schemas)
def schema(name: str | None) -> None:
    """Print the JSON Schema of a record or a document; without NAME, list all schemas.

    The schemas follow JSON Schema 2020-12. `s3import serve` serves them at /schemas/NAME.json.
    """
    if name is not None:
        click.echo(schema_text(name), nl=False)
        return
    print_rows(SCHEMA_COLUMNS, schema_titles().items())


@click.command(cls=options.SingleCommand)
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path))
@options.messages
@options.faults
def sample(folder: Path, messages: int, faults: bool) -> None:
    """Write a sample dump into DIR: both passes, files and deletions of an invented account.

    The same command writes the same records. With --faults, DIR/expected-rejects.jsonl lists the rejects that an import
    with --files-to and `s3import validate` must report, as `s3import rejects --json` does, without messages and texts.
    """
    from s3import.operations.sample.sample_dump import write_sample

    click.echo(sample_as_text(write_sample(folder, messages, faults=faults)))


def sample_as_text(sample: SampleDump) -> str:
    """What was written, and what to do with it."""
    place = shlex.quote(str(sample.folder))
    written = ", ".join(f"{number:,} {entity}" for entity, number in sample.counts.items())
    faulty = f", and {sample.faulty} faulty records, of which expected-rejects.jsonl tells" if sample.faulty else ""
    return (
        f"account {sample.account_id}: {written}{faulty}\n"
        f"  s3import validate {place}\n"
        f"  s3import migrate --account {sample.account_id} --source {place}"
        + (f" --files-to {shlex.quote(f'{sample.folder}-files')}" if sample.faulty else "")
    )
