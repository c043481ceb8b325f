"""What an HTTP status means for a notice, the same for every channel."""

from __future__ import annotations

from collections.abc import Mapping

from s3import.core.http import retry_after_seconds
from s3import.reporting.notify.notice import NotDelivered, Refused

COME_BACK = frozenset({408, 425, 429})


def require_delivered(who: str, status: int, headers: Mapping[str, str]) -> None:
    """Let a 2xx pass. Raises: NotDelivered when it is worth coming back, Refused for the rest, redirects included."""
    if 200 <= status < 300:
        return
    if status in COME_BACK or status >= 500:
        raise NotDelivered(f"{who} answers {status}", retry_after=_retry_after(headers))
    raise Refused(f"{who} answers {status}; redirects are not followed" if status < 400 else f"{who} answers {status}")


def _retry_after(headers: Mapping[str, str]) -> float | None:
    return next((retry_after_seconds(text) for name, text in headers.items() if name.lower() == "retry-after"), None)
