"""What can be asked for of a database, once for whoever asks: each call is one use case, each its own transaction."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any, TypeVar

import sqlalchemy as sa
from sqlalchemy import Connection

from s3import.core.accounts import AccountStatus, account_status
from s3import.core.errors import Conflict, SchemaMismatch
from s3import.core.records import Brand, Channel, Entity, Pass
from s3import.core.settings import Settings
from s3import.importing import backlog
from s3import.importing.admission import Admission, admit
from s3import.importing.resolutions import rejected_by_delta
from s3import.importing.transactions import Transactions
from s3import.operations import account_setup, cancel
from s3import.operations.account_setup import Account
from s3import.operations.askers import Asker
from s3import.reporting import diary, listings, overview
from s3import.reporting import status_document as report
from s3import.reporting.overview import Fleet, PassTotals
from s3import.reporting.pages import (
    ALL_REJECTS,
    MAX_PAGE,
    Page,
    RejectSelection,
    account_cursor,
    id_cursor,
    parse_account_cursor,
    parse_event_cursor,
    parse_id_cursor,
    parse_part_cursor,
    parse_reject_cursor,
    parse_run_cursor,
    parse_sample_cursor,
    part_cursor,
    reject_cursor,
    run_cursor,
    sample_cursor,
)
from s3import.status import Recorder, Run, State
from s3import.writers import schema

T = TypeVar("T")

ACCOUNTS_A_PAGE = 100


class Operations:
    """The use cases over one database, for `asker` (a client over HTTP, unless it is said). Safe to share between
    threads.

    `wake` is called after something was queued, to spare a worker in this process its waiting; `record` in each
    transaction that ends a run; `observe` is told of every retry. Every method may raise DatabaseUnavailable or
    DatabaseRefused, and what the asker's `check_id` raises for an id that is none.
    """

    def __init__(
        self,
        settings: Settings,
        transactions: Transactions,
        asker: Asker,
        *,
        wake: Callable[[], None] = lambda: None,
        record: Recorder = lambda connection, run_id: None,
    ) -> None:
        self.settings = settings
        self.transactions = transactions
        self.database = transactions.database
        self.asker = asker
        self.wake = wake
        self.record = record

    # --- accounts, brands, channels --------------------------------------------------------------------------------

    def create_account(self, account_id: str, name: str | None) -> tuple[Account, bool]:
        """The account, and whether it was created: one that exists stays as it is."""
        return self._write(account_id, partial(account_setup.create_account, account_id=account_id, name=name))

    def account(self, account_id: str) -> Account:
        """The account. Raises: AccountNotFound."""
        return self._read(account_id, partial(account_setup.read_account, account_id=account_id))

    def list_accounts(self, status: AccountStatus | None = None, after: str | None = None, limit: int = 100) -> Page:
        """At most `limit` (up to 1000) accounts by id, behind the cursor `after`; `status`: only those that have it."""
        first = parse_id_cursor(after) if after else None
        with self.database.read() as connection:
            items, last = listings.account_page(connection, status, first, min(limit, MAX_PAGE))
        return Page(items, None if last is None else id_cursor(last))

    def confirm_status(self, account_id: str, requested: AccountStatus) -> Account:
        """The account, which has that status already, or the one after it: passes set it when they succeed.

        Raises: AccountNotFound; PassNotFinished while the pass behind that status is not in.
        """
        account = self.account(account_id)
        account_setup.require_status(account, requested)
        return account

    def create_brand(self, account_id: str, brand: Brand) -> tuple[Brand, bool]:
        """The brand, and whether it was created. Raises: AccountNotFound."""
        account_setup.require_id("id", brand.id)
        return self._write(account_id, partial(account_setup.create_brand, account_id=account_id, brand=brand))

    def create_channel(self, account_id: str, channel: Channel) -> tuple[Channel, bool]:
        """The channel, and whether it was created. Raises: AccountNotFound, UnknownBrand."""
        account_setup.require_id("id", channel.id)
        account_setup.require_id("brand_id", channel.brand_id)
        return self._write(account_id, partial(account_setup.create_channel, account_id=account_id, channel=channel))

    # --- migrations ------------------------------------------------------------------------------------------------

    def request_migration(
        self, account_id: str, requested: Pass | None = None, source: str | None = None, *, again: bool = False
    ) -> Admission:
        """Queue the passes asked for (None: whatever is left), from `source` or the configured one. With `again` passes
        that were imported are read once more: without a `source` from where they were read last.

        However many ask at the same moment, from however many processes, one of them starts the run.
        Raises: AccountNotFound, RecentPassFirst, AccountPurged, and what the asker's `source` raises.
        """
        asker = self.asker
        asker.check_id(account_id)
        uri = asker.source(account_id, source) if source is not None or not again else None
        if requested is Pass.DELTA and uri:
            asker.require_deltas(uri)

        def request(connection: Connection) -> Admission:
            before = account_status(connection, account_id)
            where = uri or asker.source_if_unknown(connection, account_id, requested or Pass.RECENT)
            ask = partial(admit, again=again, options=asker.options, may_be_new=asker.may_be_new)
            admission = ask(connection, account_id, requested, where)
            if account_status(connection, account_id) is not before:  # a pass ended in the midst of this
                raise Conflict(f"account {account_id}: its status changed while a migration was asked for")
            return admission

        admission = self._write(account_id, request)
        if admission.run is not None:
            self.wake()
        return admission

    def cancel(self, run_id: str) -> Run:
        """The run, which ends at its next batch unless it was at an end already. Raises: RunNotFound."""
        return self.transactions.run("", partial(cancel.cancel_run, run_id=run_id, record=self.record))

    def cancel_account(self, account_id: str) -> list[tuple[Run, State]]:
        """End whatever of an account is queued or running; the runs of its passes as they were, with their states
        now. Raises: AccountNotFound, where it has none; SchemaMismatch."""
        self.asker.check_id(account_id)
        account_setup.require_migrated(self.transactions, account_id)
        return self._write(account_id, partial(cancel.cancel_account, account_id=account_id, record=self.record))

    def list_migrations(
        self, state: State | None = None, account_id: str | None = None, after: str | None = None, limit: int = 100
    ) -> Page:
        """At most `limit` (up to 1000) runs, those asked for last first, behind the cursor `after`; with `state` or
        `account_id` only such."""
        if account_id is not None:
            self.asker.check_id(account_id)
        first = parse_run_cursor(after) if after else None
        with self.database.read() as connection:
            items, last = listings.run_page(connection, state, account_id, first, min(limit, MAX_PAGE))
        return Page(items, run_cursor(last) if last else None)

    # --- how it goes -----------------------------------------------------------------------------------------------

    def status_document(self, account_id: str) -> dict[str, Any]:
        """The status document. Raises: AccountNotFound."""
        document = self._read(account_id, partial(report.document, account_id=account_id), brief=True)
        if document is None:
            raise self.asker.no_account(account_id)
        return document

    def status_documents(self, account_id: str | None, state: State | None) -> list[dict[str, Any]]:
        """The status document of that account; None: of all at work and of those done last, or of all that have a run
        of that `state`. Raises: AccountNotFound."""
        if account_id is not None:
            return [self.status_document(account_id)]
        if not self.database.is_there:
            return []
        with self.database.read() as connection:
            ids = listings.account_ids(connection, state) if schema.exists(connection) else []
            pages = (ids[start : start + ACCOUNTS_A_PAGE] for start in range(0, len(ids), ACCOUNTS_A_PAGE))
            return [document for page in pages for document in report.documents(connection, page)]

    def overview(self, state: State | None = None, text: str = "", after: str | None = None, limit: int = 50) -> Page:
        """The status documents of at most `limit` accounts that have a run, those asked for last first, behind the
        cursor `after`; with such a `state` of a pass, and ids that begin with `text`."""
        first = parse_account_cursor(after) if after else None
        with self.database.read() as connection:
            ids, last = overview.account_ids(connection, state, text, first, min(limit, MAX_PAGE))
            documents = report.documents(connection, ids)
        return Page(documents, account_cursor(last) if last else None)

    def account_ids(self, text: str, limit: int) -> list[str]:
        """At most `limit` ids, beginning with `text`, of accounts that have a run, those asked for last first."""
        if not self.database.is_there:
            return []
        with self.database.look() as connection:
            found = overview.account_ids(connection, None, text, None, limit)[0] if schema.exists(connection) else []
        return [name for name in found if name.startswith(text)]  # SQLite does not tell A from a

    def in_trouble(self, limit: int = 10) -> list[dict[str, Any]]:
        """The status documents of at most `limit` accounts whose run failed or lost its process, the latest first."""
        with self.database.read() as connection:
            return report.documents(connection, overview.in_trouble(connection, limit))

    def totals(self) -> PassTotals:
        """How many passes are in which state now, and how many were done today (UTC)."""
        midnight = dt.datetime.now(dt.UTC).replace(hour=0, minute=0, second=0, microsecond=0)
        with self.database.look() as connection:
            return overview.totals(connection, midnight)

    def fleet(self) -> Fleet:
        """Who works on what."""
        with self.database.read() as connection:
            return overview.fleet(connection)

    def newest_rejects(self, account_id: str, limit: int = 20) -> list[dict[str, Any]]:
        """At most `limit` of the newest rejects, without their texts. Raises: AccountNotFound."""
        return self._read(account_id, partial(overview.newest_rejects, account_id=account_id, limit=limit))

    def sources(self, account_id: str) -> list[str]:
        """Where the account's passes were imported from. Raises: AccountNotFound."""
        return self._read(account_id, partial(listings.sources, account_id=account_id))

    def is_left_alone(self, account_id: str) -> bool:
        """Whether the account waits for a worker and there is none at work. Raises: AccountNotFound."""
        return self._read(account_id, partial(backlog.is_left_alone, account_id=account_id))

    def rejects(
        self, account_id: str, selection: RejectSelection = ALL_REJECTS, after: str | None = None, limit: int = 100
    ) -> Page:
        """At most `limit` (up to 1000) of the selected rejects that are open, by pass, part and line, behind the cursor
        `after`. Raises: AccountNotFound."""
        cursor = parse_reject_cursor(after) if after else None  # `after=` asks for the first page

        def look(connection: Connection) -> Page:
            if not report.is_known(connection, account_id):
                raise self.asker.no_account(account_id)
            items, place = report.reject_page(connection, account_id, selection, cursor, min(limit, MAX_PAGE))
            return Page(items, reject_cursor(place) if place else None)

        return self._read(account_id, look)

    def each_reject(
        self, account_id: str, selection: RejectSelection = ALL_REJECTS, *, at_once: int = MAX_PAGE
    ) -> Iterator[dict[str, Any]]:
        """The rejects of `reject_pages`, one by one."""
        for page in self.reject_pages(account_id, selection, at_once=at_once):
            yield from page

    def reject_pages(
        self, account_id: str, selection: RejectSelection = ALL_REJECTS, *, at_once: int = MAX_PAGE
    ) -> Iterator[list[dict[str, Any]]]:
        """The pages of `rejects` in one go.

        No transaction is open while whoever asked looks at them: in a pager that may take hours.
        """
        page = self.rejects(account_id, selection, limit=at_once)
        yield page.items
        while page.next is not None:
            page = self.rejects(account_id, selection, page.next, at_once)
            yield page.items

    def passes_of_items(self, account_id: str) -> set[Pass]:
        """The passes that were imported from items of DynamoDB. Raises: AccountNotFound."""
        return self._look_at(account_id, report.passes_of_items)

    def rejected_by_delta(self, account_id: str, entity: Entity, ids: Sequence[str]) -> set[str]:
        """Of these ids of the entity's records, those that the last delta rejected as well. Raises: AccountNotFound."""
        return self._look_at(account_id, partial(rejected_by_delta, entity=entity, ids=ids))

    def events(self, account_id: str, after: str | None = None, limit: int = 100) -> Page:
        """At most `limit` (up to 1000) events of the account's migration, in the order in which they happened, behind
        the cursor `after`. Raises: AccountNotFound."""
        first = parse_event_cursor(after) if after else 0
        items, last = self._look_at(account_id, partial(diary.event_page, after=first, limit=min(limit, MAX_PAGE)))
        return Page(items, None if last is None else str(last))

    def newest_events(self, account_id: str, limit: int = 20) -> list[dict[str, Any]]:
        """At most `limit` events, the newest first. Raises: AccountNotFound."""
        return self._look_at(account_id, partial(diary.newest_events, limit=limit))

    def samples(self, account_id: str, pass_: Pass | None = None, after: str | None = None, limit: int = 100) -> Page:
        """At most `limit` (up to 1000) samples of how far the account's runs were, by their instants, behind the cursor
        `after`; `pass_`: only of that pass's newest run. Raises: AccountNotFound."""
        first = parse_sample_cursor(after) if after else None
        look = partial(diary.sample_page, pass_=pass_, after=first, limit=min(limit, MAX_PAGE))
        items, last = self._look_at(account_id, look)
        return Page(items, sample_cursor(last) if last else None)

    def parts(
        self, account_id: str, passes: Sequence[Pass] = tuple(Pass), after: str | None = None, limit: int = 100
    ) -> Page:
        """At most `limit` (up to 1000) parts of the passes' newest runs, by pass and number, behind the cursor `after`.

        Raises: AccountNotFound.
        """
        first = parse_part_cursor(after) if after else None
        look = partial(diary.part_page, passes=passes, after=first, limit=min(limit, MAX_PAGE))
        items, last = self._look_at(account_id, look)
        return Page(items, part_cursor(last) if last else None)

    def each_event(self, account_id: str) -> Iterator[dict[str, Any]]:
        """The pages of `events` in one go. Raises: AccountNotFound."""
        page = self.events(account_id, limit=MAX_PAGE)
        yield from page.items
        while page.next is not None:
            page = self.events(account_id, page.next, MAX_PAGE)
            yield from page.items

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
        self.asker.check_id(account_id)
        return self.transactions.run(account_id, work)

    def _look_at(self, account_id: str, look: Callable[..., T]) -> T:
        """What `look` finds of an account that is known. Raises: AccountNotFound, where it is not."""

        def known(connection: Connection) -> T:
            if not report.is_known(connection, account_id):
                raise self.asker.no_account(account_id)
            return look(connection, account_id)

        return self._read(account_id, known)

    def _read(self, account_id: str, work: Callable[[Connection], T], *, brief: bool = False) -> T:
        """Do work that only looks, `brief` or in a transaction. Raises: AccountNotFound, where nothing is."""
        self.asker.check_id(account_id)
        looks_for_tables = self.asker.may_find_nothing
        if looks_for_tables and not self.database.is_there:
            raise self.asker.no_account(account_id)
        with self.database.look() if brief and not looks_for_tables else self.database.read() as connection:
            if looks_for_tables and not schema.exists(connection):
                raise self.asker.no_account(account_id)
            return work(connection)
