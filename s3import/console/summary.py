"""Results as a person or a program reads them on stdout."""

from __future__ import annotations

import re
import shlex
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import orjson

from s3import.console.output import painted, shown_width
from s3import.console.place import WorkPlace
from s3import.console.telling import spans
from s3import.core.accounts import AccountStatus, is_imported
from s3import.core.durations import in_words, span_in_words
from s3import.core.errors import Interrupted, S3ImportError, can_be_repaired, printable
from s3import.core.records import Entity, Pass
from s3import.core.tables import COUNTS
from s3import.reporting.pages import open_rejects
from s3import.reporting.progress import seconds_between
from s3import.reporting.status_document import UNKNOWN
from s3import.status import Run, State
from s3import.writers.schema import HEAD, Upgrade

if TYPE_CHECKING:
    from s3import.files import Retried
    from s3import.importing.requests import Result
    from s3import.operations.mapping_preview import Tried
    from s3import.operations.reset import Removed
    from s3import.operations.verify import Finding, Verified


_LINE_ENDS = re.compile(b"\xc2\x85|\xe2\x80[\xa8\xa9]")  # U+0085, U+2028, U+2029
WORTH_SECONDS = 2.0  # of a pass whose estimate is told
LISTED = 10  # rejects of a dry run, for a person to read

QUEUED = "queued: `s3import serve` or the workers of a broker import it, `s3import status --watch` shows how far it is"
NOBODY_WORKS = (
    "nobody is at work: start `s3import serve`, or with a broker `s3import worker`; what is queued waits for it"
)
NOTHING_TO_DO = "nothing to do: what was asked for had been imported before"


def as_json(results: Sequence[Result]) -> bytes:
    """One document: the account's own where there was one account, a list under ``accounts`` otherwise.

    An account that failed has besides an ``error`` {"code", "message"}: it may have no run that would tell.
    """
    documents = [_with_error(result) for result in results]
    return _json(documents[0] if len(documents) == 1 else {"accounts": documents})


def as_text(results: Sequence[Result], place: WorkPlace) -> str:
    """What became of each account, in a few lines, and where."""
    if len(results) > 1:
        return "\n".join([*map(_line, results), *place_lines(place), _total(results), *_cure_of_many(results)])
    result = results[0]
    text = document_as_text(result.document, place)
    text += "".join(f"\n  {printable(note)}" for note in result.notes)
    if result.error is None and not result.imported:
        text += f"\n  {QUEUED}" if at_work(result.document) else f"\n  {NOTHING_TO_DO}; {_after_that(result)}"
    return text


def _after_that(result: Result) -> str:
    """What can be done with a dump that was imported before."""
    if result.purged_at is None:
        return "with --again it is read once more"
    return (
        f"it cannot be read once more, as what was kept of the migration was purged on {result.purged_at:%Y-%m-%d}; "
        "the rows stay as they are"
    )


def tables_as_text(done: Upgrade, place: WorkPlace) -> str:
    """What `db init` did to the tables, where, and what comes next."""
    lines = [f"the tables are {done}, at revision {HEAD}", *place_lines(place)]
    return "\n".join([*lines, *([f"  next: {_AFTER_INIT[done]}"] if done in _AFTER_INIT else [])])


_AFTER_INIT = {
    Upgrade.CREATED: "`s3import migrate --account ID --source URI` imports an account",
    Upgrade.UPGRADED: "start what was stopped for the upgrade, such as `s3import serve`",
}


def tried_as_json(tried: Tried) -> bytes:
    """What became of one item, as one line."""
    reasons = [{"code": reason.code, "field": reason.field, "message": reason.message} for reason in tried.reasons]
    item = tried.item.decode("utf-8", "replace")
    return _json({"entity": tried.entity.value, "item": item, "record": tried.record, "reasons": reasons})


def tried_as_text(tried: Tried) -> str:
    """An item and below it the record it makes, for a person to compare."""
    if tried.record is not None:
        became = f"record  {_json(_filled(tried.record)).decode()}"
    else:
        became = "reject  " + "; ".join(f"{reason.field or 'item'}: {reason.message}" for reason in tried.reasons)
    item = tried.item.decode("utf-8", "replace")
    return f"{tried.entity}\n  item    {printable(item)}\n  {printable(became)}"


def _filled(record: Any) -> Any:
    """The members that are not null."""
    if isinstance(record, dict):
        return {name: _filled(member) for name, member in record.items() if member is not None}
    return record


def errors(results: Sequence[Result]) -> Iterator[S3ImportError]:
    """What ended accounts, an interruption only once."""
    failures = [result.error for result in results if result.error is not None]
    others = {error.message: error for error in failures if not isinstance(error, Interrupted)}
    yield from others.values()  # a database that does not answer is one failure, of all accounts
    yield from [error for error in failures if isinstance(error, Interrupted)][:1]


def cancelled_as_text(account_id: str, runs: Sequence[tuple[Run, State]], place: WorkPlace) -> str:
    """What a cancellation did: each pass, with its state before where that has changed, and where."""
    lines = [
        f"account {account_id}: the {run.pass_} pass was {run.state} and is {now}"
        if now is not run.state
        else f"account {account_id}: the {run.pass_} pass is {now}, as it was; there was nothing to cancel"
        for run, now in runs
    ]
    return "\n".join([*lines, *place_lines(place)])


def purged_as_text(account_id: str, removed: int, place: WorkPlace) -> str:
    """What a purge forgot, and where."""
    text = f"account {account_id}: purged, {removed:,} rows of bookkeeping; its own rows stay"
    return "\n".join([text, *place_lines(place)])


def removed_as_text(removed: Removed, place: WorkPlace) -> str:
    """What a reset took away, and what it left."""
    lines = [f"account {removed.account_id}: taken back {_counted(removed.rows)}", *place_lines(place)]
    if any(removed.left.values()):
        lines.append(f"  left, as people made it or no dump holds it any more: {_counted(removed.left)}")
    return "\n".join(lines)


def _counted(rows: Mapping[Entity, int]) -> str:
    return ", ".join(f"{count:,} {entity}" for entity, count in rows.items())


def document_as_json(document: dict[str, Any]) -> bytes:
    return _json(document)


def document_as_text(document: dict[str, Any], place: WorkPlace) -> str:
    """A status document (or that of a dry run) for a person: state, counts, and what to do next."""
    head = f"account {document['account_id']}: {painted(standing(document))}{_how_many_rejected(document)}"
    sources = {shown["source"] for shown in document["passes"].values() if shown and "source" in shown}
    of_all = replace(place, source=sources.pop()) if len(sources) == 1 else place
    passes = {} if document.get("account_status") == UNKNOWN else document["passes"]
    lines = [
        line
        for name, shown in passes.items()
        for line in (_pass_lines(name, shown, bool(sources)) if shown else [f"  {name}: {_idle(name, document)}"])
    ]
    return "\n".join([head, *place_lines(of_all), *lines, *_advice(document)])


def _idle(pass_: str, document: dict[str, Any]) -> str:
    """What is known of a pass that nothing is kept of."""
    if document.get("dry_run"):
        return "not checked"
    status = document["account_status"]
    is_in = status in set(AccountStatus) and is_imported(Pass(pass_), AccountStatus(status))
    return "imported; nothing is kept of it" if is_in else "not started"


def place_lines(place: WorkPlace) -> list[str]:
    """The lines of a text that name the database and, where it is one, the source."""
    source = [f"  source {printable(place.source)}"] if place.source else []
    return [f"  database {printable(place.database)}", *source]


def at_work(document: dict[str, Any]) -> bool:
    """Whether a pass of the account is queued and will be taken, or running and not known to have lost its process."""
    passes = document["passes"]
    going = {name for name, shown in passes.items() if shown and shown["state"] in (State.QUEUED, State.RUNNING)}
    lost = {name for name in going if passes[name]["state"] == State.RUNNING and passes[name]["error"]}
    if document["account_status"] in (AccountStatus.MIGRATING, None) and Pass.RECENT not in going:
        lost.add(Pass.REMAINING)  # it waits for a recent pass that nobody has asked for again
    return bool(going - lost)


def reject_as_json(reject: dict[str, Any]) -> bytes:
    return _json(reject)


def reject_as_text(reject: dict[str, Any]) -> str:
    """One line: where, which record, and every reason; never the record's text."""
    return "  ".join(map(printable, reject_cells(reject)))


def reject_cells(reject: dict[str, Any]) -> tuple[str, str, str]:
    """Where, which record, and every reason."""
    reasons = "; ".join(
        f"{reason['code']}{' (' + reason['field'] + ')' if reason['field'] else ''}: {reason['message']}"
        for reason in reject["reasons"]
    )
    return f"{reject['pass']}/{reject['part']}:{reject['line']}", reject["id"] or "-", reasons


def verified_as_json(verified: Verified) -> bytes:
    return _json(verified.document())


def verified_as_text(verified: Verified, place: WorkPlace) -> str:
    """What a verification found: counts, then each difference and change by id and field; never a value."""
    found = verified.findings
    verdict = _verdict(found.difference_count, verified.rejected, sum(found.expected.values()))
    source = ", ".join(verified.sources)
    lines = [f"account {verified.account_id}: {verdict}", *place_lines(replace(place, source=source))]
    lines += _verified_table(found.counts())
    if verified.rejected:
        lines.append(f"  what was rejected, and why: s3import rejects --account {verified.account_id}")
    if verified.changed_parts:
        lines.append(f"  not as they were imported: {', '.join(map(printable, verified.changed_parts))}")
        lines.append(f"  to read them once more: s3import migrate --account {shlex.quote(verified.account_id)} --again")
    listed = [*found.differences, *found.changes]
    lines += [f"  {_finding_line(finding)}" for finding in listed]
    unlisted = sum(found.kinds.values()) - len(listed)
    return "\n".join([*lines, f"  and {unlisted:,} more"] if unlisted else lines)


def retried_as_text(retried: Retried, place: WorkPlace) -> str:
    """What became of files that were copied after their passes."""
    name = retried.account_id
    text = "\n".join(
        [f"account {name}: {retried.copied:,} files copied, {retried.failed:,} failed", *place_lines(place)]
    )
    if not retried.failed:
        return text
    return (
        f"{text}\n  `s3import rejects --account {name}` lists them, `s3import files retry --account {name}` tries again"
    )


def _verdict(differences: int, rejected: int, expected: int) -> str:
    """What a verification comes to. What was rejected is not expected to be there, but never left unsaid."""
    if rejected and not expected:
        return f"nothing is there to compare: {plural(rejected, 'record')} were rejected, and none was imported"
    if differences:
        verdict = plural(differences, "difference")
    else:
        verdict = "the database holds what the dump says"
    return f"{verdict}, but for {plural(rejected, 'rejected record')}" if rejected else verdict


def plural(number: int, noun: str) -> str:
    """How many things, in words that agree."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def _verified_table(counts: dict[str, dict[str, int]]) -> list[str]:
    present = {entity: count for entity, count in counts.items() if any(count.values())}
    return [f"  {entity}: {_told(count)}" for entity, count in present.items()]


def _told(count: dict[str, int]) -> str:
    """The numbers that are not 0, with what they count."""
    return ", ".join(f"{number:,} {what}" for what, number in count.items() if number)


def _finding_line(finding: Finding) -> str:
    place = f"  {printable(finding.part)}:{finding.line}" if finding.part else ""
    fields = f" ({', '.join(finding.fields)})" if finding.fields else ""
    return f"{finding.entity} {printable(finding.id)}: {finding.kind}{fields}{place}"


def _json(document: Any) -> bytes:
    """One line of UTF-8, whatever the terminal's encoding is and whatever its reader takes for the end of a line."""
    return _LINE_ENDS.sub(lambda found: b"\\u%04x" % ord(found[0].decode()), orjson.dumps(document))


def _with_error(result: Result) -> dict[str, Any]:
    notes = {"notes": list(result.notes)} if result.notes else {}
    if result.error is None:
        return {**result.document, **notes}
    return {**result.document, "error": {"code": result.error.code, "message": result.error.message}}


def standing(document: dict[str, Any]) -> str:
    """The status of the document's account, in words."""
    if document.get("dry_run"):
        return "dry run, nothing was written"
    return document["account_status"] or "not in the database"


def _line(result: Result) -> str:
    if result.error is not None:
        return f"account {result.account_id}: {_ending(result)} [{result.error.code}]"
    if not result.imported:
        idle = "queued" if at_work(result.document) else "nothing to do"
        return f"account {result.account_id}: {standing(result.document)}; {idle}"
    passes = [shown for shown in result.document["passes"].values() if shown]
    total = Counter[str]()
    for shown in passes:
        for count in shown["counts"].values():
            total.update(count)
    counts = ", ".join(f"{total[what]:,} {what}" for what in COUNTS if total[what] or what == "read")
    return f"account {result.account_id}: {standing(result.document)}; {counts}"


def _total(results: Sequence[Result]) -> str:
    """How many accounts ended how."""
    endings = Counter(map(_ending, results))
    return f"{len(results):,} accounts: " + ", ".join(
        f"{number:,} {ending}" for ending, number in endings.most_common()
    )


def _ending(result: Result) -> str:
    if result.error is not None:
        return "interrupted" if isinstance(result.error, Interrupted) else "failed"
    if not result.imported:
        return "queued" if at_work(result.document) else "had nothing to do"
    return "done with rejects" if result.rejected else "done"


def _pass_lines(name: str, shown: dict[str, Any], sources_differ: bool) -> list[str]:
    source = [f"    source {printable(shown['source'])}"] if sources_differ else []
    lines = [f"  {name}: {_state(shown)}", *source, *_table(shown["counts"])]
    if shown.get("files", {}).get("total"):
        lines.append(f"    files: {_files(shown['files'])}")
    if shown["rejects"]["total"]:
        codes = ", ".join(f"{code} {count:,}" for code, count in sorted(shown["rejects"]["by_code"].items()))
        resolved = shown["rejects"].get("resolved", 0)
        lines.append(f"    rejects: {codes}" + (f"; {resolved:,} resolved by a delta since" if resolved else ""))
    lines += [f"      {reject_as_text({**reject, 'pass': name})}" for reject in shown.get("first_rejects", [])[:LISTED]]
    if shown["ignored_fields"]:
        lines.append(f"    ignored fields: {', '.join(map(printable, shown['ignored_fields']))}")
    if shown["skipped_objects"]:
        lines.append(f"    skipped objects: {', '.join(map(printable, shown['skipped_objects']))}")
    if shown["error"]:
        lines.append(f"    {shown['error']['code']}: {printable(shown['error']['message'])}")
    if shown.get("verified"):
        verified = shown["verified"]
        expected = sum(count["expected"] for count in verified["counts"].values())
        verdict = _verdict(verified["differences"], verified.get("rejected", 0), expected)
        lines.append(f"    verified {verified['verified_at']}: {verdict}")
    return lines


def _files(files: dict[str, int]) -> str:
    failed = f", {files['failed']:,} failed" if files["failed"] else ""
    return f"{files['copied']:,} of {files['total']:,} copied ({files['bytes'] / 1e6:,.1f} MB){failed}"


def _state(shown: dict[str, Any]) -> str:
    if "state" not in shown:
        return "not checked to its end" if shown["error"] else "checked"
    text = painted(progress_of(shown))
    seconds = seconds_between(shown["started_at"], shown["finished_at"])
    if seconds is None:
        return text
    several = f" ({shown['attempts']} attempts, the time between them included)" if shown["attempts"] > 1 else ""
    if not shown.get("estimate") or shown["state"] != "succeeded" or shown["estimate"]["expected"] < WORTH_SECONDS:
        return f"{text}, {seconds:,.1f} s{several}"
    expected = span_in_words(shown["estimate"]["low"], shown["estimate"]["high"])
    return f"{text}, estimated {expected}, took {in_words(seconds)}{several}"


def progress_of(shown: dict[str, Any]) -> str:
    """The state, and how far it got there."""
    progress = shown["progress"]
    text = f"{shown['state']}, {progress['parts_done']} of {progress['parts_total']} parts"
    if progress["stage"]:
        text += f", {_stage(next(stage for stage in progress['stages'] if stage['name'] == progress['stage']))}"
    if shown["state"] == "running":
        text += f", {progress['fraction']:.1%}"
        if progress["rows_per_second"]:
            text += f", {progress['rows_per_second']:,.0f} rows/s"
        left = progress["eta_seconds"]
        text += ", time left unknown" if left is None else f", about {in_words(left)} left"
    return text


def _stage(stage: dict[str, Any]) -> str:
    of_them = f" {stage['done']:,} of {stage['total']:,}" if stage["unit"] == "files" and stage["total"] else ""
    return f"{'at' if stage['state'] == 'running' else 'stopped at'} {stage['name']}{of_them}"


def _table(counts: dict[str, dict[str, int]]) -> list[str]:
    """Counts by entity, as a table where the terminal is wide enough, else a line each."""
    present = {entity: count for entity, count in counts.items() if any(count.values())}
    if not present:
        return ["    no records"]
    columns = [what for what in COUNTS if what in next(iter(present.values()))]
    width = max(9, *(len(f"{count[what]:,}") for count in present.values() for what in columns)) + 2
    if 16 + width * len(columns) > shown_width():
        return [f"    {entity}: {_told(count)}" for entity, count in present.items()]
    head = f"    {'':12}" + "".join(f"{what:>{width}}" for what in columns)
    rows = [
        f"    {entity:12}" + "".join(f"{count[what]:>{width},}" for what in columns)
        for entity, count in present.items()
    ]
    return [head, *rows]


def _advice(document: dict[str, Any]) -> list[str]:
    if document.get("estimate"):
        expected = document["estimate"]
        times = spans(expected["usable_seconds"], expected["complete_seconds"])
        return [f"  the import: {times}; this rests on {expected['basis']}"]
    if document.get("dry_run") or not _rejected_in(document):
        return []
    account = shlex.quote(document["account_id"])
    advice = [f"  every reject with its reasons: s3import rejects --account {account}"]
    if any(
        shown["state"] == "succeeded" and open_rejects(shown) and can_be_repaired(shown["rejects"]["by_code"])
        for shown in passes_of(document)
    ):
        advice.append(f"  once the dump is repaired: s3import migrate --account {account} --again")
    return advice


def cure(account_id: str, codes: Iterable[str] | None = None) -> str:
    """What to do about rejects of what was imported, which have these codes."""
    account = shlex.quote(account_id)
    return f"`s3import rejects --account {account}` lists them with their reasons; {repair(account_id, codes)}"


def repair(account_id: str, codes: Iterable[str] | None = None) -> str:
    """What to do about rejects that have been looked at; None: of whatever code."""
    if codes is not None and not can_be_repaired(codes):
        return "what people deleted in Re:amaze stays deleted, and nothing is to be done about it"
    return (
        "once the dump is repaired (or what it lacks is created), "
        f"`s3import migrate --account {shlex.quote(account_id)} --again` brings them in"
    )


def complaints(results: Sequence[Result]) -> Iterator[str]:
    """A sentence for each account that is done with rejects."""
    for result in results:
        if result.error is None and result.rejected and not result.document.get("dry_run"):
            codes = [code for shown in passes_of(result.document) for code in shown["rejects"]["by_code"]]
            advice = cure(result.account_id, codes)
            yield f"account {result.account_id}: {result.rejected:,} records were rejected; {advice}"


def _cure_of_many(results: Sequence[Result]) -> list[str]:
    return ["of rejects: " + cure("ID")] if any(_ending(result) == "done with rejects" for result in results) else []


def _how_many_rejected(document: dict[str, Any]) -> str:
    rejected = _rejected_in(document)
    return f"; {plural(rejected, 'record')} rejected" if rejected else ""


def _rejected_in(document: dict[str, Any]) -> int:
    return sum(map(open_rejects, passes_of(document)))


def passes_of(document: dict[str, Any]) -> list[dict[str, Any]]:
    """Those that there are."""
    return [shown for shown in document["passes"].values() if shown]
