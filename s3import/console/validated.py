"""What a validation found, as a person reads it on stdout."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

from s3import.console.summary import LISTED, plural, reject_as_text
from s3import.core.errors import printable
from s3import.operations.validate.validation_report import ValidationReport

_DELETIONS = {
    "effective": "take a record of this dump away",
    "outdated": "are older than their record and take nothing away",
    "of_nothing": "name no record of this dump",
}


def as_text(report: ValidationReport) -> str:
    """The verdict, then what each pass holds and what is wrong with it."""
    document = report.document()
    lines = [f"account {report.account_id}: {_verdict(report)}", f"  source {printable(report.source)}"]
    lines += [f"  {error['code']}: {printable(error['message'])}" for error in document["errors"]]
    for name, shown in document["passes"].items():
        lines += _pass_lines(name, shown)
    lines += [f"  {line}" for line in _whole(document)]
    return "\n".join(lines)


def _verdict(report: ValidationReport) -> str:
    if report.failures:
        return "the dump cannot be imported as a whole"
    return f"{plural(report.rejected, 'record')} would be rejected" if report.rejected else "the dump is right"


def _pass_lines(name: str, shown: dict[str, Any]) -> Iterator[str]:
    counts = {entity: count for entity, count in shown["counts"].items() if count["read"]}
    by = "its manifest" if shown["from_manifest"] else "the listing, as there is no manifest"
    yield f"  {name}:" if shown["parts"] is None else f"  {name}: {plural(shown['parts'], 'part')} by {by}"
    for entity, count in counts.items():
        yield f"    {entity}: " + ", ".join(f"{number:,} {what}" for what, number in count.items() if number)
    for error in shown["errors"]:
        yield f"    {error['code']}: {printable(error['message'])}"
    if shown["rejects"]["total"]:
        yield "    rejects: " + ", ".join(f"{code} {number:,}" for code, number in shown["rejects"]["by_code"].items())
    first = shown["first_rejects"][:LISTED]
    yield from (f"      {reject_as_text(reject)}" for reject in first)
    if shown["rejects"]["total"] > len(first):
        yield f"      and {shown['rejects']['total'] - len(first):,} more"
    if shown["ignored_fields"]:
        yield f"    ignored fields: {', '.join(map(printable, shown['ignored_fields']))}"
    if shown["skipped_objects"]:
        yield f"    skipped objects: {', '.join(map(printable, shown['skipped_objects']))}"


def _whole(document: dict[str, Any]) -> Iterator[str]:
    files = Counter(document["files"])
    if files["named"]:
        wrong = f"{files['file_missing']:,} missing, {files['file_differs']:,} of another size"
        yield f"files: {files['named']:,} named, {wrong}"
    for entity, repeated in document["repeated_ids"].items():
        ids = ", ".join(map(printable, repeated["first"]))
        more = ", …" if repeated["total"] > len(repeated["first"]) else ""
        yield f"{repeated['total']:,} ids of {entity} occur more than once, the newest record counts: {ids}{more}"
    if any(document["deletions"].values()):
        told = (f"{number:,} {_DELETIONS[what]}" for what, number in document["deletions"].items() if number)
        yield f"deletions: {', '.join(told)}"
    if document["other_folders"]:
        yield f"folders that nothing is read from: {', '.join(map(printable, document['other_folders']))}"
    yield from (f"not checked: {what}" for what in document["not_checked"])
