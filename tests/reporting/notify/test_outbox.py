"""The outbox: what is recorded, and when it is sent."""

from __future__ import annotations

import json
import logging
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import jsonschema_rs
import pytest
import sqlalchemy as sa

from s3import import status
from s3import.core import tables
from s3import.core.accounts import create_account
from s3import.core.errors import AccountDeleted, DatabaseUnavailable, DumpNotFound, LeaseLost
from s3import.core.json_schemas import schema_text
from s3import.core.records import Pass
from s3import.importing import queueing
from s3import.reporting.notify.callback import event
from s3import.reporting.notify.notice import NotDelivered, Notice, NoticeChannel, Refused, Sender
from s3import.reporting.notify.outbox import KEEP_DAYS, MAX_ATTEMPTS, MAX_REFUSALS, deliver_due, forget_old, record
from s3import.writers import Database
from tests.reporting.notify.runs import ACCOUNT, add_part, claim_run, make_due, notices

pytestmark = pytest.mark.integration

BOTH = tuple(NoticeChannel)


class Sent(list[Notice]):
    """A sender that remembers what it sent."""

    def __call__(self, notice: Notice) -> None:
        self.append(notice)


def failing(error: Exception) -> Sender:
    """A sender that never succeeds."""

    def send(notice: Notice) -> None:
        raise error

    return send


def start(database: Database, *channels: NoticeChannel, account_id: str = ACCOUNT) -> status.Claim:
    """A claimed run whose start was recorded."""
    with database.begin() as connection:
        claim = claim_run(connection, account_id)
        record(connection, channels or (NoticeChannel.SLACK,), claim.run_id)
    return claim


# --- what is recorded -------------------------------------------------------------------------------------------------


def test_a_notice_for_each_channel(database: Database) -> None:
    """What happens to a run is recorded once for each configured channel, and told of the account and the pass."""
    claim = start(database, *BOTH)
    rows = notices(database)
    assert [row.channel for row in rows] == ["callback", "slack"]
    told = rows[0].payload
    assert (told["account_id"], told["pass"], told["run_id"]) == (ACCOUNT, "recent", claim.run_id)
    assert (told["kind"], told["state"], told["attempts"], told["next"]) == ("started", "running", 1, None)
    jsonschema_rs.validate(json.loads(schema_text("callback")), event(told))


def test_nothing_without_channels(sqlite: Database) -> None:
    """Without a configured channel no row is written."""
    with sqlite.begin() as connection:
        record(connection, (), claim_run(connection).run_id)
    assert notices(sqlite) == []


def test_rolled_back_with_what_it_tells_of(database: Database) -> None:
    """A transaction that does not commit leaves no notice."""
    with suppress(ZeroDivisionError), database.begin() as connection:
        record(connection, BOTH, claim_run(connection).run_id)
        raise ZeroDivisionError
    assert notices(database) == []


def test_recorded_twice_is_told_once(database: Database) -> None:
    """A transaction that is tried again after its commit does not tell a second time."""
    claim = start(database, *BOTH)
    with database.begin() as connection:
        record(connection, BOTH, claim.run_id)
    assert len(notices(database)) == 2


def test_success_with_rejects(database: Database) -> None:
    """A success tells counts, duration, rejects by code, and the command that lists them."""
    claim = start(database)
    with database.begin() as connection:
        add_part(connection, claim, invalid_json=2, too_long=1)
        status.finish(connection, claim)
        record(connection, [NoticeChannel.SLACK], claim.run_id)
    told = notices(database)[-1].payload
    assert (told["counts"]["threads"]["read"], told["counts"]["threads"]["written"]) == (10, 7)
    assert told["rejects"] == {"total": 3, "by_code": {"invalid_json": 2, "too_long": 1}}
    assert 0 <= told["duration_seconds"] < 60
    assert told["next"] == "s3import rejects --account acme --pass recent"


def test_failure_with_its_reason(database: Database) -> None:
    """A failure tells its code, its message without secrets, and the command that resumes."""
    claim = start(database, account_id="a; rm -rf ~")
    with database.begin() as connection:
        status.fail(connection, claim, DumpNotFound("s3://u:secret@b/ is empty; write the dump"))
        record(connection, [NoticeChannel.SLACK], claim.run_id)
    told = notices(database)[-1].payload
    assert told["error"] == {"code": "dump_not_found", "message": "s3://u:***@b/ is empty; write the dump"}
    assert told["next"] == "s3import migrate --account 'a; rm -rf ~' --pass recent"


def test_an_account_that_is_gone(database: Database) -> None:
    """The end of a run whose account was deleted is told, and no command is offered that could not work."""
    claim = start(database)
    with database.begin() as connection:
        connection.execute(sa.delete(tables.accounts))
        status.fail(connection, claim, AccountDeleted("account acme was deleted"))
        record(connection, [NoticeChannel.SLACK], claim.run_id)
    told = notices(database)[-1].payload
    assert (told["kind"], told["state"], told["next"]) == ("cancelled", "cancelled", None)


def test_a_failure_that_passes(database: Database) -> None:
    """A run that failed and waits for its next attempt is told as delayed; nobody has to run anything."""
    claim = start(database)
    with database.begin() as connection:
        status.fail(connection, claim, DatabaseUnavailable("no answer"), retry_in_seconds=5)
        record(connection, [NoticeChannel.SLACK], claim.run_id)
    told = notices(database)[-1].payload
    assert (told["kind"], told["state"], told["next"]) == ("delayed", "queued", None)
    assert told["error"]["code"] == "database_unavailable"


def test_a_run_that_only_waits(sqlite: Database) -> None:
    """A run that was asked for and has not begun is nothing to tell."""
    with sqlite.begin() as connection:
        create_account(connection, ACCOUNT, None)
        run, _ = queueing.enqueue(connection, ACCOUNT, Pass.RECENT, "/dumps")
        record(connection, BOTH, run.run_id)
    assert notices(sqlite) == []


def test_a_process_that_lost_its_run(database: Database) -> None:
    """A process that was thought dead and comes back tells nothing of the run that others work on."""
    with database.begin() as connection:
        lost = claim_run(connection, lease_seconds=-1)
        record(connection, [NoticeChannel.SLACK], lost.run_id)
        record(connection, [NoticeChannel.SLACK], claim_run(connection).run_id)
    with database.begin() as connection:
        status.fail(connection, lost, LeaseLost("another process took over"))
        record(connection, [NoticeChannel.SLACK], lost.run_id)
    told = [(row.payload["kind"], row.payload["attempts"]) for row in notices(database)]
    assert told == [("started", 1), ("started", 2)]


def test_a_run_that_left_no_trace(sqlite: Database) -> None:
    """There is nothing to tell of a run that is not there."""
    with sqlite.begin() as connection:
        record(connection, BOTH, "0" * 32)
    assert notices(sqlite) == []


# --- what is sent -----------------------------------------------------------------------------------------------------


def test_delivered_once_in_order(database: Database) -> None:
    """What is due is sent once, the oldest first."""
    claim = start(database)
    with database.begin() as connection:
        status.finish(connection, claim)
        record(connection, [NoticeChannel.SLACK], claim.run_id)
    sent = Sent()
    assert deliver_due(database, {NoticeChannel.SLACK: sent}) == 2
    assert deliver_due(database, {NoticeChannel.SLACK: sent}) == 0
    assert [notice.payload["kind"] for notice in sent] == ["started", "succeeded"]
    assert all(row.delivered_at for row in notices(database))


def test_only_the_channels_at_hand(sqlite: Database) -> None:
    """Notices of a channel without a sender wait for a process that has one."""
    start(sqlite, *BOTH)
    sent = Sent()
    assert deliver_due(sqlite, {NoticeChannel.CALLBACK: sent}) == 1
    assert sent[0].channel is NoticeChannel.CALLBACK


def test_a_crash_between_sending_and_writing_it_down(database: Database) -> None:
    """A process that dies right after sending has the notice sent again later, under the same id."""
    start(database)
    sent = Sent()

    def send_and_die(notice: Notice) -> None:
        sent(notice)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        deliver_due(database, {NoticeChannel.SLACK: send_and_die})
    assert deliver_due(database, {NoticeChannel.SLACK: sent}) == 0  # it may still be alive
    make_due(database)
    assert deliver_due(database, {NoticeChannel.SLACK: sent}) == 1
    assert sent[0].id == sent[1].id
    assert [notice.attempts for notice in sent] == [1, 2]


def test_one_at_a_time(database: Database) -> None:
    """While one process sends a notice no other sends it."""
    start(database)
    elsewhere = Sent()

    def send(notice: Notice) -> None:
        deliver_due(database, {NoticeChannel.SLACK: elsewhere})

    assert deliver_due(database, {NoticeChannel.SLACK: send}) == 1
    assert elsewhere == []


def test_several_processes(database: Database) -> None:
    """Several processes at the same work send every notice once between them."""
    with database.begin() as connection:
        for number in range(8):
            record(connection, BOTH, claim_run(connection, f"account {number}").run_id)
    sent = Sent()
    with ThreadPoolExecutor(3) as pool:
        delivered = list(pool.map(lambda _: deliver_due(database, dict.fromkeys(BOTH, sent)), range(3)))
    assert sum(delivered) == 16
    assert len({notice.id for notice in sent}) == len(sent) == 16


def test_a_failure_is_tried_again_later(database: Database) -> None:
    """A notice that was not delivered waits, longer each time, and arrives once the other side is well."""
    start(database)
    broken = {NoticeChannel.SLACK: failing(NotDelivered("no answer"))}
    assert deliver_due(database, broken) == 0
    assert deliver_due(database, broken) == 0  # not due yet
    assert notices(database)[0].attempts == 1
    make_due(database)
    assert deliver_due(database, {NoticeChannel.SLACK: Sent()}) == 1


def test_a_sender_at_fault(sqlite: Database) -> None:
    """Whatever a sender raises, it is tried again and the courier lives on."""
    start(sqlite)
    assert deliver_due(sqlite, {NoticeChannel.SLACK: failing(ZeroDivisionError())}) == 0
    assert notices(sqlite)[0].not_before is not None


@pytest.mark.parametrize(
    ("error", "attempts"), [(NotDelivered("no answer"), MAX_ATTEMPTS), (Refused("no"), MAX_REFUSALS)]
)
def test_given_up_in_the_end(
    sqlite: Database, error: NotDelivered, attempts: int, caplog: pytest.LogCaptureFixture
) -> None:
    """After its last attempt a notice is given up, which stands in the log; a refusal is believed much sooner."""
    claim = start(sqlite)
    for _ in range(attempts + 2):
        make_due(sqlite)
        deliver_due(sqlite, {NoticeChannel.SLACK: failing(error)})
    (row,) = notices(sqlite)
    assert (row.attempts, row.not_before, row.delivered_at) == (attempts, None, None)
    last = [entry for entry in caplog.records if entry.levelno == logging.ERROR]
    assert len(last) == 1
    assert claim.run_id in last[0].getMessage()


def test_a_channel_that_is_busy_rests(database: Database) -> None:
    """A channel that asks for time gets it for all that waits, not for one notice only."""
    start(database)
    start(database, account_id="other")
    tried = []

    def busy(notice: Notice) -> None:
        tried.append(notice.id)
        raise NotDelivered("429", retry_after=30)

    deliver_due(database, {NoticeChannel.SLACK: busy})
    assert len(tried) == 1
    assert [row.attempts for row in notices(database)] == [1, 0]


def test_one_refusal_holds_up_nobody(database: Database) -> None:
    """A notice that is refused leaves the way to the next one."""
    start(database)
    start(database, account_id="other")
    sent = Sent()

    def picky(notice: Notice) -> None:
        if notice.payload["account_id"] == ACCOUNT:
            raise Refused("422")
        sent(notice)

    assert deliver_due(database, {NoticeChannel.SLACK: picky}) == 1
    assert [notice.payload["account_id"] for notice in sent] == ["other"]


def test_old_notices_are_forgotten(database: Database) -> None:
    """What was delivered long ago is removed; what still waits is kept."""
    start(database, *BOTH)
    deliver_due(database, {NoticeChannel.SLACK: Sent()})
    table = tables.import_notices
    with database.begin() as connection:
        old = sa.func.min(table.c.created_at)
        created = connection.execute(sa.select(old)).scalar_one()
        connection.execute(table.update().values(created_at=created.replace(year=created.year - 1)))
    forget_old(database)
    assert KEEP_DAYS < 365
    assert [row.channel for row in notices(database)] == ["callback"]
