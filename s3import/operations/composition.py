"""The composition root: settings become a database, sources, an importer and what it tells, copies of files."""

from __future__ import annotations

import os
import secrets
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Any

import pyarrow as pa
import stamina

from s3import.core.events import Event, Observer
from s3import.core.ids import check_account_id
from s3import.core.settings import Keys, Settings
from s3import.files import FileCopier, TargetOpener, check_target, open_target
from s3import.importing.importer import Importer
from s3import.importing.transactions import Transactions
from s3import.operations.account_setup import require_migrated
from s3import.operations.askers import Client, Operator
from s3import.operations.operations import Operations
from s3import.operations.sources import MAX_ACCOUNTS_AT_ONCE, Shared, source_opener
from s3import.readers.sources.source import RetryPolicy
from s3import.reporting.notify.notifier import Notifier
from s3import.reporting.notify.senders import senders
from s3import.writers import Database, open_database

MAX_WORKERS_BY_DEFAULT = 8
CLIENT_SECONDS = 3.0  # for conflicts and deadlocks: a client waits for the answer
PATIENT_SECONDS = 900.0  # for one statement over all rows of an account

stamina.instrumentation.set_on_retry_hooks([])  # retries are told as events


def connect(settings: Settings, *, patient: bool = False) -> Database:
    """Open the settings' database; whoever opens it closes it. `patient`: for work that asks for whole tables at once.

    Raises: ConfigurationError.
    """
    connections = MAX_ACCOUNTS_AT_ONCE + MAX_WORKERS_BY_DEFAULT + (settings.workers or 0)
    seconds = max(settings.database_seconds, PATIENT_SECONDS if patient else 0.0)
    database = open_database(
        settings.database,
        application_name=_holder(),
        pool_size=connections,
        silence_seconds=seconds,
        keys=Keys(settings.keys),
    )
    database.require_name()
    return database


def _holder() -> str:
    """A name for this process that nobody else has, readable for people; PostgreSQL keeps 63 bytes of it."""
    return f"s3import-{secrets.token_hex(4)} on {socket.gethostname()[:24]} pid {os.getpid()}"


# --- what can be asked for --------------------------------------------------------------------------------------------


def _ignore(event: Event) -> None:
    """Nobody watches."""


@contextmanager
def opened(
    settings: Settings, *, observe: Observer = _ignore, stop: threading.Event | None = None
) -> Iterator[Operations]:
    """What the operator can ask for of the settings' database, for as long as the block runs.

    Raises: ConfigurationError.
    """
    with closing(connect(settings)) as database:
        transactions = Transactions(database, settings.retry_seconds, observe, stop or threading.Event())
        yield Operations(settings, transactions, Operator(settings))


@contextmanager
def opened_telling(settings: Settings) -> Iterator[Operations]:
    """What the operator can ask for. Slack and the callback hear of what is ended, before the block is left."""
    with opened(settings) as operations, Notifier(operations.database, senders(settings)) as notifier:
        operations.record = notifier.record
        yield operations


@contextmanager
def opened_for_clients(settings: Settings, *, wake: Callable[[], None]) -> Iterator[Operations]:
    """What clients can ask for over HTTP. What is ended is recorded for Slack and the callback; another process sends
    it."""
    with closing(connect(settings)) as database:
        notifier = Notifier(database, senders(settings))
        yield operations_for_clients(settings, database, wake=wake, record=notifier.record)


def operations_for_clients(settings: Settings, database: Database, **hooks: Any) -> Operations:
    """What clients can ask for of that database; `hooks`: what `Operations` calls. Conflicts are tried again for as
    long as a client waits for its answer."""
    transactions = Transactions(database, CLIENT_SECONDS, _ignore, threading.Event())
    return Operations(settings, transactions, Client(settings), **hooks)


@contextmanager
def on_tables(
    settings: Settings, account_id: str, observe: Observer, stop: threading.Event, *, patient: bool = False
) -> Iterator[Transactions]:
    """Transactions on the settings' database, which has been migrated into. `patient`: as in `connect`.

    Raises: ConfigurationError, AccountNotFound, SchemaMismatch.
    """
    check_account_id(account_id)
    with closing(connect(settings, patient=patient)) as database:
        transactions = Transactions(database, settings.retry_seconds, observe, stop)
        require_migrated(transactions, account_id)
        yield transactions


# --- what imports -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Machinery:
    """An importer, and the notifier that its runs are told to: it sends them for as long as it is entered."""

    importer: Importer
    notifier: Notifier

    @property
    def database(self) -> Database:
        return self.importer.database

    def close(self) -> None:
        """Let go of the database."""
        self.database.close()


def assemble(
    settings: Settings,
    observe: Observer,
    stop: threading.Event,
    *,
    shared: Shared | None = None,
    watched: bool = False,
) -> Machinery:
    """What imports as the settings want it, with a database of its own; whoever asks for it closes it.

    `shared`: what accounts share, where that is there already; `watched`: whether somebody looks at what is observed of
    each run. Raises: ConfigurationError.
    """
    pa.set_memory_pool(pa.system_memory_pool())  # as fast as Arrow's own, and a fifth less memory for batches
    database = connect(settings)
    notifier = Notifier(database, senders(settings))

    def tell(event: Event) -> None:
        observe(event)
        notifier.observe(event)

    at_once = workers(settings, database)
    transactions = Transactions(database, settings.retry_seconds, tell, stop)
    importer = Importer(
        transactions,
        settings,
        open_source=source_opener(settings, at_once, shared),
        files=file_copier(settings, transactions),
        workers=at_once,
        record=notifier.record,
        watched=watched,
    )
    return Machinery(importer, notifier)


def workers(settings: Settings, database: Database) -> int:
    """How many parts at once: what was asked for, else one for each processor, or one where only one can write."""
    return readers(settings) if database.dialect.concurrent_writers else 1


def readers(settings: Settings) -> int:
    """How many parts are read at once, where nothing is written: what was asked for, else one for each processor."""
    return settings.workers or min(max(2, os.cpu_count() or 1), MAX_WORKERS_BY_DEFAULT)


# --- files ------------------------------------------------------------------------------------------------------------


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
    policy = RetryPolicy(retry_seconds=settings.retry_seconds)
    opener = partial(open_target, policy=policy, connections=settings.files_in_flight)
    return lru_cache(MAX_ACCOUNTS_AT_ONCE)(opener)
