"""Commands about time: what happened to an account when."""

from __future__ import annotations

import click

from s3import.console import options


@click.command(cls=options.SingleCommand)
@options.account
@options.database
@options.json("Print one JSON object a line.")
def history(account: str, database: str | None, as_json: bool) -> None:
    """Show what happened to an account's passes, when, and who did it: the oldest first.

    Events are forgotten with everything else that is kept of a migration, by `reset` and by `purge`.
    """
    from s3import.console import telling
    from s3import.operations.composition import opened

    show = telling.event_as_json if as_json else telling.event_as_text
    with opened(options.settings_from(database=database)) as operations:
        for event in operations.each_event(account):
            click.echo(show(event))
