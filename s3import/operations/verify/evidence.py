"""What the bookkeeping and the tables have to say of a migration, for its certificate. Lists that grow with the account
are read in one go, digested and not kept."""

from __future__ import annotations

import hashlib
import threading
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

import orjson
import sqlalchemy as sa
from sqlalchemy import Connection

from s3import import __version__
from s3import.core.errors import ConfigurationError, Interrupted, system_reason
from s3import.core.records import ROW_ENTITIES, Entity
from s3import.core.tables import FILES, accounts, attachments, import_parts, import_runs, import_tombstones
from s3import.importing.file_places import COPIED
from s3import.operations.verify.found import ROWS_AT_ONCE
from s3import.reporting import status_document
from s3import.reporting.certificate import (
    CertifiedAccount,
    CertifiedFiles,
    CertifiedRun,
    Deleted,
    Listed,
    Names,
    Software,
    Tally,
)
from s3import.writers import schema

PARTS_LIST, FILES_LIST = "parts.jsonl", "files.jsonl"


def account_of(connection: Connection, account_id: str) -> CertifiedAccount:
    """The account as it is now."""
    name, status = connection.execute(
        sa.select(accounts.c.name, accounts.c.status).where(accounts.c.id == account_id)
    ).one()
    return CertifiedAccount(account_id, name, status)


def software(connection: Connection) -> Software:
    """The versions of what is at work."""
    dialect, url = connection.dialect, connection.engine.url
    product = "mariadb" if getattr(dialect, "is_mariadb", False) else dialect.name
    version = ".".join(map(str, getattr(dialect, "server_version_info", None) or ()))
    database = {"product": product, "version": version, "name": Path(url.database or "").name}
    return Software(__version__, schema.HEAD, database)


def runs_of(connection: Connection, run_ids: Sequence[str]) -> tuple[CertifiedRun, ...]:
    """These runs, in that order."""
    query = status_document.runs().where(import_runs.c.run_id.in_(run_ids))
    rows = connection.execute(status_document.with_slices(query, sa.asc("number"))).all()
    found = {run.run_id: (run, told) for run, told in status_document.pass_documents(rows)}
    return tuple(_run(*found[run_id]) for run_id in run_ids)


def _run(run: Any, told: Mapping[str, Any]) -> CertifiedRun:
    return CertifiedRun(
        **{name: told[name] for name in ("run_id", "source", "requested_at", "started_at", "finished_at", "attempts")},
        pass_=run._mapping["pass"],
        counts={entity: Tally.of(count) for entity, count in told["counts"].items()},
        by_code=told["rejects"]["by_code"],
        resolved=told["rejects"].get("resolved", 0),
        ignored_fields=Names.of(told["ignored_fields"]),
        skipped_objects=Names.of(told["skipped_objects"]),
    )


def deleted(connection: Connection, account_id: str) -> dict[str, Deleted]:
    """How many rows of each entity are remembered as deleted."""
    kept = import_tombstones.c
    query = sa.select(kept.entity, kept.from_dump, sa.func.count()).where(kept.account_id == account_id)
    found = {
        (entity, bool(from_dump)): count
        for entity, from_dump, count in connection.execute(query.group_by(kept.entity, kept.from_dump))
    }
    return {
        entity.value: Deleted(found.get((entity.value, True), 0), found.get((entity.value, False), 0))
        for entity in ROW_ENTITIES
    }


# --- lists that grow with the account ---------------------------------------------------------------------------------


def parts(connection: Connection, run_ids: Iterable[str], folder: ListFolder | None, stop: threading.Event) -> Listed:
    """The parts of these runs, in the order in which they were planned. Raises: as `_Lines`."""
    with _Lines(folder, PARTS_LIST, stop) as lines:
        for part in (part for run_id in run_ids for part in _parts_of(connection, run_id)):
            lines.add(part, part["size_bytes"])
    return Listed(lines.count, lines.size_bytes, lines.digest.hexdigest())


def files(connection: Connection, account_id: str, folder: ListFolder | None, stop: threading.Event) -> CertifiedFiles:
    """The files of the account by their records, in the order of ids. Raises: as `_Lines`."""
    states: Counter[str] = Counter()
    with _Lines(folder, FILES_LIST, stop) as lines:
        for file in _files_of(connection, account_id):
            states[file["state"]] += 1
            lines.add(file, (file["size_bytes"] or 0) if file["state"] == COPIED else 0)
    return CertifiedFiles(lines.count, dict(sorted(states.items())), lines.size_bytes, lines.digest.hexdigest())


def _parts_of(connection: Connection, run_id: str) -> Iterator[dict[str, Any]]:
    parts = import_parts.c
    names: tuple[str, ...] = ("run_id", "entity", "key", "etag", "size_bytes", "expected_sha256")
    names += tuple(f"{what}_count" for what in ("read", "written", "unchanged", "rejected"))
    query = sa.select(*(parts[name] for name in names)).where(parts.run_id == run_id).order_by(parts.number)
    for row in _stream(connection, query):
        yield {name.removesuffix("_count").removeprefix("expected_"): value for name, value in row._mapping.items()}


def _files_of(connection: Connection, account_id: str) -> Iterator[dict[str, Any]]:
    """Each file by its record, in the order of ids: attachments, then recordings of messages."""
    known = {Entity.ATTACHMENTS: (attachments.c.size_bytes, attachments.c.sha256)}
    for entity, (table, row_id) in FILES.items():
        columns = (row_id, table.c.state, table.c.storage_key, *known.get(entity, (sa.null(), sa.null())))
        query = sa.select(*columns).where(table.c.account_id == account_id).order_by(row_id)
        for record_id, state, storage_key, size_bytes, sha256 in _stream(connection, query):
            yield {
                "entity": entity.value,
                "id": record_id,
                "state": state,
                "storage_key": storage_key,
                "size_bytes": size_bytes,
                "sha256": sha256,
            }


def _stream(connection: Connection, query: sa.Select[Any]) -> Iterable[Any]:
    return connection.execution_options(yield_per=ROWS_AT_ONCE).execute(query)


class _Lines(ExitStack):
    """Digests a list of JSON objects, a line each, and writes it below `folder` where there is one.

    Raises: ConfigurationError, where the list is there already or cannot be written; Interrupted, once `stop` is set.
    """

    def __init__(self, folder: ListFolder | None, name: str, stop: threading.Event) -> None:
        super().__init__()
        self.count = self.size_bytes = 0
        self.digest = hashlib.sha256()
        self._stop = stop
        self._file = self.enter_context(folder.new_file(name)) if folder else None

    def add(self, line: Mapping[str, Any], size_bytes: int) -> None:
        """Add an object, which tells of so many bytes."""
        text = orjson.dumps(line, option=orjson.OPT_SORT_KEYS | orjson.OPT_APPEND_NEWLINE)
        self.digest.update(text)
        self.count += 1
        self.size_bytes += size_bytes
        if self._file:
            self._file.write(text)
        if self.count % ROWS_AT_ONCE == 0 and self._stop.is_set():
            raise Interrupted("interrupted; nothing was certified")


@dataclass(slots=True)
class ListFolder:
    """A folder that gets lists; those that it got are gone again where there is no certificate of them.

    Use as a context manager.
    """

    path: Path
    _got: list[Path] = field(default_factory=list)

    def __enter__(self) -> ListFolder:
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        if kind is not None:
            for path in self._got:
                path.unlink(missing_ok=True)

    @contextmanager
    def new_file(self, name: str) -> Iterator[BinaryIO]:
        """A file that is gone again where writing it does not come to its end. Raises: ConfigurationError."""
        path = self.path / name
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            with path.open("xb") as file:
                try:
                    yield file
                except BaseException:
                    path.unlink()
                    raise
        except OSError as error:
            why = system_reason(error)
            raise ConfigurationError(f"the list {path} cannot be written: {why}; give another folder") from error
        self._got.append(path)
