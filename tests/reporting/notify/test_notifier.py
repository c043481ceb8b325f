"""The courier: notices leave by themselves, and nothing that happens to them hurts anybody."""

from __future__ import annotations

import threading
import time
from contextlib import AbstractContextManager

import pytest
from sqlalchemy import Connection

from s3import.core.errors import DatabaseUnavailable
from s3import.core.settings import Settings
from s3import.reporting.notify.notice import Notice, NoticeChannel
from s3import.reporting.notify.notifier import Courier
from s3import.reporting.notify.outbox import record
from s3import.reporting.notify.senders import senders
from s3import.writers import Database
from tests.reporting.notify.receiver import Receiver, Reply
from tests.reporting.notify.runs import ACCOUNT, SECRET, claim_run, notices

pytestmark = pytest.mark.integration


def record_start(database: Database, *channels: NoticeChannel, account_id: str = ACCOUNT) -> None:
    with database.begin() as connection:
        record(connection, channels, claim_run(connection, account_id).run_id)


def settings(receiver: Receiver) -> Settings:
    return Settings(
        slack_webhook_url=f"{receiver.url}/slack", callback_url=f"{receiver.url}/callback", callback_secret=SECRET
    )


def test_both_channels_end_to_end(database: Database, receiver: Receiver) -> None:
    """What was recorded before and after the start arrives on both channels, without waiting for a poll."""
    record_start(database, *NoticeChannel)
    courier = Courier(database, senders(settings(receiver)), poll_seconds=3600)
    courier.start()
    receiver.wait()
    receiver.wait()
    record_start(database, *NoticeChannel, account_id="other")
    courier.nudge()
    receiver.wait()
    receiver.wait()
    courier.stop()
    assert sorted(request.path for request in receiver.requests) == ["/callback"] * 2 + ["/slack"] * 2
    assert all(row.delivered_at for row in notices(database))


def test_the_last_word_is_delivered(sqlite: Database, receiver: Receiver) -> None:
    """What was recorded just before the end is sent before the courier leaves."""
    courier = Courier(sqlite, senders(settings(receiver)), poll_seconds=3600)
    courier.start()
    record_start(sqlite, *NoticeChannel)
    courier.stop()
    assert len(receiver.requests) == 2


def test_a_channel_that_hangs(sqlite: Database, receiver: Receiver) -> None:
    """A channel that hangs holds up neither the other one, nor those who record, nor the end."""
    release = threading.Event()

    def hang(notice: Notice) -> None:
        release.wait(120)

    channels = {**senders(settings(receiver)), NoticeChannel.SLACK: hang}
    record_start(sqlite, *NoticeChannel)
    courier = Courier(sqlite, channels, poll_seconds=3600)
    began = time.monotonic()
    courier.start()
    receiver.wait()
    record_start(sqlite, *NoticeChannel, account_id="other")
    courier.stop(seconds=0.5)
    assert time.monotonic() - began < 60
    assert {request.path for request in receiver.requests} == {"/callback"}
    release.set()


def test_what_is_left_is_sent_by_the_next_process(sqlite: Database, receiver: Receiver) -> None:
    """A notice that could not be sent stays in the outbox, undelivered, with its next attempt planned."""
    receiver.replies = [Reply(503)]
    record_start(sqlite, NoticeChannel.SLACK)
    courier = Courier(sqlite, senders(settings(receiver)))
    courier.start()
    receiver.wait()
    courier.stop()
    (row,) = notices(sqlite)
    assert (row.delivered_at, row.attempts) == (None, 1)
    assert row.not_before is not None


def test_without_channels(sqlite: Database) -> None:
    """Where nothing is configured a courier has nothing to do and no thread to do it."""
    before = threading.active_count()
    courier = Courier(sqlite, {})
    courier.start()
    courier.nudge()
    assert threading.active_count() == before
    courier.stop()


class Down:
    """A database that refuses to be asked three times."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._refusals = 3

    def begin(self) -> AbstractContextManager[Connection]:
        self._answer()
        return self._database.begin()

    def read(self) -> AbstractContextManager[Connection]:
        self._answer()
        return self._database.read()

    def _answer(self) -> None:
        if self._refusals:
            self._refusals -= 1
            raise DatabaseUnavailable("the database is not available")


def test_a_database_that_does_not_answer(
    sqlite: Database, receiver: Receiver, caplog: pytest.LogCaptureFixture
) -> None:
    """A database that is away for a while delays notices and ends nothing."""
    record_start(sqlite, NoticeChannel.CALLBACK)
    only = {NoticeChannel.CALLBACK: senders(settings(receiver))[NoticeChannel.CALLBACK]}
    courier = Courier(Down(sqlite), only, poll_seconds=0.01)
    courier.start()
    receiver.wait()
    courier.stop()
    assert "notices wait" in caplog.text
