"""What a long-lived process can be asked for, whoever asks: each call is one use case, each its own transaction."""

from __future__ import annotations

import datetime as dt
import re
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import sqlalchemy as sa
from sqlalchemy import Connection

from s3import import accounts, report, schema, status
from s3import.admission import Admission, admit
from s3import.errors import (
    AccountNotFound,
    ConfigurationError,
    DatabaseUnavailable,
    DumpNotFound,
    InvalidRequest,
    RunNotFound,
    SchemaMismatch,
    UnknownBrand,
)
from s3import.readers.allowed import fill, require_allowed
from s3import.readers.items.opening import require_deltas
from s3import.records import Brand, Channel, Pass, check_account_id, is_id
from s3import.report import Cursor
from s3import.settings import Settings
from s3import.status import Run
from s3import.tables import accounts as accounts_table
from s3import.tables import brands, channels
from s3import.transactions import Transactions
from s3import.writers import Conflict, Database

T = TypeVar("T")

PATIENCE_SECONDS = 3.0  # for conflicts and deadlocks: whoever asks is still waiting for the answer
MAX_PAGE = 1000
_CURSOR = re.compile(rf"({'|'.join(Pass)})\.(\d{{1,9}})\.(\d{{1,18}})", re.ASCII)
_RUN_ID = re.compile(r"[0-9a-f]{32}")


@dataclass(frozen=True, slots=True)
class Account:
    """An account as it stands in the database."""

    id: str
    name: str | None
    status: str
    created_at: dt.datetime
    updated_at: dt.datetime


@dataclass(frozen=True, slots=True)
class RejectPage:
    """Some of an account's rejects, and the cursor behind which the next ones come (None: there are no more)."""

    items: list[dict[str, Any]]
    next: str | None


class Service:
    """The use cases over one database. Safe to share between threads.

    `wake` is called after something was queued, to spare a worker in this process its waiting; `record` in each
    transaction that ends a run. Every method may raise
    DatabaseUnavailable or DatabaseRefused, and InvalidRequest for an id that is none.
    """

    def __init__(
        self,
        settings: Settings,
        database: Database,
        *,
        wake: Callable[[], None] = lambda: None,
        record: Callable[[Connection, str], None] = lambda connection, run_id: None,
    ) -> None:
        self.settings = settings
        self.database = database
        self.wake = wake
        self.record = record
        self._transactions = Transactions(database, PATIENCE_SECONDS, lambda _: None, threading.Event())

    # --- accounts, brands, channels --------------------------------------------------------------------------------

    def create_account(self, account_id: str, name: str | None) -> tuple[Account, bool]:
        """The account, and whether it was created: one that exists stays as it is."""

        def create(connection: Connection) -> tuple[Account, bool]:
            created = accounts.create_account(connection, account_id, _storable(name))
            return _require_account(connection, account_id), created

        return self._write(account_id, create)

    def account(self, account_id: str) -> Account:
        """The account. Raises: AccountNotFound."""
        return self._read(account_id, lambda connection: _require_account(connection, account_id))

    def create_brand(self, account_id: str, brand: Brand) -> tuple[Brand, bool]:
        """The brand, and whether it was created. Raises: AccountNotFound."""
        _require_id("id", brand.id)
        wanted = Brand(brand.id, _storable(brand.name))

        def create(connection: Connection) -> tuple[Brand, bool]:
            _require_account(connection, account_id)
            created = accounts.create_brand(connection, account_id, wanted)
            return Brand(**_row(connection, brands, account_id, brand.id)), created

        return self._write(account_id, create)

    def create_channel(self, account_id: str, channel: Channel) -> tuple[Channel, bool]:
        """The channel, and whether it was created. Raises: AccountNotFound, UnknownBrand."""
        _require_id("id", channel.id)
        _require_id("brand_id", channel.brand_id)
        wanted = Channel(channel.id, channel.brand_id, _storable(channel.kind), _storable(channel.name))

        def create(connection: Connection) -> tuple[Channel, bool]:
            _require_account(connection, account_id)
            created = accounts.create_channel(connection, account_id, wanted)
            if created is None:
                raise UnknownBrand(
                    "the account has no brand of this brand_id; create it first (POST /accounts/{id}/brands)"
                )
            return Channel(**_row(connection, channels, account_id, channel.id)), created

        return self._write(account_id, create)

    # --- migrations ------------------------------------------------------------------------------------------------

    def request_migration(self, account_id: str, wanted: Pass | None = None, source: str | None = None) -> Admission:
        """Queue the passes asked for (None: whatever is left), from `source` or the configured one.

        However many ask at the same moment, from however many processes, one of them starts the run.
        Raises: AccountNotFound, RecentPassFirst, SourceNotAllowed.
        """
        check_id(account_id)
        uri = self._source(account_id, source)
        if wanted is Pass.DELTA:
            _require_deltas(uri)

        def request(connection: Connection) -> Admission:
            before = accounts.account_status(connection, account_id)
            admission = admit(connection, account_id, wanted, uri)
            if accounts.account_status(connection, account_id) is not before:  # a pass ended in the midst of this
                raise Conflict(f"account {account_id}: its status changed while a migration was asked for")
            return admission

        admission = self._write(account_id, request)
        if admission.run is not None:
            self.wake()
        return admission

    def cancel(self, run_id: str) -> Run:
        """The run, which ends at its next batch unless it was at an end already. Raises: RunNotFound."""

        def cancel(connection: Connection) -> Run:
            if status.cancel(connection, run_id):
                self.record(connection, run_id)
            run = status.read_run(connection, run_id)
            if run is None:
                raise _no_run()
            return run

        if not _RUN_ID.fullmatch(run_id):
            raise _no_run()
        return self._transactions.run("", cancel)

    def status_document(self, account_id: str) -> dict[str, Any]:
        """The status document. Raises: AccountNotFound."""
        check_id(account_id)
        with self.database.look() as connection:
            document = report.document(connection, account_id)
        if document is None:
            raise _no_account(account_id)
        return document

    def rejects(
        self, account_id: str, passes: Sequence[Pass] = tuple(Pass), after: str | None = None, limit: int = 100
    ) -> RejectPage:
        """At most `limit` (up to 1000) kept rejects by pass, part and line, behind the cursor `after`.

        Raises: AccountNotFound.
        """
        cursor = _parse_cursor(after) if after else None  # `after=` asks for the first page

        def look(connection: Connection) -> RejectPage:
            if not report.is_known(connection, account_id):
                raise _no_account(account_id)
            items, place = report.reject_page(connection, account_id, passes, cursor, min(limit, MAX_PAGE))
            return RejectPage(items, f"{place.pass_}.{place.part_number}.{place.line}" if place else None)

        return self._read(account_id, look)

    def check_ready(self) -> None:
        """Make sure that the database answers and its tables fit.

        Raises: DatabaseUnavailable, DatabaseRefused, SchemaMismatch.
        """
        revision: sa.Select[Any] = sa.select(sa.column("version_num")).select_from(sa.table(schema.VERSION_TABLE))
        with self.database.read() as connection:
            found = connection.execute(revision).scalar()
        if found != schema.HEAD:
            raise SchemaMismatch("the tables are of another version of s3import; run `s3import db init`")

    # --- how ---------------------------------------------------------------------------------------------------------

    def _write(self, account_id: str, work: Callable[[Connection], T]) -> T:
        check_id(account_id)
        return self._transactions.run(account_id, work)

    def _read(self, account_id: str, work: Callable[[Connection], T]) -> T:
        check_id(account_id)
        with self.database.read() as connection:
            return work(connection)

    def _source(self, account_id: str, source: str | None) -> str:
        """The account's source. Raises: SourceNotAllowed, InvalidRequest where none is configured."""
        if source is not None:
            return require_allowed(source, account_id, self.settings.source, self.settings.allowed_sources)
        if self.settings.source is None:
            raise InvalidRequest("this server has no source of its own; name one", code="source_required")
        return fill(self.settings.source, account_id)


def _require_deltas(uri: str) -> None:
    try:
        require_deltas(uri)
    except DumpNotFound as error:
        raise InvalidRequest(error.message, code=error.code) from error


def check_id(account_id: str) -> None:
    """Raise InvalidRequest, code ``invalid_account_id``, unless it can be an account's id."""
    try:
        check_account_id(account_id)
    except ConfigurationError as error:
        raise InvalidRequest(error.message, code="invalid_account_id") from error


def _require_id(name: str, value: str) -> None:
    if not is_id(value):
        raise InvalidRequest(f"{name} must be 1 to 255 characters, no control characters", code="invalid_id")


def _storable(text: str | None) -> str | None:
    """Free text as every database can hold it."""
    return text and re.sub("[\0\ud800-\udfff]", "\N{REPLACEMENT CHARACTER}", text)


def _require_account(connection: Connection, account_id: str) -> Account:
    row = connection.execute(sa.select(accounts_table).where(accounts_table.c.id == account_id)).first()
    if row is None:
        raise _no_account(account_id)
    return Account(**row._mapping)


def _row(connection: Connection, table: sa.Table, account_id: str, row_id: str) -> dict[str, Any]:
    """A brand's or a channel's columns but that of its account."""
    columns = [column for column in table.columns if column.name != "account_id"]
    row = connection.execute(sa.select(*columns).where(table.c.account_id == account_id, table.c.id == row_id)).first()
    if row is None:
        raise DatabaseUnavailable(f"account {account_id}: what was just created is gone; ask again")
    return dict(row._mapping)


def _parse_cursor(text: str) -> Cursor:
    found = _CURSOR.fullmatch(text)
    if not found:
        raise InvalidRequest("`after` takes the `next` of an earlier page, as it was", code="invalid_cursor")
    return Cursor(Pass(found[1]), int(found[2]), int(found[3]))


def _no_account(account_id: str) -> AccountNotFound:
    return AccountNotFound(f"there is no account {account_id}; create it first (POST /accounts)")


def _no_run() -> RunNotFound:
    return RunNotFound("there is no run of this id; the answer to POST /migrate and the status document name it")
