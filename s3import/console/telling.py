"""What commands about time print: events, estimates and durations in words."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import orjson

from s3import.core.durations import span_in_words
from s3import.core.errors import printable

if TYPE_CHECKING:
    from s3import.operations.estimate.estimate import Estimate


def estimate_as_json(estimate: Estimate) -> bytes:
    return orjson.dumps(estimate.document())


def estimate_as_text(estimate: Estimate) -> str:
    """How long, then what of."""
    if not estimate.passes:
        return f"account {printable(estimate.account_id)}: it is active, nothing is left to import"
    found = estimate.document()
    lines = [
        f"account {printable(estimate.account_id)}: {spans(found['usable_seconds'], found['complete_seconds'])}",
        f"  source {printable(estimate.source)}",
        f"  {found['objects']:,} objects, {_megabytes(found['bytes'])}; to import: {' and '.join(found['passes'])}",
        *(f"  {_amount(numbers)} {entity}" for entity, numbers in found["records"].items()),
        f"  {_rejects(found)}",
    ]
    if estimate.files:
        lines.append(f"  about {estimate.files:,} files to copy, {_megabytes(estimate.file_bytes)}")
    if estimate.read_units is not None:
        lines.append(f"  at most {estimate.read_units:,} read units, if the tables are the account's alone")
    lines += [
        f"  about {estimate.requests:,} requests to the source, {_megabytes(estimate.bytes_to_read)} to read",
        f"  the tables will take about {_megabytes(estimate.table_bytes)}",
        f"  rests on {estimate.basis}",
    ]
    return "\n".join(lines)


def spans(usable: dict[str, float], complete: dict[str, float] | None) -> str:
    """Until the account is usable, and until it is complete: ``usable after 4 to 6 min, complete after …``."""
    told = [f"usable after {_span(usable)}"] if usable["expected"] else []
    told += [f"complete after {_span(complete)}"] if complete else []
    return ", ".join(told)


def _span(seconds: dict[str, float]) -> str:
    return span_in_words(seconds["low"], seconds["high"])


def _amount(numbers: dict[str, int]) -> str:
    if numbers["low"] == numbers["high"]:
        return f"{numbers['expected']:,}"
    return f"about {numbers['expected']:,} ({numbers['low']:,} to {numbers['high']:,})"


def _rejects(found: dict[str, Any]) -> str:
    rejects = found["rejects"]
    if not found["rejects_by_code"]:
        most = f", so fewer than {rejects['high']:,}" if rejects["high"] else ""
        return f"no rejects among {found['sampled']:,} records that were looked at{most}"
    codes = ", ".join(f"{code} about {count:,.0f}" for code, count in found["rejects_by_code"].items())
    return f"{_amount(rejects)} rejects: {codes}"


def _megabytes(size_bytes: int) -> str:
    return f"{size_bytes / 1e9:,.1f} GB" if size_bytes >= 1e9 else f"{size_bytes / 1e6:,.1f} MB"


def event_as_json(event: dict[str, Any]) -> bytes:
    return orjson.dumps(event)


def event_cells(event: dict[str, Any]) -> tuple[str, str, str, str]:
    """When, which pass, what happened, and by whom."""
    what = event["event"].replace("_", " ")
    details = [f"attempt {event['attempt']}"] if event["attempt"] else []
    details += [event["code"]] if event["code"] else []
    told = f"{what} ({', '.join(details)})" if details else what
    return event["at"], event["pass"] or "account", told, event["actor"] or "nobody known"
