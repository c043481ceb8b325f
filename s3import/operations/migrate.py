"""Moves accounts: several side by side in this process, many in several processes."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, nullcontext, suppress
from dataclasses import replace
from functools import partial
from typing import Any

from s3import.core import resets
from s3import.core.errors import DatabaseUnavailable, Interrupted, S3ImportError
from s3import.core.events import AccountEnded, Observer
from s3import.core.settings import Settings
from s3import.importing.account_processes import in_processes
from s3import.importing.importer import Importer
from s3import.importing.requests import Outcome, Request, Result
from s3import.operations.composition import MAX_WORKERS_BY_DEFAULT, Machinery, assemble
from s3import.operations.foreground import wait_for
from s3import.operations.sources import MAX_ACCOUNTS_AT_ONCE, Shared, shared_by
from s3import.reporting import status_document as report
from s3import.writers import Database, schema

MANY_ACCOUNTS = 32  # so many are worth processes of their own


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
    watched = len(requests) < MANY_ACCOUNTS
    with sharing as common, closing(assemble(settings, observe, stop, shared=common, watched=watched)) as machinery:
        importer = machinery.importer
        if requests[0].source is not None:  # what is wrong with it shows before anything is done
            importer.open_source(requests[0].source, requests[0].account_id)
        with importer:
            try:
                importer.transactions.run("", schema.require)
            except DatabaseUnavailable as error:
                return unanswered(requests, error, stop)
            with machinery.notifier:  # which looks into the tables
                outcomes = list(_all(settings, machinery, requests, common))
        return [result_of(machinery.database, outcome) for outcome in outcomes]


def result_of(database: Database, outcome: Outcome) -> Result:
    """The outcome with the account's status document, as far as the database can still be asked."""
    document: dict[str, Any] = report.unknown(outcome.account_id)
    purged_at = None
    with suppress(S3ImportError), database.read() as connection:
        document = report.document(connection, outcome.account_id) or {**document, "account_status": None}
        purged_at = resets.purged_at(connection, outcome.account_id)
    told = (outcome.imported, outcome.rejected, outcome.error, outcome.notes)
    return Result(outcome.account_id, document, *told, purged_at)


def unanswered(requests: list[Request], error: DatabaseUnavailable, stop: threading.Event) -> list[Result]:
    """What is known of accounts whose database does not answer. Raises: the error, where somebody asked to stop."""
    if stop.is_set():
        raise error  # which whoever asked to stop does not need to hear
    return [Result(request.account_id, report.unknown(request.account_id), error=error) for request in requests]


def _all(settings: Settings, machinery: Machinery, requests: list[Request], shared: Shared) -> Iterator[Outcome]:
    """Move the accounts; their outcomes in the order asked for."""
    importer = machinery.importer
    if len(requests) < MANY_ACCOUNTS or not importer.database.dialect.concurrent_writers:
        return _side_by_side(importer, requests)
    return _in_processes(settings, requests, shared, importer.observe, importer.stop)


def _side_by_side(importer: Importer, requests: list[Request]) -> Iterator[Outcome]:
    with ThreadPoolExecutor(min(len(requests), MAX_ACCOUNTS_AT_ONCE), "account") as coordinators:
        moving = [coordinators.submit(_move, importer, request) for request in requests]
        wait_for([*moving])
        yield from (outcome.result() for outcome in moving)


def _move(importer: Importer, request: Request) -> Outcome:
    """Move one of several accounts, unless the importer is to stop; tell when it ended."""
    outcome = _not_begun(request) if importer.stop.is_set() else importer.migrate(request)
    importer.observe(AccountEnded(request.account_id, outcome.error.code if outcome.error else None))
    return outcome


def _not_begun(request: Request) -> Outcome:
    message = f"account {request.account_id}: interrupted before it began; the same command goes on"
    return Outcome(request.account_id, error=Interrupted(message))


def _in_processes(
    settings: Settings, requests: list[Request], shared: Shared, observe: Observer, stop: threading.Event
) -> Iterator[Outcome]:
    """Move the accounts with a share of the workers in each of several processes."""
    processes = min(2 * (os.cpu_count() or 1), MAX_WORKERS_BY_DEFAULT)
    share = replace(settings, workers=max(1, (settings.workers or processes) // processes))
    yield from in_processes(partial(_mover, share, shared), requests, processes=processes, observe=observe, stop=stop)


def _mover(
    settings: Settings, shared: Shared, observe: Observer, stop: threading.Event
) -> Callable[[Request], Outcome]:
    """What moves accounts in a process of its own. Its notifier only records; the parent's sends."""
    return partial(_move, assemble(settings, observe, stop, shared=shared).importer)
