"""Notices to Conversations: a POST for each, signed by Standard Webhooks. The one place that knows its library."""

from __future__ import annotations

import base64
import binascii
import datetime as dt
from collections.abc import Callable, Mapping
from typing import Any

import orjson
import urllib3
from standardwebhooks import Webhook
from urllib3.exceptions import HTTPError

from s3import.core.errors import ConfigurationError
from s3import.reporting.notify.answers import require_delivered
from s3import.reporting.notify.notice import NotDelivered, Notice

PREFIX = "whsec_"
TIMEOUT_SECONDS = 5.0


class CallbackSender:
    """Posts notices as JSON to `url`, signed with `secret`. Follows no redirect and uses no proxy.

    Raises: ConfigurationError, when the secret is none of Standard Webhooks.
    """

    def __init__(
        self,
        url: str,
        secret: str,
        *,
        timeout_seconds: float = TIMEOUT_SECONDS,
        now: Callable[[], dt.datetime] = lambda: dt.datetime.now(dt.UTC),
    ) -> None:
        self._url = url
        self._webhook = Webhook(_key(secret))
        self._now = now
        self._pool = urllib3.PoolManager(timeout=urllib3.Timeout(timeout_seconds), retries=False)

    def __call__(self, notice: Notice) -> None:
        """Post one notice. Raises: NotDelivered, Refused."""
        body = orjson.dumps(event(notice.payload))
        headers = {"Content-Type": "application/json", **self._signed(notice.id, body)}
        try:
            # The body of the answer is of no interest, and may be without an end.
            answer = self._pool.request("POST", self._url, body=body, headers=headers, preload_content=False)
        except (HTTPError, OSError) as error:
            raise NotDelivered(f"the callback does not answer ({type(error).__name__})") from error
        answer.close()
        require_delivered("the callback", answer.status, answer.headers)

    def _signed(self, id_: str, body: bytes) -> dict[str, str]:
        """The three headers, which bind the body to its id and to the time of this attempt."""
        now = self._now().astimezone(dt.UTC)  # `sign` takes the time for UTC, whatever its zone says
        return {
            "webhook-id": id_,
            "webhook-timestamp": str(int(now.timestamp())),
            "webhook-signature": self._webhook.sign(id_, now, body.decode()),
        }


def event(told: Mapping[str, Any]) -> dict[str, Any]:
    """What a notice's payload is as the body of a callback."""
    return {"type": f"migration.{told['kind']}", "timestamp": told["occurred_at"], "data": told}


def _key(secret: str) -> bytes:
    try:
        key = base64.b64decode(secret.removeprefix(PREFIX), validate=True) if secret.startswith(PREFIX) else b""
    except (binascii.Error, ValueError):
        key = b""
    if not 24 <= len(key) <= 64:
        raise ConfigurationError(
            f"S3IMPORT_CALLBACK_SECRET must be {PREFIX} and then 24 to 64 bytes in base64, by Standard Webhooks; "
            "`echo whsec_$(openssl rand -base64 32)` makes one"
        )
    return key
