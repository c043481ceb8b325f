"""Who asks for something, and all that differs by it: the operator at the command line, or a client over HTTP."""

from __future__ import annotations

from typing import Protocol

from sqlalchemy import Connection

from s3import.core.accounts import no_account, unknown_account
from s3import.core.errors import AccountNotFound, ConfigurationError, DumpNotFound, InvalidRequest
from s3import.core.ids import check_account_id
from s3import.core.records import Pass, RunOptions
from s3import.core.settings import Settings
from s3import.importing.queueing import known_source
from s3import.readers.sources.allowed import require_allowed
from s3import.readers.sources.location import require_deltas, resolve


class Asker(Protocol):
    """What whoever asks may do, and in which words a refusal is told.

    `options` go with the runs that are asked for; with `may_be_new` a dump's account.json may create its account;
    `may_find_nothing`: the database may be one that nothing was ever migrated into.
    """

    options: RunOptions
    may_be_new: bool
    may_find_nothing: bool

    def check_id(self, account_id: str) -> None:
        """Refuse what cannot be an account's id."""

    def no_account(self, account_id: str) -> AccountNotFound:
        """The error that says that there is no such account."""
        ...

    def source(self, account_id: str, source: str | None) -> str:
        """The URI of the account's dump, where `source` was asked for (None: nothing)."""
        ...

    def source_if_unknown(self, connection: Connection, account_id: str, pass_: Pass) -> str | None:
        """The URI to read a pass again from; None: where it was read last."""

    def require_deltas(self, uri: str) -> None:
        """Refuse a source that holds no deltas."""


class Operator:
    """Whoever has the settings and the machine: every source, new accounts, options of runs."""

    may_be_new = True
    may_find_nothing = True

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self.options = settings.run_options

    def check_id(self, account_id: str) -> None:
        """Raises: ConfigurationError."""
        check_account_id(account_id)

    def no_account(self, account_id: str) -> AccountNotFound:
        return unknown_account(account_id)

    def source(self, account_id: str, source: str | None) -> str:
        """Raises: ConfigurationError."""
        uri = source or self._settings.source
        if uri is None:
            raise ConfigurationError("no source: give --source URI or set S3IMPORT_SOURCE")
        return resolve(uri, account_id)

    def source_if_unknown(self, connection: Connection, account_id: str, pass_: Pass) -> str | None:
        return None

    def require_deltas(self, uri: str) -> None:
        """Raises: DumpNotFound."""
        require_deltas(uri)


class Client:
    """Whoever has a token: sources that the settings allow, accounts that exist."""

    options = RunOptions()
    may_be_new = False
    may_find_nothing = False

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    def check_id(self, account_id: str) -> None:
        """Raises: InvalidRequest."""
        check_id(account_id)

    def no_account(self, account_id: str) -> AccountNotFound:
        return no_account(account_id)

    def source(self, account_id: str, source: str | None) -> str:
        """Raises: SourceNotAllowed, InvalidRequest where none is configured."""
        settings = self._settings
        if source is not None:
            return require_allowed(source, account_id, settings.source, settings.allowed_sources)
        if settings.source is None:
            raise InvalidRequest("this server has no source of its own; name one", code="source_required")
        return resolve(settings.source, account_id)

    def source_if_unknown(self, connection: Connection, account_id: str, pass_: Pass) -> str | None:
        """The configured source, for an account of which nothing was ever read. Raises: as `source`."""
        return None if known_source(connection, account_id, pass_) else self.source(account_id, None)

    def require_deltas(self, uri: str) -> None:
        """Raises: InvalidRequest."""
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
