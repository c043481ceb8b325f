"""What a long-lived process can be asked for, whoever asks: each call is one use case, each its own transaction."""

from __future__ import annotations

import datetime as dt
import re
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn, TypeVar
from urllib.parse import quote, unquote

import sqlalchemy as sa
from sqlalchemy import Connection

from s3import import status
from s3import.core import accounts
from s3import.core.accounts import AccountStatus, is_imported
from s3import.core.errors import (
    AccountNotFound,
    ConfigurationError,
    DatabaseUnavailable,
    DumpNotFound,
    InvalidRequest,
    PassNotFinished,
    RunNotFound,
    SchemaMismatch,
    UnknownBrand,
)
from s3import.core.records import Brand, Channel, Pass, check_account_id, is_id
from s3import.core.settings import Settings
from s3import.core.tables import accounts as accounts_table
from s3import.core.tables import brands, channels
from s3import.importing import queueing
from s3import.importing.admission import Admission, admit
from s3import.importing.transactions import Transactions
from s3import.readers.dynamodb.opening import require_deltas
from s3import.readers.sources.allowed import require_allowed
from s3import.readers.sources.location import resolve
from s3import.reporting import listings
from s3import.reporting import status_document as report
from s3import.reporting.listings import RunCursor
from s3import.reporting.status_document import Cursor
from s3import.status import Run, State
from s3import.writers import Conflict, Database, schema

T = TypeVar("T")

PATIENCE_SECONDS = 3.0  # for conflicts and deadlocks: whoever asks is still waiting for the answer
MAX_PAGE = 1000
_CURSOR = re.compile(rf"({'|'.join(Pass)})\.(\d{{1,9}})\.(\d{{1,18}})", re.ASCII)
_RUN_CURSOR = re.compile(r"(\d{1,18})\.([0-9a-f]{32})", re.ASCII)
_ID_CURSOR = re.compile(r"(?:[A-Za-z0-9._-]|~[0-9A-F]{2})+", re.ASCII)
_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
_MICROSECOND = dt.timedelta(microseconds=1)
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
class Page:
    """Some of a list's items, and the cursor behind which the next ones come (None: there are no more)."""

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

    def list_accounts(self, status: AccountStatus | None = None, after: str | None = None, limit: int = 100) -> Page:
        """At most `limit` (up to 1000) accounts by id, behind the cursor `after`; `status`: only those that have it."""
        first = _parse_id_cursor(after) if after else None
        with self.database.read() as connection:
            items, last = listings.account_page(connection, status, first, min(limit, MAX_PAGE))
        return Page(items, None if last is None else _id_cursor(last))

    def confirm_status(self, account_id: str, wanted: AccountStatus) -> Account:
        """The account, which has that status already, or the one after it: passes set it when they succeed.

        Raises: AccountNotFound; PassNotFinished while the pass behind that status is not in.
        """
        account = self.account(account_id)
        pass_ = next(pass_ for pass_, after in accounts.STATUS_AFTER.items() if after is wanted)
        if not is_imported(pass_, AccountStatus(account.status)):
            raise PassNotFinished(
                f"account {account_id}: the {pass_} pass has not succeeded yet; ask for it (POST /migrate) and wait "
                f"until GET /check-migration says so: from that moment the account is {wanted} by itself"
            )
        return account

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

    def request_migration(
        self, account_id: str, wanted: Pass | None = None, source: str | None = None, *, again: bool = False
    ) -> Admission:
        """Queue the passes asked for (None: whatever is left), from `source` or the configured one. With `again` passes
        that were imported are read once more: without a `source` from where they were read last.

        However many ask at the same moment, from however many processes, one of them starts the run.
        Raises: AccountNotFound, RecentPassFirst, AccountPurged, SourceNotAllowed.
        """
        check_id(account_id)
        uri = self._source(account_id, source) if source is not None or not again else None
        if wanted is Pass.DELTA and uri:
            _require_deltas(uri)

        def request(connection: Connection) -> Admission:
            before = accounts.account_status(connection, account_id)
            known = uri is None and queueing.known_source(connection, account_id, wanted or Pass.RECENT)
            where = None if known else uri or self._source(account_id, source)
            admission = admit(connection, account_id, wanted, where, again=again)
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
            run = self._cancel(connection, run_id)
            if run is None:
                raise _no_run()
            return run

        if not _RUN_ID.fullmatch(run_id):
            raise _no_run()
        return self._transactions.run("", cancel)

    def cancel_account(self, account_id: str) -> list[tuple[Run, State]]:
        """Stop whatever of an account is queued or running; the runs of its passes as they were, with their
        states now. Raises: AccountNotFound, where it has none."""

        def cancel(connection: Connection) -> list[tuple[Run, State]]:
            status.lock_runs(connection, account_id)
            found = [status.find_run(connection, account_id, pass_) for pass_ in Pass]
            return [(run, self._end(connection, run)) for run in found if run is not None]

        runs = self._write(account_id, cancel)
        if not runs:
            raise AccountNotFound(f"account {account_id} has no run here; check --account and --database")
        return runs

    def _end(self, connection: Connection, run: Run) -> State:
        after = self._cancel(connection, run.run_id)
        return after.state if after is not None else run.state

    def _cancel(self, connection: Connection, run_id: str) -> Run | None:
        """End the run where it can be ended, leave word of that, and read it again."""
        if status.cancel(connection, run_id):
            self.record(connection, run_id)
        return status.read_run(connection, run_id)

    def status_document(self, account_id: str) -> dict[str, Any]:
        """The status document. Raises: AccountNotFound."""
        check_id(account_id)
        with self.database.look() as connection:
            document = report.document(connection, account_id)
        if document is None:
            raise _no_account(account_id)
        return document

    def list_migrations(
        self, state: State | None = None, account_id: str | None = None, after: str | None = None, limit: int = 100
    ) -> Page:
        """At most `limit` (up to 1000) runs, those asked for last first, behind the cursor `after`; with `state` or
        `account_id` only such."""
        if account_id is not None:
            check_id(account_id)
        first = _parse_run_cursor(after) if after else None
        with self.database.read() as connection:
            items, last = listings.run_page(connection, state, account_id, first, min(limit, MAX_PAGE))
        return Page(items, _run_cursor(last) if last else None)

    def rejects(
        self, account_id: str, passes: Sequence[Pass] = tuple(Pass), after: str | None = None, limit: int = 100
    ) -> Page:
        """At most `limit` (up to 1000) kept rejects by pass, part and line, behind the cursor `after`.

        Raises: AccountNotFound.
        """
        cursor = _parse_cursor(after) if after else None  # `after=` asks for the first page

        def look(connection: Connection) -> Page:
            if not report.is_known(connection, account_id):
                raise _no_account(account_id)
            items, place = report.reject_page(connection, account_id, passes, cursor, min(limit, MAX_PAGE))
            return Page(items, f"{place.pass_}.{place.part_number}.{place.line}" if place else None)

        return self._read(account_id, look)

    def check_ready(self) -> None:
        """Make sure that the database answers and its tables fit.

        Raises: DatabaseUnavailable, DatabaseRefused, SchemaMismatch.
        """
        revision: sa.Select[Any] = sa.select(sa.column("version_num")).select_from(sa.table(schema.VERSION_TABLE))
        with self.database.look() as connection:
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
        return resolve(self.settings.source, account_id)


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


def _refuse_cursor() -> NoReturn:
    raise InvalidRequest("`after` takes the `next` of an earlier page, as it was", code="invalid_cursor")


def _parse_cursor(text: str) -> Cursor:
    found = _CURSOR.fullmatch(text)
    if not found:
        return _refuse_cursor()
    return Cursor(Pass(found[1]), int(found[2]), int(found[3]))


def _run_cursor(place: RunCursor) -> str:
    return f"{(place.requested_at - _EPOCH) // _MICROSECOND}.{place.run_id}"


def _parse_run_cursor(text: str) -> RunCursor:
    found = _RUN_CURSOR.fullmatch(text)
    try:
        return RunCursor(_EPOCH + int(found[1]) * _MICROSECOND, found[2]) if found else _refuse_cursor()
    except OverflowError:
        return _refuse_cursor()


def _id_cursor(account_id: str) -> str:
    """The id in signs that no part of a URL gives a meaning."""
    return quote(account_id, safe="").replace("~", "%7E").replace("%", "~")


def _parse_id_cursor(text: str) -> str:
    try:
        account_id = unquote(text.replace("~", "%"), errors="strict")
    except UnicodeDecodeError:
        return _refuse_cursor()
    if not _ID_CURSOR.fullmatch(text) or "\0" in account_id:  # which no database can compare
        return _refuse_cursor()
    return account_id


def _no_account(account_id: str) -> AccountNotFound:
    return AccountNotFound(f"there is no account {account_id}; create it first (POST /accounts)")


def _no_run() -> RunNotFound:
    return RunNotFound("there is no run of this id; the answer to POST /migrate and the status document name it")
