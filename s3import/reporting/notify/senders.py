"""What sends notices, as the settings name it, and a limit to how long one attempt may take."""

from __future__ import annotations

import threading
from urllib.parse import urlsplit

from s3import.core.errors import ConfigurationError
from s3import.core.http import is_loopback
from s3import.core.settings import Settings
from s3import.reporting.notify.notice import NotDelivered, Notice, NoticeChannel, Sender

DEADLINE_SECONDS = 10.0


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


class Deadline:
    """A sender that is left alone after `seconds`: the timeout of a socket begins anew with every byte that drips in.

    The one that is left alone goes on in a thread of its own; until it ends, there is no second one.
    """

    def __init__(self, send: Sender, seconds: float = DEADLINE_SECONDS) -> None:
        self._send = send
        self._seconds = seconds
        self._attempt: threading.Thread | None = None

    def __call__(self, notice: Notice) -> None:
        """Send. Raises: NotDelivered, and what the sender raises."""
        if self._attempt is not None and self._attempt.is_alive():
            raise NotDelivered("the attempt before this one has not ended yet")
        raised: list[BaseException] = []
        self._attempt = threading.Thread(target=self._run, args=(notice, raised), name="notice", daemon=True)
        self._attempt.start()
        self._attempt.join(self._seconds)
        if self._attempt.is_alive():
            raise NotDelivered(f"no end of the answer within {self._seconds:g} s")
        if raised:
            raise raised[0]

    def _run(self, notice: Notice, raised: list[BaseException]) -> None:
        try:
            self._send(notice)
        except BaseException as error:  # noqa: BLE001 - raised again in the thread that waits
            raised.append(error)
