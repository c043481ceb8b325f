"""Slack and the callback over real HTTP: what they send, and what they make of answers."""

from __future__ import annotations

import datetime as dt
import logging
import re
from collections.abc import Callable
from typing import Any

import pytest
from standardwebhooks import Webhook, WebhookVerificationError

from s3import.core.errors import ConfigurationError
from s3import.core.explanations import explain
from s3import.core.settings import Settings
from s3import.reporting.notify.callback import CallbackSender
from s3import.reporting.notify.notice import NotDelivered, Notice, NoticeChannel, Refused, Sender
from s3import.reporting.notify.senders import Deadline, senders
from s3import.reporting.notify.slack import SlackSender, as_text
from s3import.server.api import models
from tests.reporting.notify.receiver import Receiver, Reply
from tests.reporting.notify.runs import SECRET

NO_COUNT = {"read": 0, "written": 0, "unchanged": 0, "rejected": 0, "sanitised": 0}
TOLD: dict[str, Any] = {
    "kind": "succeeded",
    "account_id": "acme",
    "pass": "recent",
    "run_id": "1" * 32,
    "state": "succeeded",
    "occurred_at": "2026-01-02T03:04:05Z",
    "attempts": 1,
    "duration_seconds": 75.2,
    "counts": {"threads": {**NO_COUNT, "read": 1200, "written": 1200}, "messages": NO_COUNT, "attachments": NO_COUNT},
    "files": {"total": 0, "copied": 0, "failed": 0, "bytes": 0},
    "rejects": {"total": 0, "by_code": {}},
    "error": None,
    "next": None,
    "after_repair": None,
    "notes": [],
}
FAILED = {
    **TOLD,
    "kind": "failed",
    "state": "failed",
    "error": {"code": "dump_not_found", "message": "nothing below s3://b/<!channel>&\nmore"},
    "next": "s3import migrate --account acme --pass recent",
}
BUILDERS: dict[NoticeChannel, Callable[[str, int], Sender]] = {
    NoticeChannel.SLACK: lambda url, seconds: SlackSender(url, timeout_seconds=seconds),
    NoticeChannel.CALLBACK: lambda url, seconds: CallbackSender(url, SECRET, timeout_seconds=seconds),
}


def notice(told: dict[str, Any] = TOLD, channel: NoticeChannel = NoticeChannel.CALLBACK) -> Notice:
    return Notice("f" * 32, channel, told, 1)


@pytest.fixture(params=list(NoticeChannel))
def send(request: pytest.FixtureRequest, receiver: Receiver) -> Callable[[], None]:
    """Sends one notice to the receiver, on each channel in turn; patient for a second."""
    sender = BUILDERS[request.param](f"{receiver.url}/hook?key=s3cr3t", 1)
    return lambda: sender(notice(channel=request.param))


# --- both channels --------------------------------------------------------------------------------------------------


def test_a_notice_arrives(send: Callable[[], None], receiver: Receiver) -> None:
    """A notice is one POST of JSON to the path that was configured."""
    send()
    (request,) = receiver.requests
    assert (request.method, request.path) == ("POST", "/hook?key=s3cr3t")
    assert request.headers["Content-Type"].startswith("application/json")


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503])
def test_come_back_later(send: Callable[[], None], receiver: Receiver, status: int) -> None:
    """A server that is busy or broken is tried again later."""
    receiver.replies = [Reply(status)]
    with pytest.raises(NotDelivered) as caught:
        send()
    assert not isinstance(caught.value, Refused)
    assert len(receiver.requests) == 1  # one try a call: the outbox has the patience


@pytest.mark.parametrize("status", [400, 401, 403, 404, 410, 422])
def test_refused(send: Callable[[], None], receiver: Receiver, status: int) -> None:
    """A server that says no is believed."""
    receiver.replies = [Reply(status)]
    with pytest.raises(Refused, match=str(status)):
        send()


def test_retry_after_in_seconds(send: Callable[[], None], receiver: Receiver) -> None:
    """A wait that the server asks for is passed on."""
    receiver.replies = [Reply(429, headers={"Retry-After": "17"})]
    with pytest.raises(NotDelivered) as caught:
        send()
    assert caught.value.retry_after == 17


@pytest.mark.parametrize("text", ["soon", "-1", "²", "Wed, 21 Oct 2015 07:28:00", "9" * 400])
def test_retry_after_that_makes_no_sense(send: Callable[[], None], receiver: Receiver, text: str) -> None:
    """A wait that cannot be read does no harm."""
    receiver.replies = [Reply(503, headers={"Retry-After": text.encode("latin-1").decode("latin-1")})]
    with pytest.raises(NotDelivered) as caught:
        send()
    assert caught.value.retry_after is None or caught.value.retry_after <= 1e9


@pytest.mark.parametrize("reply", [Reply(hangs=True), Reply(breaks=True)], ids=["hangs", "breaks"])
def test_no_answer(send: Callable[[], None], receiver: Receiver, reply: Reply) -> None:
    """A server that says nothing is given up within the timeout, and its URL, which may be a secret, is not shown."""
    receiver.replies = [reply]
    with pytest.raises(NotDelivered, match="does not answer") as caught:
        send()
    assert "s3cr3t" not in str(caught.value)


def test_nobody_there() -> None:
    """A port where nobody listens is as good as no answer."""
    with pytest.raises(NotDelivered, match="does not answer"):
        CallbackSender("http://127.0.0.1:1/", SECRET)(notice())


def test_nothing_of_it_in_the_log(
    send: Callable[[], None], receiver: Receiver, caplog: pytest.LogCaptureFixture
) -> None:
    """Neither URL nor message is logged by us or by slack_sdk, at whatever level."""
    caplog.set_level(logging.DEBUG, "s3import")
    caplog.set_level(logging.DEBUG, "slack_sdk")
    receiver.replies = [Reply(breaks=True)]
    with pytest.raises(NotDelivered):
        send()
    assert [entry for entry in caplog.records if entry.name.startswith(("s3import", "slack"))] == []


@pytest.mark.parametrize("channel", list(NoticeChannel))
def test_an_answer_that_drips(receiver: Receiver, channel: NoticeChannel) -> None:
    """A server that sends a byte now and then is left alone at the deadline, and not met a second time meanwhile."""
    receiver.replies = [Reply(drips=True)]
    sender = Deadline(BUILDERS[channel](receiver.url, 1), 0.3)
    with pytest.raises(NotDelivered, match="no end"):
        sender(notice())
    with pytest.raises(NotDelivered, match="before this one"):
        sender(notice())
    assert len(receiver.requests) == 1


def test_a_deadline_hides_nothing(receiver: Receiver) -> None:
    """Within the deadline a sender's own verdict counts."""
    receiver.replies = [Reply(404)]
    sender = Deadline(CallbackSender(receiver.url, SECRET))
    with pytest.raises(Refused):
        sender(notice())
    sender(notice())


# --- the callback -----------------------------------------------------------------------------------------------------


def test_the_callback_says_it_all(receiver: Receiver) -> None:
    """The body tells what happened, when, and the notice's payload."""
    CallbackSender(receiver.url, SECRET)(notice(FAILED))
    told = receiver.requests[0].json
    assert told == {"type": "migration.failed", "timestamp": FAILED["occurred_at"], "data": FAILED}
    assert models.MigrationEvent.model_validate(told).data.pass_ == "recent"


@pytest.mark.parametrize("zone", [dt.UTC, dt.timezone(dt.timedelta(hours=-9))], ids=str)
def test_the_callback_is_signed(receiver: Receiver, zone: dt.timezone) -> None:
    """Who knows the secret can tell by Standard Webhooks that id, body and time are ours, in whichever zone we are."""
    CallbackSender(receiver.url, SECRET, now=lambda: dt.datetime.now(zone))(notice())
    (request,) = receiver.requests
    assert Webhook(SECRET).verify(request.body, dict(request.headers)) == request.json
    assert request.headers["webhook-id"] == "f" * 32
    with pytest.raises(WebhookVerificationError):
        Webhook("whsec_" + 8 * "dcba").verify(request.body, dict(request.headers))


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_the_callback_follows_no_redirect(receiver: Receiver, status: int) -> None:
    """A redirect is a refusal: the body goes nowhere but where it was meant to."""
    receiver.replies = [Reply(status, headers={"Location": f"{receiver.url}/elsewhere"})]
    with pytest.raises(Refused, match="redirect"):
        CallbackSender(receiver.url, SECRET)(notice())
    assert len(receiver.requests) == 1


def test_the_callback_reads_no_endless_answer(receiver: Receiver) -> None:
    """Only the status of the answer counts; a body that never ends is not waited for."""
    receiver.replies = [Reply(headers={"Content-Length": "1000000000000"})]
    CallbackSender(receiver.url, SECRET, timeout_seconds=0.5)(notice())


# --- Slack ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_no_delivery(receiver: Receiver, status: int) -> None:
    """The page behind a redirect, whatever its status, does not count as Slack's word, and never sees the message."""
    receiver.replies = [Reply(status, headers={"Location": f"{receiver.url}/login"}), Reply(body=b"<html>")]
    with pytest.raises(Refused):
        SlackSender(receiver.url)(notice())
    assert [request.body for request in receiver.requests[1:]] in ([], [b""])


def test_done() -> None:
    """Word of a success tells what was read, and how long it took."""
    assert as_text(TOLD) == (
        ":white_check_mark: `acme`: the recent pass is done, after 0:01:15\nthreads: 1,200 read, 1,200 written"
    )


def test_done_with_rejects() -> None:
    """Rejects are counted by code, the most frequent first, with the command that lists them."""
    commands = {"next": "s3import rejects x", "after_repair": "s3import migrate x --again"}
    told = {**TOLD, "rejects": {"total": 5, "by_code": {"invalid_id": 1, "too_long": 4}}, **commands}
    head, *_, rejects, why, next_, after_repair = as_text(told).splitlines()
    assert head == ":warning: `acme`: the recent pass is done, but 5 records were rejected, after 0:01:15"
    assert rejects == "5 rejects: too_long 4, invalid_id 1"
    known = explain("too_long")
    assert why == f"<{known.url}|too_long>: {known.meaning} {known.cure}"
    assert next_ == "every reject with its reasons: `s3import rejects x`"
    assert after_repair == "once the dump is repaired: `s3import migrate x --again`"


def test_slack_tells_the_notes() -> None:
    """What of the dump has no effect stands above what to do next, each note on a line."""
    told = {**TOLD, "notes": ["account.json: the channel kind '<fax>' is none of email"], "next": "s3import x"}
    *_, note, next_ = as_text(told).splitlines()
    assert note == "account.json: the channel kind '&lt;fax&gt;' is none of email"
    assert next_.endswith("`s3import x`")


def test_one_reject_is_no_success_either() -> None:
    """However few they are, a pass with rejects does not look like one without."""
    told = {**TOLD, "rejects": {"total": 1, "by_code": {"too_long": 1}}}
    assert as_text(told).startswith(":warning: `acme`: the recent pass is done, but 1 record was rejected")


def test_several_attempts() -> None:
    """The time between attempts is not called time that it took."""
    assert as_text({**TOLD, "attempts": 3}).splitlines()[0].endswith("is done, in 3 attempts within 0:01:15")


def test_failed() -> None:
    """Word of a failure tells why, as Slack shows it literally, and what to run."""
    *_, why, explained, next_ = as_text(FAILED).splitlines()
    assert why == r"`dump_not_found` nothing below s3://b/&lt;!channel&gt;&amp;\nmore"
    known = explain("dump_not_found")
    assert explained == f"<{known.url}|dump_not_found>: {known.meaning} {known.cure}"
    assert next_ == "to go on at the last checkpoint: `s3import migrate --account acme --pass recent`"


def test_a_code_of_another_version_is_not_explained() -> None:
    """While versions are exchanged a notice may hold a code that the one who sends it does not know."""
    told = {**FAILED, "error": {"code": "of_tomorrow", "message": "so it is"}, "next": None}
    assert as_text(told).splitlines()[-1] == "`of_tomorrow` so it is"


def test_delayed() -> None:
    """Word of a failure that passes says that nobody has to act."""
    told = {**FAILED, "kind": "delayed", "state": "queued", "duration_seconds": None, "next": None}
    head, *_, why, _ = as_text(told).splitlines()
    assert head == ":hourglass: `acme`: the recent pass failed for now and is retried automatically"
    assert why.startswith("`dump_not_found`")


def test_started() -> None:
    """Word of a start is one line."""
    told = {**TOLD, "kind": "started", "attempts": 2, "duration_seconds": None, "counts": {}}
    assert as_text(told) == ":arrow_forward: `acme`: the recent pass has started (attempt 2)"


def test_account_ids_are_only_text() -> None:
    """An account's id cannot mention people, make links or leave its place."""
    told = {**TOLD, "account_id": "<!here> `*a*`\u2028&"}
    assert as_text(told).startswith(r":white_check_mark: `&lt;!here&gt; ˋ*a*ˋ\u2028&amp;`: the")


# --- the settings -----------------------------------------------------------------------------------------------------


def test_senders_of_what_is_configured() -> None:
    """There is a sender for each channel that the environment names, and none without."""
    assert senders(Settings.from_environment({})) == {}
    environment = {
        "S3IMPORT_SLACK_WEBHOOK_URL": "https://hooks.example/x",
        "S3IMPORT_CALLBACK_URL": "http://127.0.0.1:9/",
        "S3IMPORT_CALLBACK_SECRET": SECRET,
    }
    assert senders(Settings.from_environment(environment)).keys() == set(NoticeChannel)


def test_a_callback_needs_its_secret() -> None:
    """A callback that could not be signed is refused."""
    with pytest.raises(ConfigurationError, match="S3IMPORT_CALLBACK_SECRET"):
        senders(Settings(callback_url="https://example.org/"))


@pytest.mark.parametrize("secret", ["plain words", "whsec_", "whsec_c2hvcnQ=", "whsec_" + 8 * "abc$", "YWJj" * 8])
def test_a_secret_that_is_none_is_refused(secret: str) -> None:
    """It is `whsec_` and then base64 of enough bytes; the message says how to make one, and repeats nothing."""
    with pytest.raises(ConfigurationError, match="openssl rand") as caught:
        senders(Settings(callback_url="https://example.org/", callback_secret=secret))
    assert secret == "whsec_" or secret not in str(caught.value)


@pytest.mark.parametrize(
    "url",
    ["http://example.org/x", "ftp://example.org/x", "https:///x", "example.org/x", "https://[x", "http://127.1.x/"],
)
def test_urls_that_are_refused(url: str) -> None:
    """A URL that would carry notices in the clear, or is none, is refused without being shown."""
    for settings in (Settings(slack_webhook_url=url), Settings(callback_url=url, callback_secret=SECRET)):
        with pytest.raises(ConfigurationError) as caught:
            senders(settings)
        assert url not in str(caught.value)


def test_settings_show_no_secret() -> None:
    """What is secret does not stand in the settings' own text."""
    shown = repr(Settings(slack_webhook_url="https://hooks/x", callback_url="https://b/?k=x", callback_secret=SECRET))
    assert not {"hooks", "k=x", SECRET} & set(re.split(r"[/?' ]", shown))
    assert SECRET not in shown
