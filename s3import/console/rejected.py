"""The command that lists rejects, or writes them down to be mended."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import TYPE_CHECKING, Any

import click

from s3import.console import options
from s3import.console.output import say
from s3import.console.tabular import Column, print_rows
from s3import.core.errors import can_be_repaired

if TYPE_CHECKING:
    from s3import.core.settings import Settings
    from s3import.operations.reject_dump import RejectDump
    from s3import.reporting.pages import RejectSelection


REJECT_COLUMNS = [Column("record", cut=True), Column("id", cut=True), Column("reasons", wraps=True)]


@click.command(cls=options.SingleCommand)
@options.account
@options.database
@options.pass_
@options.code
@options.entity
@options.at_most
@options.as_dump
@options.json("Print one JSON object a line; with --as-dump, one of what was written.")
def rejects(
    account: str,
    database: str | None,
    pass_: str,
    code: str | None,
    entity: str | None,
    limit: int | None,
    as_dump: str | None,
    as_json: bool,
) -> None:
    """List the records that were not imported, each with its place, its reasons and (with --json) its text.

    On a terminal the list is a table. Elsewhere its columns are separated by tabs: pass, part and line; id; reasons.
    --as-dump writes the records as a delta instead, one on each line, with the reasons beside them. Mend the lines,
    then import them with `migrate --pass delta`. Rejects whose records are imported are no longer listed.
    """
    from s3import.core.records import Entity, Pass
    from s3import.reporting.pages import RejectSelection

    passes = tuple(Pass) if pass_ == "all" else options.passes_from(pass_)
    selection = RejectSelection(passes, code, Entity(entity) if entity else None)
    settings = options.settings_from(database=database)
    if as_dump is None:
        list_rejects(settings, account, selection, limit, as_json=as_json)
    else:
        from s3import.console import summary
        from s3import.operations.reject_dump import write_rejects

        found = write_rejects(settings, account, as_dump, selection, limit)
        click.echo(summary.document_as_json(found.document()) if as_json else dump_as_text(found))


def list_rejects(
    settings: Settings, account: str, selection: RejectSelection, limit: int | None, *, as_json: bool
) -> None:
    """Show the first `limit` rejects, a line each, and on stderr how many they are and what can be done."""
    from s3import.console import summary
    from s3import.console.place import place_of
    from s3import.operations.composition import opened

    listed, codes = 0, set[str]()

    def noted(rejects: Iterable[dict[str, Any]]) -> Iterator[dict[str, Any]]:
        nonlocal listed
        for listed, reject in enumerate(rejects, 1):  # noqa: B007 - how many there were is told below
            codes.update(reason["code"] for reason in reject["reasons"])
            yield reject

    with opened(settings) as operations:
        found = noted(islice(operations.each_reject(account, selection), limit))
        if as_json:
            for reject in found:
                click.echo(summary.reject_as_json(reject))
        else:
            print_rows(REJECT_COLUMNS, map(summary.reject_cells, found))
    advice = f"; {summary.repair(account, codes)}" if listed else ""
    if can_be_repaired(codes):
        advice += "; --as-dump DIR writes them down to be mended one by one"
    how_many = summary.plural(listed, "reject") if listed else "no rejects"
    say(f"account {account}: {how_many} in {place_of(settings).database}{advice}")


def dump_as_text(found: RejectDump) -> str:
    """What was written where, what was not, and what comes next."""
    name, folder = found.account_id, found.folder
    written = ", ".join(f"{count:,} {entity}" for entity, count in found.written.items()) or "nothing to mend"
    lines = [f"account {name}: rejects written below {folder}: {written}"]
    if found.not_written:
        told = ", ".join(f"{count:,} {why}" for why, count in found.not_written.items())
        lines.append(f"  only named, in not-written.jsonl: {told}")
    if found.without_id:
        lines.append(f"  {found.without_id:,} without an id that could be read: these stay listed, mended or not")
    if found.written:
        source = f"--pass delta --source {shlex.quote(folder)}"
        lines.append("  what is wrong with line N of delta/ENTITY/rejects.jsonl: line N of reasons/ENTITY.jsonl")
        lines.append(f"  once they are mended: s3import migrate --account {shlex.quote(name)} {source}")
    return "\n".join(lines)
