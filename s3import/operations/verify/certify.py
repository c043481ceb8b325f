"""Certifies a migration that was verified: reads what is kept of it, and the tables once more, and signs it all.

Nothing is certified that verification did not see: the tables must have the digests that it found, unless the caller
asks for what it saw then. Lists that grow with the account are read in one go, digested and not kept.
"""

from __future__ import annotations

import datetime as dt
import threading
from collections.abc import Callable, Iterable, Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import sqlalchemy as sa
from sqlalchemy import Connection

from s3import.core import history
from s3import.core.errors import ChangedSinceVerified, DifferencesFound, NotVerified, RunIsAlive
from s3import.core.events import Observer, Reading
from s3import.core.history import Happened
from s3import.core.settings import Settings
from s3import.core.tables import TARGETS, import_runs
from s3import.importing.transactions import Transactions
from s3import.operations.composition import on_tables
from s3import.operations.foreground import in_thread
from s3import.operations.verify import evidence, imported
from s3import.operations.verify.evidence import ListFolder
from s3import.operations.verify.found import AccountRows, digest_of
from s3import.operations.verify.imported import Imported
from s3import.reporting import certificate
from s3import.reporting.certificate import Certificate, CertifiedRun, Document, TableDigest, Tally, Verdict
from s3import.reporting.progress import rfc3339

T = TypeVar("T")


def certify(
    settings: Settings,
    account_id: str,
    *,
    lists: Path | None = None,
    as_verified: bool = False,
    observe: Observer,
    stop: threading.Event,
) -> Document:
    """The signed certificate of an account whose passes were verified.

    `lists`: a folder to write the lists into that the certificate has the SHA-256 of; `as_verified`: certify what the
    verification saw, also where rows have changed since.
    Raises: ConfigurationError, without a secret to sign with, or where a list is there already; NotVerified;
    DifferencesFound; ChangedSinceVerified; Interrupted; and what `imported.imported` raises.
    """
    key = certificate.signing_key(settings)
    with (
        on_tables(settings, account_id, observe, stop, patient=True) as transactions,
        ListFolder(lists) if lists else nullcontext() as folder,
    ):
        certifier = _Certifier(transactions, account_id, folder, as_verified)
        return certificate.signed(in_thread(certifier.run).document(), key)


@dataclass(frozen=True, slots=True)
class _Standing:
    """What is certified: the runs, and what was kept of their verification."""

    done: Imported
    verified: dict[str, Any]


@dataclass(frozen=True, slots=True)
class _Certifier:
    transactions: Transactions
    account_id: str
    lists: ListFolder | None
    as_verified: bool

    def run(self) -> Certificate:
        account, folder, stop = self.account_id, self.lists, self.transactions.stop
        standing = self._read(partial(_standing, account_id=account))
        run_ids = imported.ids_of(standing.done.runs)
        has_changed = self._has_changed(standing.verified, self._digests(standing))
        runs = self._read(partial(evidence.runs_of, run_ids=run_ids))
        made = Certificate(
            account=self._read(partial(evidence.account_of, account_id=account)),
            issued_at=str(rfc3339(dt.datetime.now(dt.UTC))),
            software=self._read(evidence.software),
            verification=_verdict(standing.verified),
            totals=self._totals(runs),
            runs=runs,
            deleted=self._read(partial(evidence.deleted, account_id=account)),
            parts=self._read(partial(evidence.parts, run_ids=run_ids, folder=folder, stop=stop)),
            files=self._read(partial(evidence.files, account_id=account, folder=folder, stop=stop)),
            tables=_tables(standing.verified),
            is_as_verified=has_changed,
        )
        self.transactions.run(account, partial(self._note, standing=standing))
        return made

    def _read(self, look: Callable[[Connection], T]) -> T:
        return self.transactions.read(self.account_id, look)

    def _digests(self, standing: _Standing) -> dict[str, str]:
        """Those of the tables as they are now."""
        rows = AccountRows(self.transactions, self.account_id, standing.done.began)
        digests: dict[str, str] = {}
        for entity in TARGETS:
            count = standing.verified["counts"][entity.value]["found"]
            self.transactions.observe(Reading(self.account_id, entity.value, count))
            digests[entity.value] = digest_of(rows.sums(entity))
        return digests

    def _has_changed(self, verified: Mapping[str, Any], digests: Mapping[str, str]) -> bool:
        changed = [entity for entity, digest in digests.items() if verified["digests"][entity] != digest]
        if changed and not self.as_verified:
            raise ChangedSinceVerified(
                f"account {self.account_id}: {', '.join(changed)} changed since the verification of "
                f"{verified['verified_at']}; run `s3import verify --account {self.account_id}` again and this right "
                "after it, or give --as-verified to certify what that verification saw"
            )
        return bool(changed)

    def _totals(self, runs: Iterable[CertifiedRun]) -> dict[str, Tally]:
        tallies: dict[str, list[Tally]] = {}
        for run in runs:
            for entity, tally in run.counts.items():
                tallies.setdefault(entity, []).append(tally)
                if not tally.adds_up:
                    raise DifferencesFound(
                        f"account {self.account_id}: of the {run.pass_} pass {tally.read} {entity} were read, but "
                        f"{tally.written} written + {tally.unchanged} unchanged + {tally.rejected} rejected is another "
                        "number; report it, and read the dump once more with `s3import migrate --again`"
                    )
        return {entity: Tally.total(of_entity) for entity, of_entity in tallies.items()}

    def _note(self, connection: Connection, standing: _Standing) -> None:
        """Raises: RunIsAlive, where what is certified is not what is there any more; as `_standing`."""
        now = _standing(connection, self.account_id)
        if (imported.ids_of(now.done.runs), now.verified) != (imported.ids_of(standing.done.runs), standing.verified):
            raise RunIsAlive(
                f"account {self.account_id}: a pass was imported or verified while it was certified; run the same "
                "command again"
            )
        history.write(connection, self.account_id, {Happened.CERTIFIED: None})


def _standing(connection: Connection, account_id: str) -> _Standing:
    """Raises: NotVerified, DifferencesFound, and what `imported.imported` raises."""
    done = imported.imported(connection, account_id)
    query = sa.select(import_runs.c.run_id, import_runs.c.verified)
    ids = imported.ids_of(done.runs)
    kept = {row.run_id: row.verified for row in connection.execute(query.where(import_runs.c.run_id.in_(ids)))}
    last = max((found for found in kept.values() if found), key=lambda found: str(found["verified_at"]), default=None)
    again = f"run `s3import verify --account {account_id}`"
    if last is None:
        raise NotVerified(f"account {account_id} was not verified yet; {again} first")
    for run in done.runs:
        if kept[run.run_id] != last:
            raise NotVerified(
                f"account {account_id}: the {run.pass_} pass was imported after the last verification, of "
                f"{last['verified_at']}; {again} again"
            )
    if last["differences"]:
        raise DifferencesFound(
            f"account {account_id}: the last verification, of {last['verified_at']}, found {last['differences']} "
            f"differences; `s3import verify --account {account_id}` lists them. Once they are mended verify again"
        )
    if "digests" not in last:
        raise NotVerified(f"account {account_id} was verified by an earlier version of s3import; {again} again")
    return _Standing(done, last)


def _verdict(verified: Mapping[str, Any]) -> Verdict:
    return Verdict(**{name: verified[name] for name in Verdict.__slots__})


def _tables(verified: Mapping[str, Any]) -> dict[str, TableDigest]:
    return {
        entity: TableDigest(count["found"], verified["digests"][entity]) for entity, count in verified["counts"].items()
    }
