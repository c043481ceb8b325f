"""The errors that s3import raises on purpose, grouped by what the caller should do about it.

Those that only one room raises and catches are defined there, as `NotDelivered` is in reporting.

An error carries a stable ``code`` (docs/reference/codes.md) and a message that says where, what and what to do
next. The command line turns the group into an exit status, the HTTP API into an HTTP status.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import ClassVar

MOST_CAUSES = 10  # of one error that anybody asks for


class S3ImportError(Exception):
    """The root of the tree. ``code`` is stable and safe to compare; the message is for people."""

    code: str = "error"

    def __init__(self, message: str, *, code: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        if code is not None:
            self.code = code


# --- correct the command or the configuration -------------------------------------------------------------------


class ConfigurationError(S3ImportError):
    """The command, an option or a setting is wrong; nothing was touched."""

    code = "configuration"


class InvalidRequest(ConfigurationError):
    """A request is none that could ever be answered: an id, a cursor or a word in it is wrong."""

    code = "invalid_request"


class DatabaseMisconfigured(ConfigurationError):
    """The database URL leads nowhere: a wrong login, an option or a name that is not there."""

    code = "database_misconfigured"


class SchemaTooNew(ConfigurationError):
    """The database's tables were made by a newer version."""

    code = "schema_mismatch"


class UnknownBrand(InvalidRequest):
    """A channel names a brand that its account does not have."""

    code = "unknown_brand"


class BrokerRefused(ConfigurationError):
    """The broker does not let this process in, or not to its queue."""

    code = "broker_refused"


class SourceNotAllowed(InvalidRequest):
    """The source asked for lies outside of those that this server may read."""

    code = "source_not_allowed"


class RunNotFound(InvalidRequest):
    code = "run_not_found"


# --- correct the dump, the database or the permissions, then run the same command again --------------------------


class MigrationFailed(S3ImportError):
    """The run cannot go on until somebody changes something outside of it."""

    code = "failed"


class DumpNotFound(MigrationFailed):
    code = "dump_not_found"


class AccountNotFound(MigrationFailed):
    code = "account_not_found"


class InvalidAccountDocument(MigrationFailed):
    code = "invalid_account_json"


class InvalidManifest(MigrationFailed):
    code = "invalid_manifest"


class DocumentTooLarge(MigrationFailed):
    """A document is larger than what is read of one as a whole."""


class PartMissing(MigrationFailed):
    code = "part_missing"


class PartDiffers(MigrationFailed):
    """A part's size, checksum or number of rows is not what its manifest says."""

    code = "part_differs"


class PartUnreadable(MigrationFailed):
    """A part is truncated or corrupt; the message names the object."""

    code = "part_unreadable"


class SourceChanged(MigrationFailed):
    """An object changed (ETag or size) while the run was reading it."""

    code = "source_changed"


class SourceDenied(MigrationFailed):
    """The source refuses access and goes on refusing it (403)."""

    code = "source_denied"


class SourceMissing(MigrationFailed):
    """The bucket, folder or object is not there (404)."""

    code = "source_missing"


class FilesRefused(MigrationFailed):
    """The place that files are copied to is not there or refuses them."""

    code = "files_refused"


class SchemaMismatch(MigrationFailed):
    """The database's tables are not the ones this version writes; the message names what differs."""

    code = "schema_mismatch"


class TooManyRejects(MigrationFailed):
    code = "too_many_rejects"


class AllRejected(MigrationFailed):
    """A pass of which nothing came over: every record of it was rejected."""

    code = "all_rejected"


class RecentPassFirst(MigrationFailed):
    code = "recent_pass_first"


class PassNotFinished(MigrationFailed):
    """An account is to get a status that only the end of a pass gives it."""

    code = "pass_not_finished"


class NotImported(MigrationFailed):
    """There is nothing to verify, or a pass that was left half-way."""

    code = "not_imported"


class NotVerified(MigrationFailed):
    """There is nothing to certify: what was imported was not verified, or not all of it."""

    code = "not_verified"


class DifferencesFound(MigrationFailed):
    """The last verification found differences, or the counts do not add up: that cannot be certified."""

    code = "differences_found"


class ChangedSinceVerified(MigrationFailed):
    """The tables are not as they were when they were verified."""

    code = "changed_since_verified"


class CertificateInvalid(MigrationFailed):
    """A certificate that is to be checked is none, was changed, or was signed with another secret."""

    code = "certificate_invalid"


class AccountIsActive(MigrationFailed):
    """The account is in use: taking its import back has to be forced."""

    code = "account_is_active"


class AccountPurged(MigrationFailed):
    """What a delta, or reading a pass again, needs to know of the account was forgotten."""

    code = "account_purged"


class ResetUnfinished(MigrationFailed):
    """A reset of the account was begun and interrupted: nothing else goes on until it is finished."""

    code = "reset_unfinished"


class AccountDeleted(MigrationFailed):
    """The account was deleted in Re:amaze while its run was at work."""

    code = "account_deleted"


class DatabaseRefused(MigrationFailed):
    """The database refuses for a reason that trying again does not change (permissions, limits, disk full)."""

    code = "database_refused"


class InternalError(MigrationFailed):
    """A fault of s3import itself."""

    code = "internal_error"


class WorkerLost(MigrationFailed):
    """Every worker that took the run died or hung while it held it."""

    code = "worker_lost"


class OutputLost(MigrationFailed):
    """What was done is done, but its result could not be written to stdout."""

    code = "output_lost"


# --- wait, then run the same command again ------------------------------------------------------------------------


class TemporaryFailure(S3ImportError):
    """Outlasted the retries; the same command resumes at the last checkpoint."""

    code = "temporary"


class SourceUnavailable(TemporaryFailure):
    code = "source_unavailable"


class ProcessLost(TemporaryFailure):
    """A process that this one had started died."""

    code = "process_lost"


class BrokerUnavailable(TemporaryFailure):
    code = "broker_unavailable"


class Conflict(TemporaryFailure):
    """A primary or foreign key is broken: another worker or a person was there first.

    The transaction holds nothing of use any more; tried again from its start it sees what the other one did. `key`: the
    name of the key in the database that is broken, "" where the driver does not tell it; None: another reason.
    """

    code = "conflict"

    def __init__(self, message: str, *, key: str | None = None) -> None:
        super().__init__(message)
        self.key = key


class DatabaseUnavailable(TemporaryFailure):
    code = "database_unavailable"


class CommitsLost(TemporaryFailure):
    """The database is not as far as it was when it confirmed what this process wrote; nothing is written behind the
    gap."""

    code = "commits_lost"

    @classmethod
    def of(cls, account_id: str, pass_: str) -> CommitsLost:
        """The error of a pass."""
        return cls(
            f"account {account_id}: the database came back without the last commits that it had confirmed (a failover "
            "to a server that lacked them, or a crash of one that does not wait for its disk); run the same command "
            f"again: the {pass_} pass resumes from what is there"
        )


# --- somebody else is at work, or asked this process to stop --------------------------------------------------------


class RunIsAlive(S3ImportError):
    """Another process holds the account's run and is at work."""

    code = "run_is_alive"


class LeaseLost(RunIsAlive):
    """This process was thought dead and its run was taken over: it writes nothing any more."""

    code = "lease_lost"


class ResetAtWork(RunIsAlive):
    """A process is taking the account's import back."""

    code = "reset_at_work"


class Interrupted(S3ImportError):
    """A signal or a cancellation stopped the run between two batches; the checkpoint is kept."""

    code = "interrupted"


# --- set the file aside ---------------------------------------------------------------------------------------------


class FileRejected(S3ImportError):
    """A file that is not copied; its row is imported all the same. The code is a reject's, the message its reason."""


class FileMissing(FileRejected):
    """The bytes cannot be had: they are not there, may not be fetched, or do not come."""

    code = "file_missing"


class FileDiffers(FileRejected):
    """The bytes are not those that the record tells of."""

    code = "file_differs"


# --- set the record aside ------------------------------------------------------------------------------------------


class RejectCode:
    """The reject codes of docs/reference/codes.md, as constants."""

    INVALID_JSON = "invalid_json"
    NOT_AN_OBJECT = "not_an_object"
    DUPLICATE_KEY = "duplicate_key"
    INVALID_UTF8 = "invalid_utf8"
    TOO_LONG = "too_long"
    MISSING_FIELD = "missing_field"
    WRONG_TYPE = "wrong_type"
    INVALID_ID = "invalid_id"
    INVALID_VALUE = "invalid_value"
    INVALID_TIMESTAMP = "invalid_timestamp"
    WRONG_ACCOUNT = "wrong_account"
    UNKNOWN_BRAND = "unknown_brand"
    UNKNOWN_CHANNEL = "unknown_channel"
    UNKNOWN_THREAD = "unknown_thread"
    UNKNOWN_MESSAGE = "unknown_message"
    DELETED_IN_TARGET = "deleted_in_target"
    FILE_MISSING = "file_missing"
    FILE_DIFFERS = "file_differs"

    ALL: ClassVar[frozenset[str]]


RejectCode.ALL = frozenset(
    value for name, value in vars(RejectCode).items() if name.isupper() and isinstance(value, str)
)


def can_be_repaired(codes: Iterable[str]) -> bool:
    """Whether another reading may bring in some of the rejects with these codes: what people deleted stays deleted."""
    return not set(codes) <= {RejectCode.DELETED_IN_TARGET}


def causes(error: BaseException | None) -> Iterator[BaseException]:
    """The error and what it came of, at most `MOST_CAUSES`: an error that is raised again may be its own cause."""
    for _ in range(MOST_CAUSES):
        if error is not None:
            yield error
            error = error.__cause__ or error.__context__


def printable(text: str) -> str:
    """Text that may come from a dump, made safe for a terminal: U+FFFD for control characters and lone surrogates."""
    return "".join(character if character.isprintable() else "\N{REPLACEMENT CHARACTER}" for character in text)


def system_reason(error: OSError) -> str:
    """Why the system refused, in its words for the error's number.

    These hold nothing of anybody's. The error's own text may: a library, or a file system, writes what it likes there.
    """
    return os.strerror(error.errno) if error.errno else "no reason given"


def _is_somewhere() -> bool:
    try:
        Path.cwd()
    except FileNotFoundError:
        return False
    return True


def as_failure(error: BaseException) -> S3ImportError:
    """The error itself where it is one of ours; anything else is a fault of s3import, said without its text, which may
    hold a customer's."""
    if isinstance(error, S3ImportError):
        return error
    if isinstance(error, FileNotFoundError) and not _is_somewhere():  # so that relative names lead nowhere
        return ConfigurationError("the folder that s3import was started in is gone; change to one that is there")
    return InternalError(
        f"s3import failed unexpectedly ({type(error).__name__}); the checkpoint is kept. Run the same command again; "
        "if it fails in the same place, report it with the output of S3IMPORT_DEBUG=1"
    )
