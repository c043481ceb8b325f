"""What an HTTP status means for a notice, the same for every channel."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from email.utils import parsedate_to_datetime

from s3import.reporting.notify.notice import NotDelivered, Refused

COME_BACK = frozenset({408, 425, 429})


def judge(who: str, status: int, headers: Mapping[str, str]) -> None:
    """Let a 2xx pass. Raises: NotDelivered when it is worth coming back, Refused for the rest, redirects included."""
    if 200 <= status < 300:
        return
    if status in COME_BACK or status >= 500:
        raise NotDelivered(f"{who} answers {status}", retry_after=_retry_after(headers))
    raise Refused(f"{who} answers {status}; redirects are not followed" if status < 400 else f"{who} answers {status}")


def _retry_after(headers: Mapping[str, str]) -> float | None:
    """The wait that the other side asked for, in seconds; None where it asked for none that can be read."""
    text = next((value for name, value in headers.items() if name.lower() == "retry-after"), "").strip()
    if text.isdecimal():
        return float(text[:9])
    try:
        return max((parsedate_to_datetime(text) - dt.datetime.now(dt.UTC)).total_seconds(), 0.0)
    except (TypeError, ValueError):  # no date, or one without a zone
        return None
