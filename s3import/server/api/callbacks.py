"""The callback of the OpenAPI description: what this server sends, rather than what it answers."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Header

from s3import.server.api import models

_AGAIN = "Not delivered. It comes again, later each time, for about eleven hours."
ANSWERS: dict[int | str, dict[str, Any]] = {
    "2XX": {"description": "Delivered. Nothing else of the answer counts."},
    "4XX": {"description": "Refused. It is tried three times in all; 408, 425 and 429 count as 5XX."},
    "5XX": {"description": _AGAIN},
}

callbacks = APIRouter()

Id = Annotated[str, Header(alias="webhook-id", description="The same each time a notice is sent.")]
Time = Annotated[int, Header(alias="webhook-timestamp", description="Of this attempt, in seconds since 1970.")]
Signature = Annotated[str, Header(alias="webhook-signature", description="`v1,` and HMAC-SHA256 in base64.")]


@callbacks.post("migration", operation_id="onMigration", status_code=204, responses=ANSWERS)
def on_migration(event: models.MigrationEvent, id_: Id, timestamp: Time, signature: Signature) -> None:
    """Tells what became of a run, to S3IMPORT_CALLBACK_URL, signed with S3IMPORT_CALLBACK_SECRET by Standard
    Webhooks. At least once, and not always in order: tell repetitions by `webhook-id`."""
