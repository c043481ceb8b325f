"""Receives the callbacks of s3import. Needs the package standardwebhooks."""

from __future__ import annotations

from typing import Any

from standardwebhooks import Webhook, WebhookVerificationError


class Receiver:
    """Verifies callbacks and handles each event once.

    Keep the ids of `seen` in your database, in the transaction that handles the event: then an event is handled exactly
    once, whatever fails.
    """

    def __init__(self, secret: str) -> None:
        self.webhook = Webhook(secret)
        self.seen: set[str] = set()

    def receive(self, body: bytes, headers: dict[str, str]) -> int:
        """The HTTP status to answer a callback with. `headers` have names in lower case."""
        try:
            event = self.webhook.verify(body, headers)
        except WebhookVerificationError:
            return 400
        if headers["webhook-id"] not in self.seen:
            self.handle(event)
            self.seen.add(headers["webhook-id"])
        return 204

    def handle(self, event: dict[str, Any]) -> None:
        """What you do with an event."""
        print(event["type"], event["data"]["account_id"], event["data"]["pass"])
