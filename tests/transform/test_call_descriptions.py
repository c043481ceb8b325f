"""What a call without a body says of itself."""

from __future__ import annotations

from typing import Any

import pytest

from s3import.core.records import Entity, RunOptions
from s3import.transform.rows import to_rows
from s3import.transform.validators import check
from tests.records import ACCOUNT, batch_of, right

FULL = {"from": "+1", "to": "+2", "duration_seconds": 205, "disposition": "answered", "transcript": "Hello\nthere"}


def bodies(*messages: dict[str, Any], describe: bool = True) -> list[str | None]:
    """The bodies of calls with these fields, as they come into the table."""
    records = [right(Entity.MESSAGES, **{"id": f"m{n}", "kind": "call", **one}) for n, one in enumerate(messages)]
    accepted = check(batch_of(Entity.MESSAGES, records), Entity.MESSAGES, ACCOUNT).accepted
    rows = to_rows(Entity.MESSAGES, accepted, RunOptions(describe_calls=describe))
    found: list[str | None] = rows["body"].to_pylist()
    return found


def test_tells_direction_numbers_duration_outcome_and_transcript() -> None:
    """All that is known, in the words of a person."""
    expected = "Outbound voicemail from +1 to +2, 3 min 25 s, answered\n\nTranscript:\nHello\nthere"
    assert bodies({"kind": "voicemail", "direction": "outbound", "telephony": FULL}) == [expected]


@pytest.mark.parametrize(
    ("telephony", "body"),
    [
        (None, "Inbound call"),
        ({}, "Inbound call"),
        ({"from": "+1"}, "Inbound call from +1"),
        ({"to": "+2", "disposition": ""}, "Inbound call to +2"),
        ({"duration_seconds": 0}, "Inbound call, 0 s"),
        ({"duration_seconds": 60}, "Inbound call, 1 min 0 s"),
        ({"duration_seconds": 3600}, "Inbound call, 1 h 0 min 0 s"),
        ({"duration_seconds": 3725, "disposition": "missed"}, "Inbound call, 1 h 2 min 5 s, missed"),
        ({"transcript": "Hi"}, "Inbound call\n\nTranscript:\nHi"),
    ],
)
def test_leaves_out_what_is_not_told(telephony: dict[str, Any] | None, body: str) -> None:
    """Nothing is said of what the record does not say."""
    assert bodies({"telephony": telephony}) == [body]


@pytest.mark.parametrize(
    "fields",
    [{"body": "Hi"}, {"body_html": "<p>Hi</p>"}, {"kind": "email"}, {"body": " "}, {"kind": "chat", "telephony": FULL}],
    ids=str,
)
def test_leaves_alone_what_has_a_text_or_is_no_call(fields: dict[str, Any]) -> None:
    """A body stays what it is, in the same batch as calls that get one."""
    assert bodies(fields, {"body": ""}) == [fields.get("body"), "Inbound call"]


def test_says_nothing_unless_asked() -> None:
    """By default a call without a body has none."""
    assert bodies({}, {"body": ""}, describe=False) == [None, ""]
