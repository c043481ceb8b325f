"""Notices to Conversations: a signed POST for each."""

from __future__ import annotations

import hashlib
import hmac
import time
from collections.abc import Callable

import orjson
import urllib3
from urllib3.exceptions import HTTPError

from s3import.notify.answers import judge
from s3import.notify.notice import NotDelivered, Notice

SIGNATURE = "S3Import-Signature"
TIMEOUT_SECONDS = 5.0


class CallbackSender:
    """Posts notices as JSON to `url`, signed with `secret`. Follows no redirect and uses no proxy."""

    def __init__(
        self,
        url: str,
        secret: str,
        *,
        timeout_seconds: float = TIMEOUT_SECONDS,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._url = url
        self._secret = secret.encode()
        self._now = now
        self._pool = urllib3.PoolManager(timeout=urllib3.Timeout(timeout_seconds), retries=False)

    def __call__(self, notice: Notice) -> None:
        """Post one notice. Raises: NotDelivered, Refused."""
        body = orjson.dumps({"id": notice.id, **notice.payload})
        headers = {"Content-Type": "application/json", SIGNATURE: signature(self._secret, int(self._now()), body)}
        try:
            # The body of the answer is of no interest, and may be without an end.
            answer = self._pool.request("POST", self._url, body=body, headers=headers, preload_content=False)
        except (HTTPError, OSError) as error:
            raise NotDelivered(f"the callback does not answer ({type(error).__name__})") from error
        answer.close()
        judge("the callback", answer.status, answer.headers)


def signature(secret: bytes, timestamp: int, body: bytes) -> str:
    """``t=<unix seconds>,v1=<hex HMAC-SHA256 of "<t>.<body>">``: binds the body to a time, against replays."""
    digest = hmac.new(secret, b"%d." % timestamp + body, hashlib.sha256).hexdigest()
    return f"t={timestamp},v1={digest}"
