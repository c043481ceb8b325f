"""Word of what happens to runs, to Slack and to Conversations: recorded with what it tells of, delivered beside it."""

from __future__ import annotations

from urllib.parse import urlsplit

from s3import.core.errors import ConfigurationError
from s3import.core.http import is_loopback
from s3import.core.settings import Settings
from s3import.reporting.notify.courier import Courier
from s3import.reporting.notify.deadline import Deadline
from s3import.reporting.notify.notice import Kind, NotDelivered, Notice, NoticeChannel, Refused, Sender
from s3import.reporting.notify.notifier import Notifier
from s3import.reporting.notify.outbox import deliver_due, record

__all__ = [
    "Courier",
    "Kind",
    "NotDelivered",
    "Notice",
    "NoticeChannel",
    "Notifier",
    "Refused",
    "Sender",
    "deliver_due",
    "record",
    "senders",
]


def senders(settings: Settings) -> dict[NoticeChannel, Sender]:
    """A sender for each channel that is configured; its keys are the channels to record for.

    Raises: ConfigurationError naming the variable that is wrong, without its value, which may be a secret.
    """
    found: dict[NoticeChannel, Sender] = {}
    if settings.slack_webhook_url:
        found[NoticeChannel.SLACK] = _slack(settings.slack_webhook_url)
    if settings.callback_url:
        found[NoticeChannel.CALLBACK] = _callback(settings.callback_url, settings.callback_secret)
    return found


def _slack(url: str) -> Sender:
    _require_private("S3IMPORT_SLACK_WEBHOOK_URL", url)
    from s3import.reporting.notify.slack import SlackSender

    return Deadline(SlackSender(url))


def _callback(url: str, secret: str | None) -> Sender:
    _require_private("S3IMPORT_CALLBACK_URL", url)
    if not secret:
        raise ConfigurationError(
            "S3IMPORT_CALLBACK_URL needs S3IMPORT_CALLBACK_SECRET, with which callbacks are signed"
        )
    from s3import.reporting.notify.callback import CallbackSender

    return Deadline(CallbackSender(url, secret))


def _require_private(name: str, url: str) -> None:
    """What is sent names accounts, and the URL may be a secret: neither goes over a network in the clear."""
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        host = None
    if host and (parts.scheme == "https" or (parts.scheme == "http" and is_loopback(host))):
        return
    raise ConfigurationError(f"{name} must be a URL with https, or with http to this machine itself (127.0.0.1)")
