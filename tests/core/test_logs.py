"""Logs: one line a record, with its context, without secrets."""

from __future__ import annotations

import io
import json
import logging
import re
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from s3import.core.logs import CHATTY, MAX_CHARACTERS, configure, in_context, log_context, one_line, redacted

log = logging.getLogger("s3import.tests")


class Screen(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def _as_before() -> Iterator[None]:
    """Leave the process's logging as it was."""
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    levels = {name: logging.getLogger(name).level for name in CHATTY}
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    for name, was in levels.items():
        logging.getLogger(name).setLevel(was)


@pytest.fixture
def stream() -> io.StringIO:
    """Where the logs go, as JSON."""
    stream = io.StringIO()
    configure(stream)
    return stream


def only(stream: io.StringIO) -> Any:
    """The one record that was written."""
    (line,) = stream.getvalue().splitlines()
    return json.loads(line)


def test_json_where_nobody_watches(stream: io.StringIO) -> None:
    """A record is one JSON object with time, level, logger and message."""
    log.warning("part %s is late", 7)
    record = only(stream)
    assert (record["level"], record["logger"], record["message"]) == ("warning", "s3import.tests", "part 7 is late")
    assert record["ts"].endswith("Z")


def test_a_line_for_people() -> None:
    """On a terminal a record is a line, its context behind it."""
    stream = Screen()
    configure(stream)
    with log_context(account_id="acme", run_id="7"):
        log.info("working")
    assert stream.getvalue()[8:] == " info working  [account_id=acme run_id=7]\n"


def test_an_event_stands_in_json_and_not_on_a_terminal(stream: io.StringIO) -> None:
    """A record's key is for programs; people read its sentence."""
    log.info("the pass starts", extra={"event": "pass_started"})
    assert only(stream)["event"] == "pass_started"
    screen = Screen()
    configure(screen)
    log.info("the pass starts", extra={"event": "pass_started"})
    assert screen.getvalue()[8:] == " info the pass starts\n"


def test_context_stands_in_every_record(stream: io.StringIO) -> None:
    """What is known about the work stands in each record below, inner over outer, and ends with its block."""
    with log_context(account_id="acme", request_id=None):
        with log_context(run_id="7"):
            log.info("inside")
        log.info("between")
    log.info("outside")
    known = [{*json.loads(line)} - {"ts", "level", "logger", "message"} for line in stream.getvalue().splitlines()]
    assert known == [{"account_id", "run_id"}, {"account_id"}, set()]


def test_context_reaches_other_threads(stream: io.StringIO) -> None:
    """Work that is handed to a pool takes its context with it, and leaves none behind there."""
    with ThreadPoolExecutor(1) as pool:
        with log_context(account_id="acme"):
            pool.submit(in_context(log.info), "with").result()
        pool.submit(log.info, "without").result()
    first, second = map(json.loads, stream.getvalue().splitlines())
    assert first["account_id"] == "acme"
    assert "account_id" not in second


def test_threads_do_not_meet(stream: io.StringIO) -> None:
    """Two threads at work at once each write their own account."""
    both = threading.Barrier(2)

    def work(account_id: str) -> None:
        with log_context(account_id=account_id):
            both.wait(120)
            log.info(account_id)

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(work, ["one", "two"]))
    records = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert all(record["account_id"] == record["message"] for record in records)


def test_context_cannot_pass_for_something_else(stream: io.StringIO) -> None:
    """No field of the context takes the place of the record's own."""
    with log_context(level="critical", message="lies", logger="else"):
        log.info("truth")
    assert (only(stream)["level"], only(stream)["logger"]) == ("info", "s3import.tests")


def test_exceptions_without_their_texts(stream: io.StringIO) -> None:
    """An exception is told by its kind, place and causes; its text may hold a customer's."""
    try:
        try:
            int("Dear customer")
        except ValueError as error:
            raise RuntimeError("Dear customer") from error
    except RuntimeError:
        log.exception("it failed")
    said = only(stream)["exception"]
    assert said.startswith("RuntimeError at tests.core.test_logs:")
    assert " from ValueError at " in said
    assert "customer" not in stream.getvalue()


def test_chatty_libraries_are_silent(stream: io.StringIO) -> None:
    """What a library says below a warning is not news, and may show headers."""
    configure(stream, level=logging.DEBUG)
    logging.getLogger("botocore.endpoint").debug("Authorization: AWS4 ...")
    logging.getLogger("urllib3.connectionpool").info("GET /?X-Amz-Signature=abc")
    assert stream.getvalue() == ""


def test_configured_again(stream: io.StringIO) -> None:
    """Configuring twice does not write twice."""
    second = io.StringIO()
    configure(second)
    log.info("once")
    assert stream.getvalue() == ""
    assert only(second)["message"] == "once"


def test_long_messages_are_cut(stream: io.StringIO) -> None:
    """A message has a bound, whatever was put into it."""
    log.info("%s", "x" * 100_000)
    assert len(only(stream)["message"]) == MAX_CHARACTERS


def test_a_library_is_quoted_as_it_is_written(stream: io.StringIO) -> None:
    """Its sentence stands in its source; of what it fills in numbers stay, and the kinds of errors."""
    library = logging.getLogger("library")
    library.warning("lost %s after %d tries: %r", "a place", 3, ValueError("canary"))
    assert only(stream)["message"] == "lost … after 3 tries: ValueError"


def test_what_a_library_has_filled_in_itself_is_left_out(stream: io.StringIO) -> None:
    """Where it says something is told instead."""
    filled_in = f"lost {sum(range(99))} canaries"
    logging.getLogger("library").warning(filled_in)
    assert re.fullmatch(r"library has something to say, at test_logs:\d+", only(stream)["message"])


def test_a_message_that_does_not_fit_its_arguments(stream: io.StringIO) -> None:
    """A faulty call is logged as it stands; it never breaks the work."""
    root = logging.getLogger()
    root.handlers[:] = [
        ours for ours in root.handlers if getattr(ours, "stream", None) is stream
    ]  # pytest's would raise
    log.info("%d records", "many")
    assert only(stream)["message"] == "%d records"


@pytest.mark.parametrize(
    "text",
    [
        "postgresql://user:SECRET@host:5432/db",
        "postgresql://user:SEC@RET/SECRET@host/db",
        "https://b.s3.amazonaws.com/k?X-Amz-Algorithm=A&X-Amz-Signature=SECRET&x=1",
        "https://b.s3.amazonaws.com/k?X-Amz-Credential=SECRET",
        "https://b.s3.amazonaws.com/k?X-Amz-Security-Token=SECRET",
        "https://b.s3.amazonaws.com/k?AWSAccessKeyId=SECRET&Signature=SECRET&Expires=1",
        "https://hooks.slack.com/services/SECRET/SECRET/SECRET",
        "Authorization: Bearer SECRET.SECRET-SECRET",
        "{'Authorization': 'Basic SECRET=='}",
        '{"password": "SECRET", "a": 1}',
        "password=SECRET",
        "token: SECRET",
        "api_key='SECRET'",
    ],
)
def test_secrets_are_taken_out(text: str) -> None:
    """What looks like a password, a token or a signature is replaced, wherever it stands."""
    assert "SECRET" not in redacted(text)
    assert "***" in redacted(text)


@pytest.mark.parametrize(
    "text",
    [
        "s3://bucket/acme/recent/threads/part-0.jsonl.gz: the body ended early; tried again for up to 120 s",
        "account a@b: the tokens are 3",
        "http://127.0.0.1:8000/health answers 200",
        "a basic check, the password of nobody",
    ],
)
def test_other_texts_stay(text: str) -> None:
    """What is no secret is not touched."""
    assert redacted(text) == text


def test_secrets_in_logs(stream: io.StringIO) -> None:
    """Neither message nor context carries a secret into the log."""
    with log_context(source="https://u:SECRET@host/"):
        log.info("opening %s", "https://u:SECRET@host/?X-Amz-Signature=SECRET")
    assert "SECRET" not in stream.getvalue()


@given(st.text())
def test_nothing_ends_a_line(text: str) -> None:
    """Whatever a value holds, it can neither end the line nor command the terminal, and it can be written."""
    shown = one_line(text)
    assert shown.isprintable()
    assert len(shown.splitlines()) <= 1
    shown.encode()


@given(st.text())
def test_any_text_makes_one_json_line(text: str) -> None:
    """Whatever a value holds, the record is one line of JSON that gives it back."""
    stream = io.StringIO()
    configure(stream)
    with log_context(account_id=text):
        log.info("x")
    assert stream.getvalue().isascii()
    assert only(stream)["account_id"] == redacted(text)


@given(st.text(alphabet="a:/@= ?&X-mzsigntoke'\"", max_size=3000))
def test_redaction_is_quick(text: str) -> None:
    """No text takes the redaction long; hypothesis's own deadline watches."""
    redacted(text)
