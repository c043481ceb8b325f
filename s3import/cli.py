"""The command line: options become settings and calls, outcomes become text or JSON and an exit status."""

from __future__ import annotations

import gc
import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from typing import TYPE_CHECKING, Any, NoReturn

import click

from s3import import __version__
from s3import.console import certified, completed, dump_writing, explained, options, rejected, streams, times
from s3import.console.exits import DONE, FAILED, SOME_REJECTED, exit_status, status_of, worst
from s3import.console.output import after_the_work, complain, say
from s3import.console.signals import signals
from s3import.core.errors import (
    ConfigurationError,
    DatabaseUnavailable,
    OutputLost,
    S3ImportError,
    as_failure,
)
from s3import.core.tracebacks import keep_texts_in

if TYPE_CHECKING:
    from s3import.console.place import WorkPlace
    from s3import.console.terminal import Terminal
    from s3import.core.settings import Settings
    from s3import.files import Retried
    from s3import.importing.requests import Result


_NEW_OBJECTS = 10_000  # until Python looks for cycles: with its 700, that is 5 to 10 % of each command's start


@click.group(cls=options.Group, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(__version__)
def cli() -> None:
    """Import accounts from their dumps into the Re:amaze database, each record exactly once.

    Exit status: 0 done or nothing to do; 1 failed; 2 wrong usage; 3 done, some records rejected; 4 another run of the
    account is at work; 75 temporary failure, run the same command again; 130/143 interrupted, the checkpoint is kept.

    The code at the end of a message is explained by `s3import explain CODE`.
    """


cli.add_command(completed.completion)
cli.add_command(explained.explain)
cli.add_command(dump_writing.sample)
cli.add_command(dump_writing.schema)
cli.add_command(times.estimate)
cli.add_command(times.history)
cli.add_command(rejected.rejects)
cli.add_command(certified.certificate)


@cli.group()
def db() -> None:
    """The database's tables."""


@db.command("init")
@options.database
def db_init(database: str | None) -> None:
    """Create the tables, or upgrade them to this version."""
    from s3import.console import summary
    from s3import.console.place import place_of
    from s3import.operations.db import create_tables

    settings = options.settings_from(database=database)
    click.echo(summary.tables_as_text(create_tables(settings), place_of(settings)))


@cli.group()
def mapping() -> None:
    """How DynamoDB's items become records."""


@mapping.command("try")
@options.account
@options.source
@options.items
@options.limit
@options.json("Print one JSON object a line.")
def mapping_try(account: str, limit: int, as_json: bool, **given: Any) -> None:
    """Show an account's first items and the records that the mapping makes of them. Nothing is written."""
    from s3import.console import summary
    from s3import.operations.mapping_preview import try_mapping

    show = summary.tried_as_json if as_json else summary.tried_as_text
    for tried in try_mapping(options.settings_from(**given), account, limit):
        click.echo(show(tried))


@cli.command()
@options.account
@options.source
@options.items
def export(account: str, **given: Any) -> None:
    """Export the tables of a mapping to S3, as they are now, and wait until that is done.

    AWS exports whole tables. Items of other accounts are left out when the export is imported.
    """
    with signals() as stop:
        from s3import.operations.export_tables import export

        for exported in export(options.settings_from(**given), account, stop=stop):
            click.echo(f"{exported.table_name}: {exported.item_count} items, {exported.arn}")


@cli.command()
@options.accounts
@options.source
@options.items
@options.recent_days
@options.database
@options.pass_
@options.workers
@options.max_rejects
@options.files_to
@options.files_in_flight
@options.describe_calls
@options.accounts_from
@options.all_accounts
@options.again
@options.dry_run
@options.detach
@options.json("Print one JSON document: that of `status`, or a list of them under `accounts`.")
def migrate(dry_run: bool, detach: bool, as_json: bool, **given: Any) -> None:
    """Import the recent pass of accounts and then the remaining pass, unless they are imported already.

    With `--pass delta`, import what changed since, once for each new delta. With `--again`, read imported passes again.
    After a failure or a crash, the same command resumes at the last checkpoint. Temporary failures are retried for
    S3IMPORT_RETRY_SECONDS (120). When stderr is not a terminal, a line every S3IMPORT_PROGRESS_SECONDS (5) shows the
    progress.
    """
    with signals() as stop:
        from s3import.console.place import place_of
        from s3import.operations.dry_run import dry_run_accounts
        from s3import.operations.migrate import migrate
        from s3import.operations.queue import queue
        from s3import.operations.sources import accounts_of, shared_by

        if dry_run and detach:
            raise ConfigurationError("--dry-run writes nothing and --detach queues the work; give one of them")
        asked, settings = options.Asked.taken_from(given), options.settings_from(**given)
        named = asked.named_accounts()
        with shared_by(settings, named) as shared:
            found = accounts_of(settings, shared, asked.passes) if named is None else named
            requests = asked.requests(settings, found)
            at_once = partial(dry_run_accounts if dry_run else migrate, shared=shared)
            place = place_of(settings, requests)
            with screen_at(place, settings, len(requests)) as screen:
                results = (queue if detach and not dry_run else at_once)(settings, requests, observe=screen, stop=stop)
    print_results(results, place, as_json=as_json)
    raise click.exceptions.Exit(stop.exit_status or worst(exit_status(result) for result in results))


def print_results(results: list[Result], place: WorkPlace, *, as_json: bool) -> None:
    """Say what became of the accounts: the documents on stdout, what went wrong on stderr."""
    from s3import.console import summary

    with after_the_work():
        click.echo(summary.as_json(results) if as_json else summary.as_text(results, place))
    for error in summary.errors(results):
        complain(error)
    for complaint in summary.complaints(results) if as_json else ():  # the text has it already
        say(complaint)


@cli.command()
@options.any_account
@options.state
@options.database
@options.watch
@options.json("Print the status document as JSON; of several accounts, and with --watch, one a line.")
def status(account: str | None, state: str | None, database: str | None, watch: bool, as_json: bool) -> None:
    """Show the progress of an account; without --account, list the accounts at work and the 100 done last.

    On a terminal the list is a table. Elsewhere its columns are separated by tabs: account, status, recent pass,
    remaining pass, delta, open rejects, source, database.
    The command prints the status once, or repeatedly with --watch. When the database does not answer, the exit status
    is 75 and the account's status `unknown`.
    """
    from s3import.console.place import place_of
    from s3import.console.standings import nobody, standings
    from s3import.console.watch import look, watch_to_the_end
    from s3import.reporting.status_document import unknown

    if account is not None and state is not None:
        raise ConfigurationError("--state chooses among all accounts; give it without --account")
    settings = options.settings_from(database=database)
    place = place_of(settings)
    show = partial(standings, as_json=as_json, place=place, listed=account is None, state=state)
    try:
        if watch:
            documents = watch_to_the_end(settings, account, state, show, as_json=as_json)
        else:
            documents = look(settings, account, state)
            shown = show(documents)
            click.echo(shown, nl=bool(shown))
    except DatabaseUnavailable:
        if account is not None:
            click.echo(show([unknown(account)]))
        raise
    if not documents and not as_json and not sys.stdout.isatty():
        say(f"{place.database}: {nobody(state)}")


@cli.command()
@click.argument("source", metavar="PATH|URI")
@options.any_account
@options.role
@options.workers
@options.json("Print one JSON document: counts, the first rejects of each pass, and what else was found.")
def validate(source: str, account: str | None, as_json: bool, **given: Any) -> None:
    """Check a dump as an import would, without a database.

    This checks manifests, account.json and every record, parents within the dump, ids that occur twice, files behind
    `key`, and deletions. --account may be left out when account.json or a manifest names the account. Exit status 0
    when the dump is right, 3 when records would be rejected, 1 when the dump cannot be imported as a whole.
    """
    with signals() as stop:
        from s3import.console import summary, validated
        from s3import.operations.validate.validation import validate

        settings = options.settings_from(**given)
        with screen_at(f"from {source}", settings) as screen:
            report = validate(settings, source, account, observe=screen, stop=stop)
    with after_the_work():
        click.echo(summary.document_as_json(report.document()) if as_json else validated.as_text(report))
    raise click.exceptions.Exit(FAILED if report.failures else SOME_REJECTED if report.rejected else DONE)


@cli.command()
@options.account
@options.source
@options.items
@options.database
@options.workers
@options.json("Print one JSON document: counts by entity, and what differs, by id and field.")
def verify(account: str, as_json: bool, **given: Any) -> None:
    """Compare what was imported of an account with its dump, record by record; exit status 1 on any difference.

    Without --source, each pass is compared with the dump that it was imported from. Rows that people changed, deleted
    or created since are counted separately and are not differences. The result is kept, and `status` shows it.
    """
    with signals() as stop:
        from s3import.console import summary
        from s3import.console.place import place_of_account
        from s3import.operations.verify.account import verify

        settings = options.settings_from(**given)
        place = place_of_account(settings, account, settings.source)
        with screen_at(place, settings) as screen:
            verified = verify(settings, account, observe=screen, stop=stop)
    with after_the_work():
        click.echo(summary.verified_as_json(verified) if as_json else summary.verified_as_text(verified, place))
    if verified.findings.difference_count:
        raise click.exceptions.Exit(FAILED)


@cli.group()
def files() -> None:
    """The bytes behind attachments and recordings."""


@files.command("copy")
@options.files
def files_copy(account: str, as_json: bool, **given: Any) -> None:
    """Copy the files of an account that was imported without --files-to.

    Files are looked for in the source of their pass, then in --source. An interrupted command resumes, and copied files
    are not copied again. Exit status 3 when some failed: `rejects` lists them, `files retry` retries them.
    """
    from s3import.operations.files import copy_files

    later_files(copy_files, account, as_json=as_json, **given)


@files.command("retry")
@options.files
def files_retry(account: str, as_json: bool, **given: Any) -> None:
    """Retry the files of an account that could not be copied. Copied files are no longer rejects.

    Files are looked for in the source of their pass, then in --source. They are copied to the same place as before,
    unless --files-to is given. Exit status 3 when some failed again.
    """
    from s3import.operations.files import retry_files

    later_files(retry_files, account, as_json=as_json, **given)


def later_files(copy: Callable[..., Retried], account: str, *, as_json: bool, **given: Any) -> NoReturn:
    """Copy files of an account with its progress on stderr, and say what became of them."""
    with signals() as stop:
        from s3import.console import summary
        from s3import.console.place import place_of_account

        settings = options.settings_from(**given)
        place = place_of_account(settings, account)
        with screen_at(place, settings) as screen:
            retried = copy(settings, account, observe=screen, stop=stop)
    with after_the_work():
        click.echo(summary.document_as_json(retried.document()) if as_json else summary.retried_as_text(retried, place))
    raise click.exceptions.Exit(SOME_REJECTED if retried.failed else DONE)


@cli.command()
@options.account
@options.database
def cancel(account: str, database: str | None) -> None:
    """Stop the queued or running passes of an account at their next batch; the checkpoint is kept."""
    from s3import.console import summary
    from s3import.console.place import place_of_account
    from s3import.operations.composition import opened_telling

    settings = options.settings_from(database=database)
    with opened_telling(settings) as operations:
        cancelled = operations.cancel_account(account)
    click.echo(summary.cancelled_as_text(account, cancelled, place_of_account(settings, account)))


@cli.command()
@options.account
@options.items
@options.database
@options.yes
@options.force
def reset(account: str, yes: bool, force: bool, **given: Any) -> None:
    """Remove what was imported of an account: rows, files and bookkeeping; the account is `migrating` again afterwards.

    Before its recent pass is imported, all its threads, messages and attachments are removed. After that, its dumps are
    read again, and the rows that they hold are removed with everything below them. Other rows that people made stay.
    """
    with signals() as stop:
        from s3import.console import summary
        from s3import.console.place import place_of_account
        from s3import.operations.reset import reset

        settings = options.settings_from(**given)
        place = place_of_account(settings, account)
        with screen_at(place, settings) as screen:
            removed = reset(settings, account, confirmed=yes, force=force, observe=screen, stop=stop)
    click.echo(summary.removed_as_text(removed, place))


@cli.command()
@options.any_account
@options.expired
@options.database
@options.yes
def purge(account: str | None, expired: bool, database: str | None, yes: bool) -> None:
    """Forget what was kept of a migration that is over: rejects with their text, runs, deletions. Rows stay.

    --expired purges every account whose last run ended more than S3IMPORT_RETENTION_DAYS ago, and needs no --yes.
    `serve` and `worker` do the same by themselves.
    """
    if (account is None) is not expired:
        raise ConfigurationError("give either --account ID or --expired")
    with signals() as stop:
        from s3import.console import summary
        from s3import.console.place import place_of, place_of_account
        from s3import.operations.purge import purge, purge_expired

        settings = options.settings_from(database=database)
        place = place_of(settings) if account is None else place_of_account(settings, account)
        with screen_at(place, settings) as screen:
            if account is None:
                for name in purge_expired(settings, observe=screen, stop=stop):
                    click.echo(f"account {name}: purged")
                return
            removed = purge(settings, account, confirmed=yes, observe=screen, stop=stop)
    click.echo(summary.purged_as_text(account, removed, place))


@cli.command()
@options.host
@options.port
@options.imports
def serve(host: str, port: int, **given: Any) -> None:
    """Serve the HTTP API, and import what is queued.

    This process imports, or, with S3IMPORT_BROKER set, `s3import worker` processes do. Tokens come from
    S3IMPORT_API_TOKENS; without tokens, only this machine is served.
    """
    with service_extra():
        from s3import.server.processes import serve
    serve(options.settings_from(**given), host, port)


@cli.command()
@options.imports
def worker(**given: Any) -> None:
    """Import parts that the broker of S3IMPORT_BROKER offers; any number of workers may run at the same time."""
    with service_extra():
        from s3import.server.processes import work
    work(options.settings_from(**given))


def screen_at(place: WorkPlace | str, settings: Settings, accounts: int = 1) -> Terminal:
    """What shows the progress of a command on stderr, for as long as it is entered."""
    from s3import.console.terminal import Terminal

    return Terminal(accounts=accounts, line_seconds=settings.progress_seconds, place=str(place))


@contextmanager
def service_extra() -> Iterator[None]:
    """Say what to install where the packages of a service are missing."""
    try:
        yield
    except ModuleNotFoundError as error:
        raise ConfigurationError(
            f"this command needs the package {error.name}: pip install 'reamaze-s3import[service]', or "
            "pip install '.[service]' in the checkout"
        ) from error


def run(arguments: list[str] | None = None) -> int:
    """Run a command line; its exit status."""
    try:
        result = cli.main(arguments, prog_name="s3import", standalone_mode=False)
        return result if isinstance(result, int) else DONE
    except click.ClickException as error:
        with suppress(OSError):  # as below
            error.show()
        return error.exit_code
    except click.exceptions.Exit as done:
        return done.exit_code
    except (click.Abort, KeyboardInterrupt):
        return 128 + signal.SIGINT
    except S3ImportError as error:
        complain(error)
        return status_of(error)
    except BrokenPipeError:  # `| head`: whoever read it has seen enough
        return DONE
    except Exception as error:  # noqa: BLE001 - the last line of defence says only its type
        failure = as_failure(error)
        failure.__cause__ = error
        complain(failure)
        return status_of(failure)


def main() -> NoReturn:
    """The entry point. Leaves without tearing down threads and libraries: the exit status must not depend on them."""
    streams.prepare()
    gc.set_threshold(_NEW_OBJECTS)
    signal.signal(signal.SIGTERM, lambda number, _: os._exit(128 + number))
    keep_texts_in()
    status = run()
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError, OutputLost):
            stream.flush()
    os._exit(status)
