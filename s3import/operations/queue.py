"""Queues what was asked for at the command line, for whoever works through queued runs."""

from __future__ import annotations

import threading

from s3import.core.errors import DatabaseUnavailable, S3ImportError
from s3import.core.events import AccountEnded, Observer
from s3import.core.settings import Settings
from s3import.importing.requests import Outcome, Request, Result
from s3import.operations.composition import opened, target_opener
from s3import.operations.migrate import result_of, unanswered
from s3import.operations.operations import Operations
from s3import.writers import schema


def queue(settings: Settings, requests: list[Request], *, observe: Observer, stop: threading.Event) -> list[Result]:
    """Queue the accounts' passes; a result for each. Raises: as `migrate`."""
    results = []
    target_opener(settings)  # what is wrong with it shows before anything is done
    with opened(settings, observe=observe, stop=stop) as operations:
        try:
            operations.transactions.run("", schema.require)
        except DatabaseUnavailable as error:
            return unanswered(requests, error, stop)
        for request in requests:
            outcome = _queued(operations, request)
            observe(AccountEnded(request.account_id, outcome.error.code if outcome.error else None))
            results.append(result_of(operations.database, outcome))
    return results


def _queued(operations: Operations, request: Request) -> Outcome:
    try:
        operations.request_migration(request.account_id, request.wanted, request.source, again=request.again)
    except S3ImportError as error:
        return Outcome(request.account_id, error=error)
    return Outcome(request.account_id)
