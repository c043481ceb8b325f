"""The story of a validation: find the passes, read each as an import would, then ask what only the whole dump tells."""

from __future__ import annotations

import threading
from collections.abc import Collection
from contextlib import suppress
from dataclasses import replace
from functools import partial

import orjson
import pyarrow as pa

from s3import.core.errors import (
    ConfigurationError,
    DumpNotFound,
    Interrupted,
    InvalidAccountDocument,
    InvalidManifest,
    PartDiffers,
    PartMissing,
)
from s3import.core.events import Observer, PassEnded, PassStarted
from s3import.core.ids import ACCOUNT, is_id
from s3import.core.records import HALVES, AccountDocument, Pass
from s3import.core.settings import Settings
from s3import.importing.parents import KnownParents
from s3import.operations.composition import readers
from s3import.operations.foreground import in_thread
from s3import.operations.sources import source_opener
from s3import.operations.validate import dump_keys
from s3import.operations.validate.named_files import FileComparison
from s3import.operations.validate.pass_reader import PassReader, Remembered
from s3import.operations.validate.validation_report import IDS_SHOWN, PassReport, ValidationReport
from s3import.readers.dump.account_document import ACCOUNT_DOCUMENT, read_account_document
from s3import.readers.dump.objects import MANIFEST
from s3import.readers.sources.location import ANYBODY
from s3import.readers.sources.source import DumpSource, Source

NO_BRANDS = "brands and channels: there is no account.json that names them"
NO_EARLIER = "parents in the {pass_} pass: they may be in the {missing} pass, which is not here or could not be read"
NO_THREADS = "parents in the {pass_} pass: a part of its {entity} could not be read"
FILES_FOLDER = "files"


def validate(
    settings: Settings, uri: str, account_id: str | None, *, observe: Observer, stop: threading.Event
) -> ValidationReport:
    """Read and check the dump at `uri`, and find what an import into an empty database would reject.

    `account_id`: None where the dump itself says it. What is wrong with one part or one pass is in the report.
    Raises: ConfigurationError; DumpNotFound where there is no pass at all; Interrupted; what a source raises.
    """
    pa.set_memory_pool(pa.system_memory_pool())  # as for an import: less memory for batches
    open_dump = source_opener(replace(settings, mapping=None), readers(settings))
    if account_id is None:
        account_id = _account_of(uri, open_dump(uri, ANYBODY).companion) if ACCOUNT not in uri else None
    if account_id is None:
        raise ConfigurationError("the dump does not say whose it is; give --account ID")
    source = open_dump(uri, account_id)
    return in_thread(partial(Validation(settings, source, account_id, observe, stop).run))


def _account_of(uri: str, source: Source) -> str | None:
    """The account that account.json or a manifest names; None where none does."""
    for key, name in ((ACCOUNT_DOCUMENT, "id"), *((f"{pass_}/{MANIFEST}", "account_id") for pass_ in Pass)):
        with suppress(ValueError, AttributeError):
            found = orjson.loads(source.read(key) or b"{}").get(name)
            if isinstance(found, str) and is_id(found):
                return found
    return None


class Validation:
    """One dump, with what its passes have in common."""

    def __init__(
        self, settings: Settings, source: DumpSource, account_id: str, observe: Observer, stop: threading.Event
    ) -> None:
        self._settings, self._source, self._account_id = settings, source, account_id
        self._observe, self._stop = observe, stop
        self._remembered = Remembered()
        self._report = ValidationReport(source.uri, account_id)

    def run(self) -> ValidationReport:
        """Check everything. Raises: as `validate`."""
        objects = self._source.companion
        present = [pass_ for pass_ in Pass if next(iter(objects.list(f"{pass_}/")), None)]
        if not present:
            raise DumpNotFound(
                f"there is no dump at {self._source.uri}: none of the folders {', '.join(Pass)} has an object in it; "
                "check the path, which is that of one account's dump"
            )
        self._report.other_folders = sorted({*objects.folders("")} - {*Pass, FILES_FOLDER})
        parents = self._parents()
        for pass_ in present:
            self._check(pass_, parents)
        self._compare_files()
        self._find_repeated()
        return self._report

    def _parents(self) -> KnownParents:
        """The brands and channels that threads may name; of what account.json does not list nothing is known."""
        document = None
        try:
            document = read_account_document(self._source.companion, self._account_id)
            if document:
                _require_brands(document)
        except InvalidAccountDocument as error:
            self._report.errors.append(error)
        ids: dict[str, Collection[str]] = {}
        if document and document.brands:
            ids["brand_id"] = {brand.id for brand in document.brands}
        if document and document.channels:
            ids["channel_id"] = {channel.id for channel in document.channels}
        if len(ids) < 2:
            self._report.not_checked.append(NO_BRANDS)
        return KnownParents(ids)

    # --- a pass ------------------------------------------------------------------------------------------------------

    def _check(self, pass_: Pass, parents: KnownParents) -> None:
        report = self._report.passes[pass_] = PassReport()
        try:
            plan = report.plan = self._source.plan(pass_)
        except (DumpNotFound, InvalidManifest, PartMissing, PartDiffers) as error:
            report.fail(error)
            return
        size_bytes = sum(part.stored.size_bytes for part in plan.parts)
        self._observe(PassStarted(self._account_id, pass_, "validation", 1, len(plan.parts), 0, size_bytes, 0, 0, 0))
        reader = PassReader(
            pass_,
            plan,
            report,
            self._source,
            self._account_id,
            self._remembered,
            parents,
            observe=self._observe,
            require_going=self._require_going,
            workers=readers(self._settings),
            block_bytes=self._settings.block_bytes,
        )
        missing = self._missing_before(pass_)
        if missing:
            self._report.not_checked.append(NO_EARLIER.format(pass_=pass_, missing=missing))
        left_out = reader.read(parents_are_here=missing is None)
        self._report.not_checked += (NO_THREADS.format(pass_=pass_, entity=entity) for entity in left_out)
        self._report.deletions.update(reader.deletions)
        self._observe(PassEnded(self._account_id, pass_, None))

    def _missing_before(self, pass_: Pass) -> Pass | None:
        """A half of the dump that comes before `pass_` and was not read to its end."""
        for half in HALVES:
            if half is pass_:
                return None
            report = self._report.passes.get(half)
            if report is None or report.errors:
                return half
        return None

    def _require_going(self) -> None:
        if self._stop.is_set():
            raise Interrupted(f"{self._source.uri}: the validation was interrupted; it wrote nothing")

    # --- the whole dump ----------------------------------------------------------------------------------------------

    def _compare_files(self) -> None:
        files = FileComparison(self._source.companion, self._remembered.files, self._require_going)
        self._report.files.update(files.compare(self._report.passes))

    def _find_repeated(self) -> None:
        for entity, ids in self._remembered.known.items():
            number, first = dump_keys.repeated(ids, IDS_SHOWN)
            if number:
                self._report.repeated[entity] = (number, first)


def _require_brands(document: AccountDocument) -> None:
    """Raises: InvalidAccountDocument, where a channel's brand is none of those listed."""
    listed = {brand.id for brand in document.brands}
    if listed and not {channel.brand_id for channel in document.channels} <= listed:
        raise InvalidAccountDocument(
            f"{ACCOUNT_DOCUMENT} of account {document.id}: a channel names a brand_id that is not among its brands; "
            "correct the document"
        )
