"""Logs: lines for people on a terminal, one JSON object a line elsewhere; never a secret, never a line within a line.

What is known about the work at hand (account, run, request) is set once, where it begins, and stands in every record
written below it. Every record of s3import has a key of its own, ``extra={"event": "pass_started"}``: it stays the same
when the sentence is written better, and docs/reference/log-events.md lists all of them.
"""

from __future__ import annotations

import contextvars
import datetime as dt
import json
import linecache
import logging
import re
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import Any, ParamSpec, TextIO, TypeVar

from s3import.core.errors import causes
from s3import.core.tracebacks import keep_texts_in

log = logging.getLogger(__name__)

P = ParamSpec("P")
T = TypeVar("T")

MAX_CHARACTERS = 8192  # of a message or a field; a longer one is cut
CHATTY = (
    "alembic",
    "amqp",
    "asyncio",
    "boto3",
    "botocore",
    "celery",
    "kombu",
    "s3transfer",
    "slack_sdk",
    "sqlalchemy",
    "stamina",
    "urllib3",
    "uvicorn.access",
)
"""Libraries that log requests, with their headers or queries, or what is not news to an operator."""

OURS = ("s3import", "__main__")
"""Beginnings of the names of loggers whose sentences are our own."""

_context: contextvars.ContextVar[Mapping[str, Any]] = contextvars.ContextVar("log_context", default={})  # noqa: B039

# --- what stands around a record -----------------------------------------------------------------------------------


@contextmanager
def log_context(**fields: Any) -> Iterator[None]:
    """Add fields (`account_id`, `run_id`, `request_id`) to what the block logs in this thread or task."""
    token = _context.set({**_context.get(), **fields})
    try:
        yield
    finally:
        _context.reset(token)


def current(name: str) -> Any:
    """A field of the context that is logged; None where it has none."""
    return _context.get().get(name)


def in_context(work: Callable[P, T]) -> Callable[P, T]:
    """The same work, to be run once in another thread, with the context of whoever hands it over."""
    context = contextvars.copy_context()

    def run(*args: P.args, **kwargs: P.kwargs) -> T:
        return context.run(work, *args, **kwargs)

    return run


# --- what must not stand in one --------------------------------------------------------------------------------------

_SECRETS = (
    (re.compile(r"(://[^\s:/@]{0,256}:)\S{1,512}@"), r"\1***@"),
    (re.compile(r"(hooks\.slack\.com/)\S+"), r"\1***"),
    (re.compile(r"\b(bearer)\s+[\w.~+/=-]{8,}", re.IGNORECASE), r"\1 ***"),
    (re.compile(r"\b(authorization['\"]?\s*[=:]\s*['\"]?)[^'\"\r\n,;]+", re.IGNORECASE), r"\1***"),
    (
        re.compile(
            r"\b(x-amz-(?:signature|credential|security-token)|awsaccesskeyid|signature|sig|password|passwd|pwd|secret"
            r"|(?:access_|api_|auth_)?token|api_?key|aws_secret_access_key)(['\"]?\s*[=:]\s*['\"]?)[^\s&'\",;]+",
            re.IGNORECASE,
        ),
        r"\1\2***",
    ),
)


def redacted(text: str) -> str:
    """The text without what looks like a password, a token or the signature of a presigned URL.

    The last line of defence: whoever writes a message keeps them out in the first place.
    """
    for pattern, instead in _SECRETS:
        text = pattern.sub(instead, text)
    return text


def one_line(text: str) -> str:
    """The text with every character that could end a line or command a terminal shown as its escape."""
    return "".join(
        character if character.isprintable() else character.encode("unicode_escape").decode() for character in text
    )


# --- records as text -------------------------------------------------------------------------------------------------


class _Formatter(logging.Formatter):
    """Makes a record one line from its message, its context and, where there is one, the kinds of its exceptions."""

    def __init__(self, write: Callable[[logging.LogRecord, dict[str, str]], str]) -> None:
        super().__init__()
        self._write = write

    def format(self, record: logging.LogRecord) -> str:
        """One line, without its end."""
        fields = {"message": _bounded(_message(record))}
        fields |= {name: _bounded(str(value)) for name, value in _context.get().items() if value is not None}
        if (event := getattr(record, "event", None)) is not None:  # none of other libraries' records has one
            fields["event"] = str(event)
        if record.exc_info and record.exc_info[1] is not None:
            fields["exception"] = _chain(record.exc_info[1])
        return self._write(record, fields)


def _bounded(text: str) -> str:
    """The text without secrets, cut twice: so that the search for them has a bound too, and cuts no secret in two."""
    return redacted(text[: 8 * MAX_CHARACTERS])[:MAX_CHARACTERS]


def _message(record: logging.LogRecord) -> str:
    said = record.getMessage if record.name.partition(".")[0] in OURS else partial(_of_a_library, record)
    try:
        return said()
    except (TypeError, ValueError):
        return str(record.msg)


def _of_a_library(record: logging.LogRecord) -> str:
    """What another library says, as its source words it. What it fills in may be a customer's: only numbers stay, and
    the kinds of errors."""
    sentence = str(record.msg)
    if sentence.strip() not in "".join(linecache.getlines(record.pathname)):  # it was filled in before
        return f"{record.name} has something to say, at {record.module}:{record.lineno}"
    if not record.args:
        return sentence
    if isinstance(record.args, Mapping):
        return sentence % {name: _without_text(value) for name, value in record.args.items()}
    return sentence % tuple(map(_without_text, record.args))


def _without_text(value: object) -> int | float | _Word:
    if isinstance(value, int | float):
        return value
    return _Word(type(value).__name__ if isinstance(value, BaseException) else "…")


class _Word(str):
    """A word that `%r` shows as `%s` does."""

    __slots__ = ()
    __repr__ = str.__str__


def _chain(error: BaseException) -> str:
    """The kinds and places of an exception and its causes. Their texts may hold a customer's and are left out."""
    said: list[str] = []
    for cause in causes(error):
        trace = cause.__traceback__
        while trace is not None and trace.tb_next is not None:
            trace = trace.tb_next
        place = f" at {trace.tb_frame.f_globals.get('__name__')}:{trace.tb_lineno}" if trace else ""
        said.append(type(cause).__name__ + place)
    return " from ".join(said)


def _as_json(record: logging.LogRecord, fields: Mapping[str, str]) -> str:
    time = dt.datetime.fromtimestamp(record.created, dt.UTC).isoformat(timespec="milliseconds")
    fixed = {"ts": time.replace("+00:00", "Z"), "level": record.levelname.lower(), "logger": record.name}
    return json.dumps({**fields, **fixed})


def _as_line(record: logging.LogRecord, fields: Mapping[str, str]) -> str:
    time = dt.datetime.fromtimestamp(record.created).astimezone().strftime("%H:%M:%S")
    rest = " ".join(f"{name}={value}" for name, value in fields.items() if name not in ("message", "event"))
    return one_line(f"{time} {record.levelname.lower()} {fields['message']}" + (f"  [{rest}]" if rest else ""))


def _log_kind(kind: type[BaseException]) -> None:
    log.error("something failed in the background (%s)", kind.__name__, extra={"event": "background_failed"})


# --- set up ----------------------------------------------------------------------------------------------------------


class _Handler(logging.StreamHandler[TextIO]):
    """The handler that `configure` put there."""


def configure(stream: TextIO | None = None, *, level: int = logging.INFO, as_json: bool | None = None) -> None:
    """Send this process's logs to `stream` (stderr), as lines on a terminal and as JSON elsewhere, or as told.

    Called again it takes the place of what it did before.
    """
    stream = sys.stderr if stream is None else stream
    as_json = not stream.isatty() if as_json is None else as_json
    handler = _Handler(stream)
    handler.setFormatter(_Formatter(_as_json if as_json else _as_line))
    root = logging.getLogger()
    for before in [known for known in root.handlers if isinstance(known, _Handler)]:
        root.removeHandler(before)
    root.addHandler(handler)
    root.setLevel(level)
    keep_texts_in(_log_kind)
    for name in CHATTY:
        logging.getLogger(name).setLevel(max(level, logging.WARNING))
