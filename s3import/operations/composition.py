"""The composition root: settings become a database, sources and an importer."""

from __future__ import annotations

import os
import secrets
import socket
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import closing, contextmanager, nullcontext, suppress
from dataclasses import replace
from functools import lru_cache, partial
from typing import Any, TypeVar

import pyarrow as pa
import sqlalchemy as sa
import stamina
from sqlalchemy import Connection

from s3import.core.errors import (
    AccountNotFound,
    ConfigurationError,
    DatabaseUnavailable,
    Interrupted,
    S3ImportError,
)
from s3import.core.events import AccountEnded, Event, Observer
from s3import.core.records import Choices, Pass, check_account_id
from s3import.core.settings import Settings
from s3import.files import FileCopier, LaterFiles, Retried, TargetOpener, check_target, open_target
from s3import.importing import backlog
from s3import.importing.admission import admit
from s3import.importing.importer import Importer, Outcome, Request, Result, SourceOpener
from s3import.importing.processes import in_processes
from s3import.importing.transactions import Transactions
from s3import.operations import purge as purging
from s3import.operations.dry_run import Look, Rehearsal
from s3import.operations.reset import Removed, Reset
from s3import.operations.service import Service
from s3import.operations.sources import MAX_ACCOUNTS_AT_ONCE, Shared, shared_by, source_opener
from s3import.operations.verify import Verification, Verified
from s3import.readers.dynamodb.opening import require_deltas
from s3import.readers.sources.location import resolve
from s3import.readers.sources.source import Patience, Source
from s3import.reporting import listings
from s3import.reporting import status_document as report
from s3import.reporting.notify import Notifier, senders
from s3import.status import Run, State
from s3import.writers import Database, open_database, schema

T = TypeVar("T")

MAX_WORKERS_BY_DEFAULT = 8
PATIENT_SECONDS = 900.0  # for one statement over all rows of an account
REJECTS_AT_ONCE = 1000
MANY_ACCOUNTS = 32  # so many are worth processes of their own
ACCOUNTS_A_PAGE = 100
SIGNAL_SECONDS = 0.2  # a signal may reach any thread, but only the main one handles it: it must not sleep for long

stamina.instrumentation.set_on_retry_hooks([])  # retries are told as events


def connect(settings: Settings, *, patient: bool = False) -> Database:
    """Open the settings' database; whoever opens it closes it. `patient`: for work that asks for whole tables at once.

    Raises: ConfigurationError.
    """
    connections = MAX_ACCOUNTS_AT_ONCE + MAX_WORKERS_BY_DEFAULT + (settings.workers or 0)
    seconds = max(settings.database_seconds, PATIENT_SECONDS if patient else 0.0)
    database = open_database(
        settings.database, application_name=_holder(), pool_size=connections, silence_seconds=seconds
    )
    database.require_name()
    return database


def create_tables(settings: Settings) -> schema.Upgrade:
    """Create or upgrade the tables of the settings' database; what that came to.

    Raises: SchemaMismatch, if they still do not fit.
    """
    with closing(connect(settings, patient=True)) as database, database.begin() as connection:
        done = schema.upgrade(connection)
        schema.require(connection)
    return done


def migrate(
    settings: Settings,
    requests: list[Request],
    *,
    shared: Shared | None = None,
    observe: Observer,
    stop: threading.Event,
) -> list[Result]:
    """Move the accounts, several at once; a result for each, in the order asked for. `shared`: what they share, where
    that is there already.

    Raises: ConfigurationError or SchemaMismatch before anything was read.
    """
    sharing = nullcontext(shared) if shared else shared_by(settings, [request.account_id for request in requests])
    with closing(connect(settings)) as database, sharing as common:
        open_dump = source_opener(settings, workers(settings, database), common)
        if requests[0].source is not None:
            open_dump(requests[0].source, requests[0].account_id)  # what is wrong with it shows before anything is done
        notifier = Notifier(database, senders(settings))

        def tell(event: Event) -> None:
            observe(event)
            notifier.observe(event)

        with make_importer(settings, database, open_dump, tell, stop, notifier) as importer, notifier:
            try:
                importer.transactions.run("", schema.require)
            except DatabaseUnavailable as error:
                return _unanswered(requests, error, stop)
            if len(requests) < MANY_ACCOUNTS or not database.dialect.concurrent_writers:
                outcomes = list(_each(importer, requests))
            else:
                outcomes = list(_each_in_processes(settings, requests, common, tell, stop))
        return [_result(database, outcome) for outcome in outcomes]


def make_importer(
    settings: Settings,
    database: Database,
    open_dump: SourceOpener,
    observe: Observer,
    stop: threading.Event,
    notifier: Notifier,
) -> Importer:
    """An importer as the settings want it, whose runs are told to `notifier` (which `observe` must reach by itself)."""
    pa.set_memory_pool(pa.system_memory_pool())  # as fast as Arrow's own, and a fifth less memory for batches
    transactions = Transactions(database, settings.retry_seconds, observe, stop)
    return Importer(
        transactions,
        settings,
        open_source=open_dump,
        files=file_copier(settings, transactions),
        workers=workers(settings, database),
        record=notifier.record,
    )


def _each(importer: Importer, requests: list[Request]) -> Iterator[Outcome]:
    """Move the accounts, several side by side; their outcomes in the order asked for."""
    with ThreadPoolExecutor(min(len(requests), MAX_ACCOUNTS_AT_ONCE), "account") as coordinators:
        moving = [coordinators.submit(move, importer, request) for request in requests]
        while wait(moving, SIGNAL_SECONDS).not_done:
            pass
        yield from (outcome.result() for outcome in moving)


def move(importer: Importer, request: Request) -> Outcome:
    """Move one of several accounts, unless the importer is to stop; tell when it ended."""
    outcome = _not_begun(request) if importer.stop.is_set() else importer.migrate(request)
    importer.observe(AccountEnded(request.account_id, outcome.error.code if outcome.error else None))
    return outcome


def _each_in_processes(
    settings: Settings, requests: list[Request], shared: Shared, observe: Observer, stop: threading.Event
) -> Iterator[Outcome]:
    """Move many accounts with a share of the workers in each of several processes; outcomes as `_each`."""
    processes = min(2 * (os.cpu_count() or 1), MAX_WORKERS_BY_DEFAULT)
    share = replace(settings, workers=max(1, (settings.workers or processes) // processes))
    yield from in_processes(partial(_mover, share, shared), requests, processes=processes, observe=observe, stop=stop)


def _mover(
    settings: Settings, shared: Shared, observe: Observer, stop: threading.Event
) -> Callable[[Request], Outcome]:
    """What moves accounts in a process of its own."""
    database = connect(settings)
    open_dump = source_opener(settings, workers(settings, database), shared)
    notifier = Notifier(database, senders(settings))  # it records; the parent's sends
    return partial(move, make_importer(settings, database, open_dump, observe, stop, notifier))


def rehearse(
    settings: Settings,
    requests: list[Request],
    *,
    shared: Shared | None = None,
    observe: Observer,
    stop: threading.Event,
) -> list[Result]:
    """Read and check the accounts' dumps, one after the other; a result for each. A database is only looked into, and
    not at all where none was named and the default one does not exist."""
    open_dump = source_opener(settings, 1, shared)
    with closing(connect(settings)) as database:
        transactions = Transactions(database, settings.retry_seconds, observe, stop)
        look = _looker(transactions, named=settings.database != Settings().database)
        return [_rehearsed(settings, request, open_dump, observe, stop, look) for request in requests]


def _looker(transactions: Transactions, *, named: bool) -> Look | None:
    """How a dry run looks into the database; a file that does not exist is not made, and is as good as empty."""
    if transactions.database.is_there:
        return partial(transactions.read, "")
    return _look_into_nothing if named else None


def _look_into_nothing(work: Callable[[Connection], T]) -> T:
    with sa.create_engine("sqlite://").connect() as connection:  # in memory
        return work(connection)


def _rehearsed(
    settings: Settings,
    request: Request,
    open_dump: SourceOpener,
    observe: Observer,
    stop: threading.Event,
    look: Look | None,
) -> Result:
    rehearsal = Rehearsal(request, settings.block_bytes, observe, stop, look)
    error = None
    try:
        rehearsal.run(open_dump)
    except S3ImportError as found:
        error = found
    observe(AccountEnded(request.account_id, error.code if error else None))
    return Result(request.account_id, rehearsal.document(error), rehearsal.passes, rehearsal.rejected, error)


def verify(settings: Settings, account_id: str, *, observe: Observer, stop: threading.Event) -> Verified:
    """Compare an account's imported passes with the dump at the settings' source (None: where each pass lay).

    Raises: AccountNotFound, NotImported, RunIsAlive, and whatever reading the dump or the database may raise.
    """
    check_account_id(account_id)
    side_by_side = readers(settings)
    with closing(connect(settings, patient=True)) as database:
        transactions = _on_tables(database, settings, account_id, observe, stop)
        verification = Verification(
            transactions,
            account_id,
            settings.source,
            open_source=source_opener(settings, side_by_side),
            block_bytes=settings.block_bytes,
            workers=side_by_side,
        )
        with ThreadPoolExecutor(1, "account") as coordinator:
            verifying = coordinator.submit(verification.run)
            while wait([verifying], SIGNAL_SECONDS).not_done:
                pass
        return verifying.result()


def reset(
    settings: Settings, account_id: str, *, confirmed: bool, force: bool, observe: Observer, stop: threading.Event
) -> Removed:
    """Take back what was imported of an account.

    Raises: ConfigurationError, telling what would go, unless `confirmed`; and as `Reset.run`.
    """
    check_account_id(account_id)
    with closing(connect(settings, patient=True)) as database:
        transactions = _on_tables(database, settings, account_id, observe, stop)
        reset = Reset(
            transactions,
            account_id,
            settings,
            open_source=source_opener(settings, 1),
            open_target=target_opener(settings),
        )
        if not confirmed:
            rows = ", ".join(f"{count} {entity}" for entity, count in reset.count().items())
            raise ConfigurationError(f"account {account_id} has {rows}; give --yes to take back what was imported")
        return _while_signals_come(partial(reset.run, force=force))


def purge(settings: Settings, account_id: str, *, confirmed: bool, observe: Observer, stop: threading.Event) -> int:
    """Forget what was kept of an account's migration; how many rows of bookkeeping that was.

    Raises: ConfigurationError, telling what would be forgotten, unless `confirmed`; and as `purging.purge`.
    """
    check_account_id(account_id)
    with closing(connect(settings, patient=True)) as database:
        transactions = _on_tables(database, settings, account_id, observe, stop)
        if not confirmed:
            runs = transactions.read(account_id, partial(purging.look, account_id=account_id))
            raise ConfigurationError(
                f"account {account_id}: {runs} runs are kept with their rejects, and what people deleted; give --yes "
                "to forget that for good"
            )
        return _while_signals_come(partial(purging.purge, transactions, account_id))


def purge_expired(settings: Settings, *, observe: Observer, stop: threading.Event) -> list[str]:
    """Forget what was kept of accounts for longer than the settings say; their ids. Raises: ConfigurationError."""
    if settings.retention_days is None:
        raise ConfigurationError("nothing expires: set S3IMPORT_RETENTION_DAYS to the days that bookkeeping is kept")
    with closing(connect(settings, patient=True)) as database:
        transactions = Transactions(database, settings.retry_seconds, observe, stop)
        if not (database.is_there and transactions.read("", schema.exists)):
            return []
        return _while_signals_come(partial(purging.purge_expired, transactions, settings.retention_days))


def _while_signals_come(work: Callable[[], T]) -> T:
    """Do the work in a thread of its own, so that the main one can handle signals."""
    with ThreadPoolExecutor(1, "account") as coordinator:
        working = coordinator.submit(work)
        while wait([working], SIGNAL_SECONDS).not_done:
            pass
    return working.result()


def _on_tables(
    database: Database, settings: Settings, account_id: str, observe: Observer, stop: threading.Event
) -> Transactions:
    """Transactions on a database that has been migrated into. Raises: AccountNotFound, SchemaMismatch."""
    transactions = Transactions(database, settings.retry_seconds, observe, stop)
    if not (database.is_there and transactions.read(account_id, schema.exists)):
        raise _unknown(account_id)
    transactions.run(account_id, schema.require)
    return transactions


def queue(settings: Settings, requests: list[Request], *, observe: Observer, stop: threading.Event) -> list[Result]:
    """Queue the accounts' passes for whoever works through queued runs; a result for each.

    Raises: as `migrate`.
    """
    results = []
    target_opener(settings)
    with closing(connect(settings)) as database:
        transactions = Transactions(database, settings.retry_seconds, observe, stop)
        try:
            transactions.run("", schema.require)
        except DatabaseUnavailable as error:
            return _unanswered(requests, error, stop)
        for request in requests:
            outcome = _queued(transactions, request, settings.choices)
            observe(AccountEnded(request.account_id, outcome.error.code if outcome.error else None))
            results.append(_result(database, outcome))
    return results


def _queued(transactions: Transactions, request: Request, choices: Choices) -> Outcome:
    try:
        source = resolve(request.source, request.account_id) if request.source else None
        if request.wanted is Pass.DELTA and source:
            require_deltas(source)
        ask = partial(admit, account_id=request.account_id, wanted=request.wanted, source=source)
        transactions.run(request.account_id, partial(ask, again=request.again, choices=choices, may_be_new=True))
    except S3ImportError as error:
        return Outcome(request.account_id, error=error)
    return Outcome(request.account_id)


def copy_files(settings: Settings, account_id: str, *, observe: Observer, stop: threading.Event) -> Retried:
    """Copy the files of an account that were only referenced, from where each pass came from (or else the settings'
    source) to the settings' `files_to` or where files of the account went before. Raises: as `LaterFiles.copy`."""
    return _later_files(settings, account_id, observe, stop, lambda later: later.copy(settings.files_to))


def retry_files(settings: Settings, account_id: str, *, observe: Observer, stop: threading.Event) -> Retried:
    """Copy an account's failed files, from and to as `copy_files`. Raises: as `LaterFiles.retry`."""
    return _later_files(settings, account_id, observe, stop, lambda later: later.retry(settings.files_to))


def _later_files(
    settings: Settings,
    account_id: str,
    observe: Observer,
    stop: threading.Event,
    work: Callable[[LaterFiles], Retried],
) -> Retried:
    check_account_id(account_id)
    with closing(connect(settings)) as database:
        transactions = _on_tables(database, settings, account_id, observe, stop)
        open_dump = source_opener(settings, workers=1)
        copier = file_copier(settings, transactions)

        def open_sources(run: Run) -> list[Source]:
            sources = [open_dump(place, account_id) for place in (run.source, settings.source) if place]
            return list({source.uri: source for source in sources}.values())

        going = partial(_require_going, stop)
        later = LaterFiles(transactions, copier, account_id, open_sources, settings.block_bytes, going)
        with ThreadPoolExecutor(1, "account") as coordinator, closing(copier):
            copying = coordinator.submit(work, later)
            while wait([copying], SIGNAL_SECONDS).not_done:
                pass
        return copying.result()


def _require_going(stop: threading.Event) -> None:
    if stop.is_set():
        raise Interrupted("interrupted; the same command goes on where it was")


def cancel(settings: Settings, account_id: str) -> list[tuple[Run, State]]:
    """Cancel what is queued or running of an account, and tell so; its runs as they were, with their states now.

    Raises: AccountNotFound.
    """
    with closing(connect(settings)) as database, Notifier(database, senders(settings)) as notifier:
        _on_tables(database, settings, account_id, lambda _: None, threading.Event())
        return Service(settings, database, record=notifier.record).cancel_account(account_id)


def sources_of(settings: Settings, account_id: str) -> list[str]:
    """Where the account's passes were imported from, as far as the database says so."""
    with suppress(S3ImportError), _bookkeeping(settings, account_id) as database, database.read() as connection:
        return listings.sources(connection, account_id)
    return []


def is_left_alone(settings: Settings, account_id: str) -> bool:
    """Whether the account waits for a worker and there is none at work. Raises: AccountNotFound."""
    with _bookkeeping(settings, account_id) as database, database.read() as connection:
        return backlog.is_left_alone(connection, account_id)


def status_document(settings: Settings, account_id: str) -> dict[str, Any]:
    """The status document of an account. Raises: AccountNotFound."""
    with _bookkeeping(settings, account_id) as database, database.read() as connection:
        document = report.document(connection, account_id)
    if document is None:
        raise _unknown(account_id)
    return document


def status_documents(settings: Settings, account_id: str | None, state: str | None) -> list[dict[str, Any]]:
    """The status document of that account; None: of all at work and of those done last, or of all that have a run of
    that `state`. Raises: AccountNotFound."""
    if account_id is not None:
        return [status_document(settings, account_id)]
    with closing(connect(settings)) as database:
        if not database.is_there:
            return []
        with database.read() as connection:
            ids = listings.account_ids(connection, State(state) if state else None) if schema.exists(connection) else []
            pages = (ids[start : start + ACCOUNTS_A_PAGE] for start in range(0, len(ids), ACCOUNTS_A_PAGE))
            return [document for page in pages for document in report.documents(connection, page)]


def rejects(settings: Settings, account_id: str, passes: Sequence[Pass]) -> Iterator[dict[str, Any]]:
    """The kept rejects of an account's passes, one after the other. Raises: AccountNotFound.

    No transaction is open while whoever asked looks at them: in a pager that may take hours.
    """
    with _bookkeeping(settings, account_id) as database:
        place = None
        while True:
            with database.read() as connection:
                if not report.is_known(connection, account_id):
                    raise _unknown(account_id)
                page, place = report.reject_page(connection, account_id, passes, place, REJECTS_AT_ONCE)
            yield from page
            if place is None:
                return


def file_copier(settings: Settings, transactions: Transactions) -> FileCopier:
    """What copies files as the settings want it; whoever asks for it closes it. Raises: ConfigurationError."""
    return FileCopier(
        transactions,
        target_opener(settings),
        in_flight=settings.files_in_flight,
        block_bytes=settings.block_bytes,
        keep_raw=settings.keep_raw,
    )


def target_opener(settings: Settings) -> TargetOpener:
    """Opens the places that files go to, as patiently as the settings say. Raises: ConfigurationError."""
    if settings.files_to:
        check_target(settings.files_to)
    patience = Patience(retry_seconds=settings.retry_seconds)
    opener = partial(open_target, patience=patience, connections=settings.files_in_flight)
    return lru_cache(MAX_ACCOUNTS_AT_ONCE)(opener)


@contextmanager
def _bookkeeping(settings: Settings, account_id: str) -> Iterator[Database]:
    """A database for looking things up, which has been migrated into. Raises: AccountNotFound."""
    check_account_id(account_id)
    with closing(connect(settings)) as database:
        if not database.is_there:
            raise _unknown(account_id)
        with database.read() as connection:
            tables_exist = schema.exists(connection)
        if not tables_exist:
            raise _unknown(account_id)
        yield database


def _result(database: Database, outcome: Outcome) -> Result:
    """The outcome with the account's status document, as far as the database can still be asked."""
    document = report.unknown(outcome.account_id)
    with suppress(S3ImportError), database.read() as connection:
        document = report.document(connection, outcome.account_id) or {**document, "account_status": None}
    return Result(outcome.account_id, document, outcome.imported, outcome.rejected, outcome.error, outcome.notes)


def _unanswered(requests: list[Request], error: DatabaseUnavailable, stop: threading.Event) -> list[Result]:
    """What is known of accounts whose database does not answer. Raises: the error, where somebody asked to stop."""
    if stop.is_set():
        raise error  # which whoever asked to stop does not need to hear
    return [Result(request.account_id, report.unknown(request.account_id), error=error) for request in requests]


def _not_begun(request: Request) -> Outcome:
    message = f"account {request.account_id}: interrupted before it began; the same command goes on"
    return Outcome(request.account_id, error=Interrupted(message))


def workers(settings: Settings, database: Database) -> int:
    """How many parts at once: what was asked for, else one for each processor, or one where only one can write."""
    return readers(settings) if database.dialect.concurrent_writers else 1


def readers(settings: Settings) -> int:
    """How many parts are read at once, where nothing is written: what was asked for, else one for each processor."""
    return settings.workers or min(max(2, os.cpu_count() or 1), MAX_WORKERS_BY_DEFAULT)


def _unknown(account_id: str) -> AccountNotFound:
    return AccountNotFound(
        f"account {account_id} is not known here: it is not in the database, and no migration of it is "
        "recorded there; check --account and --database"
    )


def _holder() -> str:
    """A name for this process that nobody else has, readable for people; PostgreSQL keeps 63 bytes of it."""
    return f"s3import-{secrets.token_hex(4)} on {socket.gethostname()[:24]} pid {os.getpid()}"
