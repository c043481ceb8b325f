"""Rejects as a dump of their own: mended line by line, it comes in as a delta."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, BinaryIO

import orjson

from s3import.core.errors import ConfigurationError, MigrationFailed, RejectCode, system_reason
from s3import.core.ids import ACCOUNT
from s3import.core.records import Entity, Pass
from s3import.core.settings import Settings
from s3import.importing.file_places import FILE_CODES
from s3import.operations.composition import opened
from s3import.operations.operations import Operations
from s3import.reporting.pages import RejectSelection

DELTA, REASONS, NOT_WRITTEN = "delta", "reasons", "not-written.jsonl"


@dataclass(slots=True)
class RejectDump:
    """What was written below `folder`: records by entity; `without_id` of them have no id that could be read, so that
    their rejects stay open when they come in. `not_written`: how many are only named, by why."""

    account_id: str
    folder: str
    written: Counter[str] = field(default_factory=Counter)
    without_id: int = 0
    not_written: Counter[str] = field(default_factory=Counter)

    def document(self) -> dict[str, Any]:
        """It as a JSON document."""
        counts = {"written": dict(self.written), "without_id": self.without_id, "not_written": dict(self.not_written)}
        return {"account_id": self.account_id, "folder": self.folder, **counts}


def write_rejects(
    settings: Settings, account_id: str, folder: str, selection: RejectSelection, limit: int | None = None
) -> RejectDump:
    """Write the first `limit` (None: all) of the selected rejects below `folder`, in which ``{account}`` stands for the
    account's id.

    There ``delta/<entity>/rejects.jsonl`` has the records' texts, ``reasons/<entity>.jsonl`` on the same line what is
    wrong with each, and ``not-written.jsonl`` names those whose text cannot be mended there, and why. All of it is
    there at once, or nothing is.
    Raises: ConfigurationError, where the folder has any of these; AccountNotFound; MigrationFailed, where it cannot be
    written.
    """
    into = Path(folder.replace(ACCOUNT, account_id)).absolute()
    found = RejectDump(account_id, str(into))
    with opened(settings) as operations, _told(into), _all_at_once(into) as lines:
        items = operations.passes_of_items(account_id)
        for page in _pages(operations, account_id, selection, limit):
            _write_page(lines, found, page, _Unmendable(operations, account_id, items, page))
    return found


@contextmanager
def _told(into: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise MigrationFailed(f"cannot write below {into}: {system_reason(error)}") from error


@contextmanager
def _all_at_once(into: Path) -> Iterator[_Lines]:
    """Files that get their places once all of them are written, the delta last: nobody imports half of it."""
    for name in (DELTA, REASONS, NOT_WRITTEN):
        if (into / name).exists():
            raise ConfigurationError(
                f"--as-dump: {into} has {name} already; name another folder, so that nothing mended is overwritten"
            )
    with _made(into), TemporaryDirectory(prefix=".rejects-", dir=into) as folder:
        with ExitStack() as stack:
            yield _Lines(Path(folder), stack)
        for name in (REASONS, NOT_WRITTEN, DELTA):
            if (written := Path(folder, name)).exists():
                written.rename(into / name)


@contextmanager
def _made(folder: Path) -> Iterator[None]:
    """Make the folder, and those above it; whatever of them is empty at the end of the block goes again."""
    new = [one for one in (folder, *folder.parents) if not one.exists()]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        yield
    finally:
        with suppress(OSError):  # the first that is not empty, or cannot be taken away: so neither can those above it
            for one in new:
                one.rmdir()


@dataclass(frozen=True, slots=True)
class _Lines:
    """Lines of files below `folder`, which are closed with the stack."""

    folder: Path
    stack: ExitStack
    files: dict[str, BinaryIO] = field(default_factory=dict)

    def add(self, name: str, line: bytes) -> None:
        if name not in self.files:
            path = self.folder / name
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            self.files[name] = self.stack.enter_context(path.open("wb"))
        self.files[name].write(line + b"\n")


def _pages(
    operations: Operations, account_id: str, selection: RejectSelection, limit: int | None
) -> Iterator[list[dict[str, Any]]]:
    for page in operations.reject_pages(account_id, selection):
        yield page[:limit]
        if limit is not None:
            limit -= len(page[:limit])
            if not limit:
                return


def _write_page(lines: _Lines, found: RejectDump, page: Sequence[dict[str, Any]], unmendable: _Unmendable) -> None:
    for reject in page:
        entity, text = reject["entity"], reject.pop("raw") or ""
        why = unmendable.why(reject, text)
        if why is not None:
            lines.add(NOT_WRITTEN, orjson.dumps({**reject, "why": why}))
            found.not_written[why] += 1
            continue
        lines.add(f"{DELTA}/{entity}/rejects.jsonl", text.encode())
        lines.add(f"{REASONS}/{entity}.jsonl", orjson.dumps(reject))
        found.written[entity] += 1
        found.without_id += reject["id"] is None


class _Unmendable:
    """Tells of the rejects of a page why one cannot be mended in its text."""

    def __init__(
        self, operations: Operations, account_id: str, items: set[Pass], page: Sequence[dict[str, Any]]
    ) -> None:
        self._items = items
        self._again: dict[str, set[str]] = {}
        for entity in Entity:
            ids = {one["id"] for one in page if one["entity"] == entity and one["id"] and one["pass"] != Pass.DELTA}
            self._again[entity] = operations.rejected_by_delta(account_id, entity, sorted(ids)) if ids else set()

    def why(self, reject: dict[str, Any], text: str) -> str | None:
        """In a word; None: it can be."""
        codes = {reason["code"] for reason in reject["reasons"]}
        if not codes.isdisjoint(FILE_CODES):
            return "file"  # the record is in, `files retry` copies what it names
        if RejectCode.DELETED_IN_TARGET in codes:
            return RejectCode.DELETED_IN_TARGET
        if reject["pass"] in self._items:
            return "item"  # of DynamoDB: the text is no record
        if reject["raw_truncated"]:
            return "cut" if text else "not_kept"
        if RejectCode.INVALID_UTF8 in codes:
            return RejectCode.INVALID_UTF8  # the bytes are shown as U+FFFD
        again = reject["pass"] != Pass.DELTA and reject["id"] in self._again[reject["entity"]]
        return "rejected_again" if again else None  # the delta's version of it is written
