"""A dry run: reads and checks a dump as a migration would, and writes nothing.

Faults of the records themselves are found; whether a parent exists is only known to a real run.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable
from typing import Any

from s3import.errors import Interrupted, S3ImportError
from s3import.events import Advanced, Observer, PassEnded, PassStarted
from s3import.limits import Tally
from s3import.migration import Request, SourceOpener
from s3import.parts import require_expected_rows
from s3import.readers import read_part
from s3import.readers.dump import plan_pass, read_account_document
from s3import.readers.source import ItemSource, Source
from s3import.records import HALVES, ROW_ENTITIES, Batch, Pass, PlannedPart, Position, Reject, Window
from s3import.validators import check

REJECTS_SHOWN = 100


class Rehearsal:
    """Checks the passes of a request, and tells what it found so far even when it is stopped half-way."""

    def __init__(self, request: Request, block_bytes: int, observe: Observer, stop: threading.Event) -> None:
        self._request, self._block_bytes, self._observe, self._stop = request, block_bytes, observe, stop
        self._checks: dict[Pass, _PassCheck] = {}

    def run(self, open_source: SourceOpener) -> None:
        """Check everything. Raises: DumpNotFound, PartUnreadable, TooManyRejects and whatever else would end a run."""
        source = open_source(self._request.source or "", self._request.account_id)
        window = source.window() if isinstance(source, ItemSource) else None
        for pass_ in self._request.passes:
            check_ = self._checks[pass_] = _PassCheck(self._request, pass_, self._observe, self._require_going)
            check_.run(source, window, self._block_bytes)
        read_account_document(source, self._request.account_id)

    @property
    def passes(self) -> tuple[Pass, ...]:
        """The passes that were checked to their end."""
        return tuple(pass_ for pass_, check_ in self._checks.items() if check_.done)

    @property
    def rejected(self) -> int:
        return sum(check_.tally.rejected for check_ in self._checks.values())

    def document(self, error: S3ImportError | None) -> dict[str, Any]:
        """What was found: counts, and the first `REJECTS_SHOWN` rejects of each pass; `error` ended it."""
        return {
            "account_id": self._request.account_id,
            "dry_run": True,
            "passes": {
                pass_.value: self._pass_document(pass_, error) for pass_ in {**dict.fromkeys(HALVES), **self._checks}
            },
        }

    def _pass_document(self, pass_: Pass, error: S3ImportError | None) -> dict[str, Any] | None:
        check_ = self._checks.get(pass_)
        return check_.document(None if check_.done else error) if check_ else None

    def _require_going(self) -> None:
        if self._stop.is_set():
            raise Interrupted(f"account {self._request.account_id}: the dry run was interrupted; it wrote nothing")


def _nothing() -> Counter[str]:
    return Counter(read=0, rejected=0, sanitised=0)


class _PassCheck:
    def __init__(self, request: Request, pass_: Pass, observe: Observer, require_going: Callable[[], None]) -> None:
        self._account_id, self._pass, self._observe = request.account_id, pass_, observe
        self._require_going = require_going
        self._counts = {entity.value: _nothing() for entity in ROW_ENTITIES}
        self._by_code: Counter[str] = Counter()
        self._shown: list[dict[str, Any]] = []
        self._ignored: frozenset[str] = frozenset()
        self._skipped: tuple[str, ...] = ()
        self.tally = Tally(request.limit, dry_run=True)
        self.done = False

    def run(self, source: Source, window: Window | None, block_bytes: int) -> None:
        plan = plan_pass(source, self._account_id, self._pass, lambda: window)
        self._skipped = plan.skipped_objects
        self._counts |= {part.entity.value: _nothing() for part in plan.parts}
        total = sum(part.stored.size_bytes for part in plan.parts)
        self._observe(PassStarted(self._account_id, self._pass, "dry run", 1, len(plan.parts), 0, total, 0, 0, 0))
        for part in plan.parts:
            self._check_part(source, part, block_bytes)
        self.tally.require_within_limit(self._account_id, final=True)
        self.done = True
        self._observe(PassEnded(self._account_id, self._pass, None))

    def document(self, error: S3ImportError | None) -> dict[str, Any]:
        return {
            "counts": {entity: dict(counts) for entity, counts in self._counts.items()},
            "rejects": {"total": self.tally.rejected, "by_code": dict(sorted(self._by_code.items()))},
            "first_rejects": self._shown,
            "ignored_fields": sorted(self._ignored),
            "skipped_objects": list(self._skipped),
            "error": {"code": error.code, "message": error.message} if error else None,
        }

    def _check_part(self, source: Source, part: PlannedPart, block_bytes: int) -> None:
        before, bytes_before = self.tally.read, 0
        for batch in read_part(source, part, Position(), block_bytes=block_bytes):
            self._require_going()
            self._check_batch(part, batch, batch.bytes_done - bytes_before)
            bytes_before = batch.bytes_done
        require_expected_rows(self._pass, part, self.tally.read - before)
        self._observe(Advanced(self._account_id, self._pass, 0, 0, 0, 1))

    def _check_batch(self, part: PlannedPart, batch: Batch, bytes_: int) -> None:
        checked = check(batch, part.entity, self._account_id)
        read, rejected = batch.records.num_rows, len(checked.rejects)
        self._counts[part.entity].update(read=read, rejected=rejected, sanitised=checked.sanitised.true_count)
        self._ignored |= batch.ignored_fields
        self._note(part, checked.rejects)
        self.tally.add(read, rejected, bytes_)
        self._observe(Advanced(self._account_id, self._pass, read, rejected, bytes_, 0))
        self.tally.require_within_limit(self._account_id)

    def _note(self, part: PlannedPart, rejects: tuple[Reject, ...]) -> None:
        for reject in rejects:
            self._by_code.update({reason.code for reason in reject.reasons})
        room = REJECTS_SHOWN - len(self._shown)
        self._shown += [
            {
                "entity": part.entity.value,
                "part": part.key,
                "line": reject.line,
                "id": reject.id,
                "reasons": [{"code": r.code, "field": r.field, "message": r.message} for r in reject.reasons],
            }
            for reject in rejects[:room]
        ]
