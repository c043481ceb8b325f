"""Notices as messages in Slack, through an incoming webhook. The one place that knows slack_sdk."""

from __future__ import annotations

import datetime as dt
import logging
from collections.abc import Mapping
from http.client import HTTPException
from typing import Any

from slack_sdk.errors import SlackClientError
from slack_sdk.webhook import WebhookClient, WebhookResponse

from s3import.core.explanations import explanations
from s3import.core.logs import one_line
from s3import.reporting.notify.answers import require_delivered
from s3import.reporting.notify.notice import Kind, NotDelivered, Notice, Refused

TIMEOUT_SECONDS = 5
MAX_CODES = 8  # reject codes named in a message; there are eighteen


class SlackSender:
    """Posts notices to the webhook at `url`, which is a secret. Use from one thread at a time."""

    def __init__(self, url: str, *, timeout_seconds: int = TIMEOUT_SECONDS) -> None:
        silent = logging.getLogger(f"{__name__}.client")
        silent.setLevel(logging.CRITICAL + 1)  # it would log the URL and the message
        self._client = WebhookClient(url, timeout=timeout_seconds, logger=silent, retry_handlers=[])

    def __call__(self, notice: Notice) -> None:
        """Post one message. Raises: NotDelivered, Refused."""
        try:
            answer = self._client.send(text=as_text(notice.payload), unfurl_links=False)
        except (OSError, HTTPException, SlackClientError, ValueError, LookupError) as error:
            raise NotDelivered(f"Slack does not answer ({type(error).__name__})") from error
        _require_ok(answer)


def _require_ok(answer: WebhookResponse) -> None:
    """A page that some other server shows with status 200, as after a redirect, is no delivery."""
    require_delivered("Slack", answer.status_code, answer.headers)
    if answer.body.strip() != "ok":
        raise Refused("the answer is not Slack's; correct S3IMPORT_SLACK_WEBHOOK_URL")


# --- the words --------------------------------------------------------------------------------------------------------


def as_text(told: Mapping[str, Any]) -> str:
    """The message for a notice's payload, in Slack's markup."""
    kind, rejected = Kind(told["kind"]), told["rejects"]["total"]
    head = (_DONE_WITH_REJECTS if kind is Kind.SUCCEEDED and rejected else _HEADS[kind]).format(
        account=code(told["account_id"]), pass_=told["pass"], attempts=told["attempts"], records=_records(rejected)
    )
    notes = map(escape, told.get("notes", ()))  # as above: of an earlier version
    lines = [head + _duration(told), *_counts(told), *_rejects(told), *_error(told), *notes]
    if told["next"]:
        lines.append(f"{_NEXT[kind]}: {code(told['next'])}")
    if told.get("after_repair"):  # notices of an earlier version lack it
        lines.append(f"once the dump is repaired: {code(told['after_repair'])}")
    return "\n".join(lines)


_HEADS = {
    Kind.STARTED: ":arrow_forward: {account}: the {pass_} pass has started (attempt {attempts})",
    Kind.DELAYED: ":hourglass: {account}: the {pass_} pass failed for now and is retried automatically",
    Kind.SUCCEEDED: ":white_check_mark: {account}: the {pass_} pass is done",
    Kind.FAILED: ":x: {account}: the {pass_} pass has failed",
    Kind.CANCELLED: ":no_entry: {account}: the {pass_} pass was cancelled",
}
_DONE_WITH_REJECTS = ":warning: {account}: the {pass_} pass is done, but {records} rejected"
_NEXT = {
    Kind.SUCCEEDED: "every reject with its reasons",
    Kind.FAILED: "to go on at the last checkpoint",
    Kind.CANCELLED: "to begin again",
}


def escape(text: str) -> str:
    """The text as Slack shows it literally: no links, no mentions, no second line."""
    return one_line(text).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def code(text: str) -> str:
    """The text as Slack's inline code, which takes no backtick."""
    return f"`{escape(text.replace('`', 'ˋ'))}`"


def _records(number: int) -> str:
    return "1 record was" if number == 1 else f"{number:,} records were"


def _duration(told: Mapping[str, Any]) -> str:
    """How long it took; of several attempts, with the waiting between them, only within which time they were."""
    seconds = told["duration_seconds"]
    if seconds is None:
        return ""
    time = str(dt.timedelta(seconds=round(seconds))) if seconds >= 60 else f"{seconds:.1f} s"
    return f", after {time}" if told["attempts"] == 1 else f", in {told['attempts']} attempts within {time}"


def _counts(told: Mapping[str, Any]) -> list[str]:
    """What was read of each entity, where anything was."""
    return [
        f"{entity}: " + ", ".join(f"{number:,} {what}" for what, number in count.items() if number)
        for entity, count in told["counts"].items()
        if any(count.values())
    ]


def _rejects(told: Mapping[str, Any]) -> list[str]:
    codes = sorted(told["rejects"]["by_code"].items(), key=lambda item: -item[1])
    if not codes:
        return []
    more = f" and {len(codes) - MAX_CODES} more" if len(codes) > MAX_CODES else ""
    total = told["rejects"]["total"]
    counted = ", ".join(f"{escape(name)} {number:,}" for name, number in codes[:MAX_CODES])
    return [f"{total:,} rejects: {counted}{more}", *_explanation(codes[0][0])]


def _error(told: Mapping[str, Any]) -> list[str]:
    error = told["error"]
    if not error:
        return []
    return [f"{code(error['code'])} {escape(error['message'])}", *_explanation(error["code"])]


def _explanation(about: str) -> list[str]:
    """What a code means and what to do, with a link to more; nothing for one that only another version knows."""
    known = explanations().get(about)
    return [f"<{known.url}|{about}>: {escape(known.meaning)} {escape(known.cure)}"] if known else []
