"""Commands about time: what will take how long, and what happened when."""

from __future__ import annotations

from typing import Any

import click

from s3import.console import options
from s3import.console.tabular import Column, print_rows

EVENT_COLUMNS = [Column("at"), Column("pass"), Column("event", wraps=True), Column("by", cut=True)]


@click.command(cls=options.SingleCommand)
@options.account
@options.database
@options.json("Print one JSON object a line.")
def history(account: str, database: str | None, as_json: bool) -> None:
    """Show what happened to an account's passes, when, and who did it: the oldest first.

    On a terminal the list is a table. Elsewhere its columns are separated by tabs: time, pass, event, who did it.
    `reset` and `purge` delete the events, with everything else that is kept of a migration.
    """
    from s3import.console import telling
    from s3import.operations.composition import opened

    with opened(options.settings_from(database=database)) as operations:
        events = operations.each_event(account)
        if as_json:
            for event in events:
                click.echo(telling.event_as_json(event))
        else:
            print_rows(EVENT_COLUMNS, map(telling.event_cells, events))


@click.command(cls=options.SingleCommand)
@options.account
@options.source
@options.items
@options.recent_days
@options.database
@options.workers
@options.files_to
@options.json("Print one JSON document: each number with its low, expected and high value.")
def estimate(account: str, as_json: bool, **given: Any) -> None:
    """Estimate how long an import will take, and how many records, rejects and files it has. Nothing is written.

    The command reads a sample of at most 5 seconds and 64 MiB. Ranges go from the tenth to the ninetieth percentile,
    and become narrower with every run in this database. Exit status 1 when there is no dump.
    """
    from s3import.console import telling
    from s3import.operations.estimate.estimate import estimate

    found = estimate(options.settings_from(**given), account)
    click.echo(telling.estimate_as_json(found) if as_json else telling.estimate_as_text(found))
