"""What an invented tea shop and its customers wrote to each other, as records: the same for the same number."""

from __future__ import annotations

import datetime as dt
import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import count, cycle
from typing import Any

from s3import.reporting.progress import rfc3339

ACCOUNT = "sample"
BRAND = "brand-tea"
DOCUMENT = {
    "id": ACCOUNT,
    "name": "Kettle and Leaf",
    "brands": [{"id": BRAND, "name": "Kettle and Leaf"}],
    "channels": [
        {"id": "channel-mail", "brand_id": BRAND, "kind": "email", "name": "hello@kettle.example"},
        {"id": "channel-chat", "brand_id": BRAND, "kind": "chat", "name": "The shop's pages"},
        {"id": "channel-phone", "brand_id": BRAND, "kind": "call", "name": "+1 555 0142"},
    ],
}
"""The sample's account.json."""

NEWEST = dt.datetime(2026, 6, 30, 17, 30, tzinfo=dt.UTC)
BETWEEN = dt.timedelta(minutes=5)  # two conversations: millions of them still begin after 1970
CUSTOMERS = ("Ada", "Benoît", "Chiara", "Dmitri", "Esra", "Farid", "Greta")

Record = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Talk:
    """A conversation: where it was held, how it stands, who said what (`customer`, `staff`, `bot` or `note`), and
    whether a file belongs to its end."""

    kind: str
    channel_id: str
    subject: str | None
    status: str
    tags: tuple[str, ...]
    turns: tuple[tuple[str, str], ...]
    has_file: bool = False


TALKS = (
    Talk(
        "email",
        "channel-mail",
        "A broken teapot",
        "resolved",
        ("damage", "refund"),
        (
            ("customer", "Hello, the teapot of my last order came in three pieces. A note of the carrier is attached."),
            ("note", "Second one from this carrier in a week."),
            ("staff", "We are sorry! A new one is on its way; keep the pieces, or do not."),
            ("customer", "It is here and whole. Thank you 🫖"),
        ),
        has_file=True,
    ),
    Talk(
        "chat",
        "channel-chat",
        None,
        "resolved",
        (),
        (
            ("bot", "Hi! Ask us anything about tea."),
            ("customer", "does the white tea have caffeine"),
            ("staff", "A little: about a third of a cup of coffee."),
        ),
    ),
    Talk(
        "call",
        "channel-phone",
        "Delivery to an island",
        "pending",
        ("delivery",),
        (
            ("customer", "Asked whether we deliver to the islands, and how long it takes."),
            ("note", "Ask the post office on Monday."),
        ),
    ),
    Talk("sms", "channel-phone", None, "open", (), (("customer", "is the shop open on sunday?"),)),
    Talk(
        "form",
        "channel-mail",
        "Wholesale prices",
        "on_hold",
        ("wholesale",),
        (
            ("customer", "We are a small café and use two kilos of black tea a week. Do you have prices for that?"),
            ("staff", "We do. They are a fifth lower; from five kilos on the freight is ours."),
        ),
    ),
)


class Conversations:
    """Records, from the newest conversation on; ids run through all of them.

    `take` gives conversation after conversation, `taken_files` the files of those taken since it was asked last.
    """

    def __init__(self) -> None:
        self._numbers = count(1)
        self._message_numbers = count(1)
        self._talks = cycle(TALKS)
        self._files: dict[str, bytes] = {}

    def take(self, messages: int) -> Iterator[tuple[list[Record], list[Record], list[Record]]]:
        """Conversations of so many messages in all, the last of them cut: the thread, the messages, the attachments."""
        while messages > 0:
            number, talk = next(self._numbers), next(self._talks)
            begun_at = NEWEST - number * BETWEEN
            thread = _thread(number, talk, begun_at)
            told = [self._message(talk, thread, begun_at, *turn) for turn in enumerate(talk.turns[:messages])]
            messages -= len(told)
            yield [thread], told, [self._attachment(number, told[-1])] if talk.has_file else []

    def taken_files(self) -> Iterable[tuple[str, bytes]]:
        """The files that attachments name: key and content."""
        taken, self._files = self._files, {}
        return taken.items()

    def _message(self, talk: Talk, thread: Record, begun_at: dt.datetime, turn: int, said: tuple[str, str]) -> Record:
        speaker, text = said
        by_customer = speaker == "customer"
        author = thread["customer"] if by_customer else {"id": f"{speaker}-1", "name": f"The {speaker}"}
        message: Record = {
            "id": f"message-{next(self._message_numbers):07}",
            "account_id": ACCOUNT,
            "thread_id": thread["id"],
            "kind": "note" if speaker == "note" else talk.kind,
            "direction": "inbound" if by_customer else "outbound",
            "author": {"type": "staff" if speaker == "note" else speaker, **author},
            "body": text,
            "created_at": rfc3339(begun_at + turn * dt.timedelta(minutes=1, milliseconds=125)),
        }
        if message["kind"] == "email":
            message["body_html"] = f"<p>{text}</p>"
        if message["kind"] == "call":
            message["telephony"] = {"call_id": f"call-{thread['id']}", "from": thread["customer"]["phone"]}
            message["telephony"] |= {"to": "+15550142", "duration_seconds": 42, "disposition": "answered"}
        return message

    def _attachment(self, number: int, message: Record) -> Record:
        key = f"files/{number % 100:02}/note-{number:07}.txt"
        content = f"A note that belongs to {message['id']}.\n".encode()
        self._files[key] = content
        return {
            "id": f"attachment-{number:07}",
            "account_id": ACCOUNT,
            "message_id": message["id"],
            "filename": "note.txt",
            "content_type": "text/plain",
            "size_bytes": len(content),
            "sha256": hashlib.sha256(content).hexdigest(),
            "key": key,
            "created_at": message["created_at"],
        }


def _thread(number: int, talk: Talk, begun_at: dt.datetime) -> Record:
    name = CUSTOMERS[number % len(CUSTOMERS)]
    customer = {"id": f"customer-{number % 1000:03}", "name": name, "phone": f"+1555{number % 10000:04}"}
    return {
        "id": f"thread-{number:07}",
        "account_id": ACCOUNT,
        "brand_id": BRAND,
        "channel_id": talk.channel_id,
        "subject": talk.subject,
        "status": talk.status,
        "tags": [*talk.tags],
        "custom_fields": [{"name": "order", "value": f"KL-{number:05}"}] if talk.tags else [],
        "customer": customer,
        "created_at": rfc3339(begun_at),
    }
