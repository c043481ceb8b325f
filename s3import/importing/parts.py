"""A record's way, from the bytes of a part to a row, batch by batch: its steps in order, and where each lives.

1. Read: `readers/reading.py` has the dump give its batches. `readers/sources` open bytes, `readers/formats` make Arrow
   tables of them; `readers/dump/decoders.py` finds a part's format, and `readers/dynamodb` reads items.
2. Check: `transform/validators` tell right records from rejects.
3. Map: `transform/rows.py` makes rows of the target table.
4. Write: `writers` load and merge the rows; `recordings.py` notes their files, `rejects.py` keeps the rejects, and
   `checkpoints.py` the place; of a delta `resolutions.py` closes the rejects of what is in by now. `transactions.py`
   tries again what may be tried again.
5. Tell: observers hear what was committed, and the limit of rejects is held to it.

Steps 1 to 3 are outside of any transaction, one batch ahead of the one that is being written. Step 4 is one
transaction: a crash loses what was not committed, and what was committed is never done twice. While a connection is to
spare, a batch's rows go in beside those of the batch before; they are committed in their order all the same.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Generator, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import closing
from dataclasses import dataclass, field, replace
from itertools import islice

import pyarrow as pa
import pyarrow.compute as pc
from sqlalchemy import Connection

from s3import import status
from s3import.core.errors import Conflict, Interrupted
from s3import.core.events import Advanced
from s3import.core.limits import Counters
from s3import.core.logs import in_context
from s3import.core.records import HALVES, ROW_ENTITIES, Batch, Checked, Entity, Pass, Plan, Reject, Written
from s3import.core.tables import import_rejects
from s3import.importing import all_rejected, checkpoints, file_places, resolutions
from s3import.importing.checkpoints import Part, Progress
from s3import.importing.recordings import NotedFiles
from s3import.importing.rejects import as_rows, take_texts
from s3import.importing.transactions import Transactions
from s3import.readers.reading import read_checked, require_expected_rows
from s3import.readers.sources.source import DumpSource
from s3import.status import Claim
from s3import.transform.rows import to_rows
from s3import.transform.validators import make_rejects
from s3import.writers import load_new, write

PACKED = 8  # text can be packed about that tightly; how much a table holds nobody knows
SMALL_PARTS = 16  # of a pass that is read as a whole: more are better read side by side
SMALL_REJECTS = 1000  # that are in memory at once
PATIENCE_SECONDS = 5.0  # that rows wait, with all they lock, for the batch before, which may wait for what they lock


@dataclass(frozen=True, slots=True)
class ActiveRun:
    """A claimed run that this process is working on; `ended` is set when its parts must stop at their next batch.

    `existing` is set while most rows of its batches turn out to be there already. `notes`: what its end has to say
    beside its counts.
    """

    claim: Claim
    source: DumpSource
    counters: Counters
    ended: threading.Event = field(default_factory=threading.Event)
    existing: threading.Event = field(default_factory=threading.Event)
    notes: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Prepared:
    """A batch ready to be written: what the validators made of it, and that as rows of the target table."""

    batch: Batch
    checked: Checked
    rows: pa.Table


@dataclass(frozen=True, slots=True)
class Step:
    """A part as a batch left it, and whether most of the batch's rows existed already."""

    part: Part
    existing: bool = False


@dataclass(frozen=True, slots=True)
class SmallPart:
    """All of a part that is a single batch at most: the part before and after it, its rows if it has any, and what is
    rejected of it."""

    before: Part
    after: Part
    rows: pa.Table | None
    rejects: list[Reject]


@dataclass(frozen=True, slots=True)
class PartImporter:
    """Imports parts through `transactions`, in batches of about `block_bytes`; of a run's first `keep_raw` rejects the
    text is kept."""

    transactions: Transactions
    block_bytes: int
    keep_raw: int

    def import_part(self, run: ActiveRun, part: Part, spare: threading.Semaphore | None = None) -> None:
        """Import what is left of one part. `spare` counts the connections that no part uses; None: there is just one.

        Raises: Interrupted, or what ended it otherwise; batches stay committed.
        """
        self.require_going(run)
        batches = self._prepare(run, part)
        step = Step(part, existing=run.claim.again is not None or run.existing.is_set())
        if self.takes_long(part):
            with closing(_one_ahead(batches)) as ahead:
                step = self._write_in_order(run, step, ahead, spare)
        else:
            for prepared in batches:
                self.require_going(run)
                step = self._write(run, prepared, step, _finished(step))
        if not step.part.done:
            self._complete(run, step.part)
        if self.takes_long(part):  # threads that come and go leave free memory in pieces: peaks grow with the parts
            pa.default_memory_pool().release_unused()

    # --- a small pass as a whole -------------------------------------------------------------------------------------

    def read_small(self, run: ActiveRun, plan: Plan) -> list[SmallPart] | None:
        """All parts of a pass that is less than a batch in all, outside of any transaction; None where it is more, or
        has to go part by part: something of it was done before, files are to be copied, rejects would end it.

        Raises: Interrupted; what reading raises.
        """
        small, bytes_, rejected = list[SmallPart](), 0, 0
        if not self._may_be_small(run.claim, plan):
            return None
        for part in checkpoints.fresh_parts(run.claim, plan):
            self.require_going(run)
            batches = list(islice(self._prepare(run, part), 2))
            if len(batches) > 1:
                return None
            small.append(_whole(run.claim, part, *batches))
            bytes_ += sum(one.rows.nbytes for one in batches)
            rejected += len(small[-1].rejects)
            if bytes_ > self.block_bytes or rejected > SMALL_REJECTS:  # their text was packed tightly
                return None
        return small if _is_within_limits(run, small) else None

    def _may_be_small(self, claim: Claim, plan: Plan) -> bool:
        fresh = claim.attempts == 1 and not claim.again and claim.pass_ in HALVES and not claim.options.files_to
        if not fresh or len(plan.parts) > SMALL_PARTS:
            return False
        size_bytes = sum(part.stored.size_bytes for part in plan.parts)
        plain = all(part.entity in ROW_ENTITIES and part.window is None for part in plan.parts)
        return plain and size_bytes <= self.block_bytes // PACKED

    def load_small(self, connection: Connection, claim: Claim, small: Sequence[SmallPart]) -> None:
        """The rows of a small pass, in the caller's transaction. Nothing is merged or forgotten.

        Raises: Conflict, where a row is there already or its parent is not, or where anything of the account was
        deleted or has files; what `load_new` raises. The transaction must then be rolled back.
        """
        rows = [(one.before.planned.entity, one.rows) for one in small if one.rows is not None]
        load_new(connection, self.transactions.database.writer, claim.account_id, rows)
        if file_places.are_noted(connection, claim.account_id):
            raise Conflict(f"account {claim.account_id}: files of earlier versions may have to be forgotten")

    def note_small(self, connection: Connection, claim: Claim, small: Sequence[SmallPart]) -> None:
        """The parts and rejects of a small pass, in the caller's transaction, which has the run to itself."""
        checkpoints.insert_parts(connection, claim, [one.after for one in small])
        for one in small:
            texts = take_texts(connection, claim.run_id, len(one.rejects), self.keep_raw)
            self._keep(connection, claim, one.before, one.rejects, texts)

    def tell_small(self, run: ActiveRun, small: Sequence[SmallPart]) -> None:
        """Tell of a small pass that was committed."""
        for one in small:
            self._advance(run, one.before, one.after)

    # --- a part, batch by batch --------------------------------------------------------------------------------------

    def _prepare(self, run: ActiveRun, part: Part) -> Iterator[Prepared]:
        """Read, check and map what is left of the part, batch by batch."""
        planned, claim, start = part.planned, run.claim, part.progress.position
        for read in read_checked(run.source, planned, claim.account_id, block_bytes=self.block_bytes, start=start):
            yield Prepared(read.batch, read.checked, to_rows(planned.entity, read.checked.accepted, claim.options))

    def _write_in_order(
        self, run: ActiveRun, first: Step, batches: Iterator[Prepared], spare: threading.Semaphore | None
    ) -> Step:
        """Write the batches of a part, two at a time while a connection is to spare; the step after them."""
        before = latest = _finished(first)
        written: Prepared | None = None
        with ThreadPoolExecutor(2, thread_name_prefix="writer") as writers:
            while True:
                so_far = before.result()
                beside = not so_far.existing and _can_go_beside(run, first.part) and _take(spare, latest)
                if not beside:
                    so_far = latest.result()
                prepared = next(batches, None)
                if prepared is None:
                    return latest.result()
                if beside and written and _share_ids(written, prepared):
                    so_far = latest.result()
                self.require_going(run)
                before, latest = latest, writers.submit(in_context(self._write), run, prepared, so_far, latest)
                written = prepared

    def _write(self, run: ActiveRun, prepared: Prepared, so_far: Step, before: Future[Step]) -> Step:
        """Write one batch and commit it after the batch `before`. `so_far`: the latest step that is known.

        Raises: what ended the batch before, which leaves this one undone; what ended this one.
        """
        claim, tries = run.claim, 0

        def work(connection: Connection) -> Step:
            nonlocal tries
            tries += 1
            if tries > 1 and (stored := _committed(connection, claim, so_far.part, prepared.batch)):
                return Step(stored, so_far.existing)
            return self._write_once(
                connection, run, prepared, replace(so_far, existing=so_far.existing or tries > 1), before
            )

        began = time.monotonic()
        try:
            after = self.transactions.run(claim.account_id, work)
        except _OutOfTurn:
            so_far = before.result()
            after = self.transactions.run(claim.account_id, work)
        self._advance(run, before.result().part, after.part, time.monotonic() - began)
        return after

    def _write_once(
        self, connection: Connection, run: ActiveRun, prepared: Prepared, so_far: Step, before: Future[Step]
    ) -> Step:
        """The batch's rows, rejects and checkpoint, in the caller's transaction. Raises: _OutOfTurn."""
        claim, writer = run.claim, self.transactions.database.writer
        written, existing = write(
            connection,
            writer,
            so_far.part.planned.entity,
            claim.account_id,
            prepared.rows,
            expect_existing=so_far.existing,
            restarted=(claim.run_id, so_far.part.number) if so_far.part.restarted else None,
        )
        part = _in_turn(before).part
        if written.rejected or part.planned.entity is Entity.DELETIONS:  # judged by what is not there
            checkpoints.require_done(connection, claim, part.planned.entity.earlier)
        rejects = [*prepared.checked.rejects, *_rejected_by_the_database(prepared, written)]
        after = _after(claim, part, prepared, written, rejects)
        texts = take_texts(connection, claim.run_id, len(rejects), self.keep_raw)  # the run before its part, as others
        checkpoints.checkpoint(connection, claim, part, after)
        _noted_files(claim, part).note(connection, writer, prepared.batch, prepared.checked, written)
        self._keep(connection, claim, part, rejects, texts)
        if claim.pass_ is Pass.DELTA:
            resolutions.resolve(connection, claim, part.planned.entity, _taken_in(prepared, written))
        return Step(after, existing)

    def _keep(self, connection: Connection, claim: Claim, part: Part, rejects: list[Reject], texts: int) -> None:
        """Keep the part's rejects, `texts` of them with their own."""
        if rejects:
            rows = as_rows(
                rejects, run_id=claim.run_id, part_number=part.number, account_id=claim.account_id, texts=texts
            )
            self.transactions.database.writer.load(connection, import_rejects, rows)

    def _complete(self, run: ActiveRun, part: Part) -> None:
        """Mark a part as done whose last batch was committed without knowing that it was the last."""
        after = replace(part, done=True)
        require_expected_rows(run.claim.pass_, after.planned, after.progress.read)
        self.transactions.run(
            run.claim.account_id, lambda connection: checkpoints.checkpoint(connection, run.claim, part, after)
        )
        self._advance(run, part, after)

    def _advance(self, run: ActiveRun, before: Part, after: Part, seconds: float = 0.0) -> None:
        """Tell of what was committed. Raises: TooManyRejects, AllRejected."""
        claim, was, now = run.claim, before.progress, after.progress
        advanced = Advanced(
            claim.account_id,
            claim.pass_,
            read=now.read - was.read,
            rejected=now.rejected - was.rejected,
            bytes=after.bytes_done - before.bytes_done,
            parts=int(after.done),
            entity=before.planned.entity,
            written=now.written - was.written,
            unchanged=now.unchanged - was.unchanged,
            seconds=seconds,
            how_far=run.counters.how_far,
        )
        if 2 * advanced.unchanged > advanced.read:
            run.existing.set()
        elif advanced.read:
            run.existing.clear()
        run.counters.add(advanced.read, advanced.rejected, advanced.bytes)
        self.transactions.observe(advanced)
        run.counters.require_within_limit(claim.account_id)
        if run.counters.nothing_came_over():
            self.require_something(run)

    def takes_long(self, part: Part) -> bool:
        """Whether a part is worth another thread: one that is surely a single batch is not."""
        planned = part.planned
        return planned.stored.size_bytes > self.block_bytes // PACKED or planned.window is not None

    def require_going(self, run: ActiveRun) -> None:
        """Raises: Interrupted, LeaseLost or AccountDeleted, when the next batch must not begin."""
        if self.transactions.stop.is_set():
            raise Interrupted(
                f"account {run.claim.account_id}: interrupted; the checkpoint is kept, the same command resumes there"
            )
        if run.ended.is_set():
            raise self.transactions.run(run.claim.account_id, lambda connection: status.why_lost(connection, run.claim))

    def require_something(self, run: ActiveRun) -> None:
        """Raises: AllRejected, where nothing of the run came over, on whatever machine."""
        claim = run.claim
        self.transactions.run(claim.account_id, lambda connection: all_rejected.require_something(connection, claim))


def _one_ahead(items: Iterator[Prepared]) -> Generator[Prepared]:
    """The same items, each made in another thread while the one before it is used.

    Close it: the garbage collector would wait for the thread wherever it happens to run, locks of that place held.
    """
    with ThreadPoolExecutor(1, thread_name_prefix="reader") as reader:
        upcoming: Future[Prepared | None] = reader.submit(in_context(next), items, None)
        while (item := upcoming.result()) is not None:
            upcoming = reader.submit(in_context(next), items, None)
            yield item


class _OutOfTurn(Exception):
    """The batch before is not committed: not yet, or never."""


def _in_turn(before: Future[Step]) -> Step:
    """What the batch before came to. Raises: _OutOfTurn, where that takes long: it may wait for whoever waits for what
    this transaction locks, which no database notices."""
    wait([before], PATIENCE_SECONDS)
    if not before.done() or before.exception():
        raise _OutOfTurn
    return before.result()


def _finished(step: Step) -> Future[Step]:
    future = Future[Step]()
    future.set_result(step)
    return future


def _can_go_beside(run: ActiveRun, part: Part) -> bool:
    """Whether batches of the part only insert rows, as a rule: then one does not wait for what another has locked."""
    return part.planned.entity in ROW_ENTITIES and run.claim.pass_ in HALVES and not part.restarted


def _take(spare: threading.Semaphore | None, until: Future[Step]) -> bool:
    """Take a connection that is to spare until a batch is committed; False where there is none, or it is already."""
    if spare is None or until.done() or not spare.acquire(blocking=False):
        return False
    until.add_done_callback(lambda _: spare.release())
    return True


def _share_ids(one: Prepared, other: Prepared) -> bool:
    """Whether a row is in both batches: the later one is then decided when the earlier one is in."""
    return bool(pc.any(pc.is_in(other.rows["id"], pc.unique(one.rows["id"]))).as_py())


def _whole(claim: Claim, part: Part, prepared: Prepared | None = None) -> SmallPart:
    """A part after its only batch, all accepted rows of which are written; without one it is empty."""
    after, rejects = part, list[Reject]()
    if prepared is not None:
        rejects = list(prepared.checked.rejects)
        after = _after(claim, part, prepared, Written(prepared.rows.num_rows, 0), rejects)
    require_expected_rows(claim.pass_, part.planned, after.progress.read)
    return SmallPart(part, replace(after, done=True), prepared and prepared.rows, rejects)


def _is_within_limits(run: ActiveRun, small: Sequence[SmallPart]) -> bool:
    """Whether the pass comes to its end with what it rejects. Raises: TooManyRejects."""
    counters, account_id = run.counters.afresh(), run.claim.account_id
    for progress in (one.after.progress for one in small):
        counters.add(progress.read, progress.rejected, 0)
        counters.require_within_limit(account_id)
        if counters.nothing_came_over():
            return False
    counters.require_within_limit(account_id, final=True)
    return not counters.nothing_came_over(final=True)


def _committed(connection: Connection, claim: Claim, part: Part, batch: Batch) -> Part | None:
    """The part as it stands, if this very batch is in already: the answer to a commit can get lost. Not if somebody has
    taken the part over since."""
    stored = checkpoints.read_parts(connection, claim.run_id, part.number)
    mine = bool(stored) and (stored[0].token, stored[0].progress.position) == (part.token, batch.end)
    return stored[0] if mine else None


def _noted_files(claim: Claim, part: Part) -> NotedFiles:
    to_be_copied = bool(claim.options.files_to)
    return NotedFiles(claim.account_id, part.planned.entity, claim.run_id, part.number, to_be_copied)


def _rejected_by_the_database(prepared: Prepared, written: Written) -> list[Reject]:
    if not written.rejected:
        return []
    rows = prepared.checked.rows
    return make_rejects(prepared.batch, {rows[index].as_py(): reasons for index, reasons in written.rejected.items()})


def _taken_in(prepared: Prepared, written: Written) -> pa.Table:
    """The accepted records but for those that the database rejected."""
    accepted = prepared.checked.accepted
    if not written.rejected:
        return accepted
    return accepted.take(pa.array([row for row in range(accepted.num_rows) if row not in written.rejected], pa.int64()))


def _after(claim: Claim, part: Part, prepared: Prepared, written: Written, rejects: list[Reject]) -> Part:
    """The part with its progress after this batch. Raises: PartDiffers, when it ends with too few or too many rows."""
    before, batch, repaired = part.progress, prepared.batch, prepared.checked.sanitised
    codes = Counter(code for reject in rejects for code in {reason.code for reason in reject.reasons})
    sanitised = (pc.sum(repaired).as_py() or 0) - sum(repaired[index].as_py() for index in written.rejected)
    progress = Progress(
        position=batch.end,
        bytes_done=batch.bytes_done,
        read=before.read + batch.records.num_rows,
        written=before.written + written.written,
        unchanged=before.unchanged + written.unchanged,
        rejected=before.rejected + len(rejects),
        sanitised=before.sanitised + sanitised,
        rejects_by_code=Counter(before.rejects_by_code) + codes,
        ignored_fields=before.ignored_fields | batch.ignored_fields,
    )
    after = replace(part, progress=progress, done=batch.last)
    if after.done:
        require_expected_rows(claim.pass_, after.planned, progress.read)
    return after
