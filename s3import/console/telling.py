"""What commands about time print: events, estimates and durations in words."""

from __future__ import annotations

from typing import Any

import orjson

from s3import.core.errors import printable


def event_as_json(event: dict[str, Any]) -> bytes:
    return orjson.dumps(event)


def event_as_text(event: dict[str, Any]) -> str:
    """One line: when, which pass, what happened, and by whom."""
    what = event["event"].replace("_", " ")
    details = [f"attempt {event['attempt']}"] if event["attempt"] else []
    details += [event["code"]] if event["code"] else []
    told = f"{what} ({', '.join(details)})" if details else what
    return f"{event['at']}  {event['pass'] or 'account':9}  {told}  by {printable(event['actor'] or 'nobody known')}"
