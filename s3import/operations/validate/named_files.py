"""Whether the files that records name by a `key` lie there, as large as the records say; their bytes are not read."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from itertools import chain
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from s3import.core.errors import RejectCode
from s3import.core.records import Entity, Pass, Reason, StoredObject, one_array
from s3import.operations.spill import Spill, spans
from s3import.operations.validate import dump_keys
from s3import.operations.validate.pass_reader import place_at
from s3import.operations.validate.validation_report import REJECTS_SHOWN, PassReport, RecordPlace
from s3import.readers.sources.source import Source
from s3import.transform.validators import leaves_source

MAX_FOLDERS = 100  # listed one by one; where files lie in more, the whole source is listed
FIELDS = {Entity.ATTACHMENTS: "key", Entity.MESSAGES: "telephony.recording_key"}
_NOT_AS_LISTED = r"(\A|/)\.{0,2}(/|\z)|\A[^/]+\z"  # a detour to a file, or a file outside of any folder

_NOT_THERE = "the source holds no {}"

Row = dict[str, Any]


class FileComparison:
    """Compares the files that records name (`FILES`) with the objects of their source."""

    def __init__(self, source: Source, files: Spill, require_going: Callable[[], None]) -> None:
        self._source, self._files, self._require_going = source, files, require_going

    def compare(self, reports: Mapping[Pass, PassReport]) -> Counter[str]:
        """Reject what is missing or has another size; how many were named, and how many have each code."""
        found = Counter(named=self._files.num_rows)
        for absent, different in dump_keys.absent_and_different(self._files, self._listed()) if found["named"] else ():
            odd = pc.match_substring_regex(absent["file_key"], _NOT_AS_LISTED)
            missing = absent.filter(pc.invert(odd))
            for place in pc.unique(missing["place"]).to_pylist():
                _reject_missing(reports, missing.filter(pc.field("place") == place))
            found[RejectCode.FILE_MISSING] += missing.num_rows
            for row in chain(absent.filter(odd).to_pylist(), different.to_pylist()):
                if fault := self._fault(row):
                    pass_, _ = place_at(row["place"])
                    reports[pass_].reject_files(fault[0], [_reject(row, *fault)], 1)
                    found[fault[0]] += 1
        return found

    def _listed(self) -> Spill:
        folders = self._folders()
        prefixes = folders if len(folders) <= MAX_FOLDERS else [""]
        return dump_keys.objects(self._counted(chain.from_iterable(map(self._source.list, prefixes))))

    def _folders(self) -> list[str]:
        """The first folders of all keys."""
        found: set[str] = set()
        for span in spans(self._files):
            first = pc.extract_regex(self._files.rows(*span)["file_key"], r"\A(?P<folder>[^/]+/)")
            found.update(pc.unique(pc.struct_field(one_array(first), "folder").drop_null()).to_pylist())
        return sorted(found)

    def _counted(self, stored: Iterator[StoredObject]) -> Iterator[StoredObject]:
        for one in stored:
            self._require_going()
            yield one

    def _fault(self, row: Row) -> tuple[str, str] | None:
        """Why the file cannot be copied, looked up by itself: a listing does not tell whether an object is encoded."""
        self._require_going()
        key, expected_bytes = row["file_key"], row["file_bytes"]
        if leaves_source(key):
            return RejectCode.FILE_MISSING, "it does not name a file within the source"
        now = self._source.find(key)
        if now is None:
            return RejectCode.FILE_MISSING, _NOT_THERE.format(key)
        if now.served.content_encoding or expected_bytes in (None, now.size_bytes):
            return None
        return RejectCode.FILE_DIFFERS, f"it has {now.size_bytes} bytes, not {expected_bytes}"


def _reject_missing(reports: Mapping[Pass, PassReport], rows: pa.Table) -> None:
    """Reject the files of one pass and entity, which a listing does not have."""
    pass_, _ = place_at(rows["place"][0].as_py())
    first = rows.sort_by([("part", "ascending"), ("line", "ascending")]).slice(0, REJECTS_SHOWN)
    shown = [_reject(row, RejectCode.FILE_MISSING, _NOT_THERE.format(row["file_key"])) for row in first.to_pylist()]
    reports[pass_].reject_files(RejectCode.FILE_MISSING, shown, rows.num_rows)


def _reject(row: Row, code: str, message: str) -> tuple[RecordPlace, tuple[Reason, ...]]:
    _, entity = place_at(row["place"])
    return RecordPlace(entity, row["part"], row["line"], row["id"]), (Reason(code, FIELDS[entity], message),)
