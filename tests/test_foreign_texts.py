"""No text of a foreign error leaves: not by stderr, stdout or a log, not by the status document, a table of ours, an
answer over HTTP, Slack or the callback. A trigger, a value, a password or a customer may speak through it.

The first half reads the program: whoever catches what others raise may pass it on, and ask what kind it is, but not
repeat it. The second half throws such errors where libraries are called, and looks everywhere for their text.
"""

from __future__ import annotations

import ast
import importlib
import io
import json
import logging
import re
import sqlite3
import subprocess
import sys
import threading
import tomllib
import zlib
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import Any

import alembic.util
import amqp.exceptions  # type: ignore[import-untyped]
import botocore.client
import botocore.exceptions
import celery.exceptions
import kombu.exceptions
import orjson
import psycopg
import pyarrow as pa
import pyarrow.parquet as pq
import pymysql
import pytest
import redis.exceptions
import slack_sdk.errors
import sqlalchemy as sa
import standardwebhooks
import urllib3
import urllib3.exceptions
from slack_sdk.webhook import WebhookClient

from s3import import cli
from s3import.core import logs
from s3import.core.errors import AccountNotFound, S3ImportError, TemporaryFailure, as_failure
from s3import.operations.spill import Spill
from s3import.reporting.notify.callback import CallbackSender, event
from s3import.reporting.notify.notice import NoticeChannel, Sender
from s3import.reporting.notify.outbox import deliver_due, record
from s3import.reporting.notify.slack import SlackSender, as_text
from s3import.server.workers.broker import require_login
from s3import.server.workers.tasks import CeleryQueue, make_celery
from s3import.writers import open_database, translate
from tests.cli.commands import ACCOUNT, NOON, Dump, json_lines
from tests.readers.dynamodb.items import MAPPING
from tests.reporting.notify.runs import claim_run, notices
from tests.server.api.services import TOKEN, open_service
from tests.server.api.serving import served
from tests.source import MODULES, ROOT, nodes

pytestmark = pytest.mark.integration

CANARY = "canary-of-a-customer"
SECRET = "whsec_" + "QUJD" * 11
POOL = urllib3.HTTPConnectionPool("localhost")

# --- what the program does with what it catches ----------------------------------------------------------------------

ASKED = re.compile(
    r"type\(\w+\)|isinstance\(\w+, .*\)|\w+\.(errno|start|pos|exit_code|value)"
    r"|(raised\.append|self\._ended\.put|self\._fail)\(.*\)|self\.error = \w+|failure\.__cause__ = \w+|fault = \w+"
    r"|(None if )?failure is \w+.*"
)
"""What may be done with a foreign error beside raising ours from it: its kind and its numbers are asked for, or it is
handed to whoever waits for it."""
READERS = {
    "as_failure",
    "unexpected",
    "system_reason",
    "translate",
    "status_of",
    "refusal",
    "_translated",
    "_kind",
    "_is_untrusted",
    "_fault",
    "_what_of",
    "_place_of",
}
"""Functions that look at a foreign error and say something; the second half throws one at each."""
REPEATED = {
    ("cli", "error.show"): "a usage error of click's, which repeats what was typed",
    ("cli", "error.name"): "the name of a package of ours that is not installed",
    ("certified", "error.name"): "as before",
    ("lines", "error.msg"): "one of a handful of sentences of Python's, told with the customer's own record",
    ("mapping", "str(error)"): "looked through for what it is about, and not repeated",
    ("mapping", "error.object"): "counted for the number of a line",
    ("mysql", "error.args"): "asked for the error's number",
    ("postgres_keys", "error.orig"): "asked for its SQLSTATE",
    ("postgres_keys", "getattr(error, 'sqlstate', None)"): "as before",
    ("parquet", "str(error)"): "our own text, after a look at the kind",
}


def _catches() -> Iterator[tuple[Path, ast.ExceptHandler]]:
    """Each place that catches what is not of s3import's own making, and gives it a name."""
    own = {node.name for path in MODULES for node in nodes(path) if isinstance(node, ast.ClassDef)}
    for path in MODULES:
        for node in nodes(path):
            if isinstance(node, ast.ExceptHandler) and node.name and not _kinds(node) <= own:
                yield path, node


def _kinds(node: ast.ExceptHandler) -> set[str]:
    kinds = node.type.elts if isinstance(node.type, ast.Tuple) else [node.type]
    return {ast.unparse(kind).rpartition(".")[2] for kind in kinds if kind}


def _uses(handler: ast.ExceptHandler) -> Iterator[str]:
    """What is done with the error, as source; raising one of ours from it is left out."""
    around = {child: node for node in ast.walk(handler) for child in ast.iter_child_nodes(node)}
    for node in ast.walk(handler):
        if isinstance(node, ast.Name) and node.id == handler.name and isinstance(node.ctx, ast.Load):
            use = around[node]
            if not (isinstance(use, ast.Raise) and use.cause is node):
                yield ast.unparse(use)


def test_what_is_caught_is_not_repeated() -> None:
    """Wherever the program catches a foreign error, it does with it only what cannot make its text be read."""
    found = [(path.stem, use) for path, handler in _catches() for use in _uses(handler)]
    assert len(found) > 30
    bare = [(stem, use) for stem, use in found if not ASKED.fullmatch(use) and use.partition("(")[0] not in READERS]
    assert set(bare) == set(REPEATED)


def test_nobody_prints_a_traceback() -> None:
    """Tracebacks end with a text; what is shown with S3IMPORT_DEBUG is put together without it."""
    printing = re.compile(r"\b(format_exc|print_exc|print_exception|format_exception|sys\.exc_info)\b")
    assert [str(path) for path in MODULES if printing.search(path.read_text())] == []


# --- what is thrown where ---------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Thrown:
    """A foreign error, and the call of a library, by its dotted name, that raises it; `when` its arguments say so."""

    where: str
    error: BaseException
    command: str = "migrate"
    when: Callable[..., bool] = lambda *_, **__: True


def _keeps_books(*arguments: Any, **_: Any) -> bool:
    return any(isinstance(one, str) and one.startswith("UPDATE import_") for one in arguments)


def _sqlstate(state: str) -> psycopg.Error:
    error = psycopg.errors.lookup(state)(CANARY)
    assert error.sqlstate == state
    return error


def _answer(status: int, code: str = CANARY) -> botocore.exceptions.ClientError:
    told = {"Error": {"Code": code, "Message": CANARY}, "ResponseMetadata": {"HTTPStatusCode": status}}
    return botocore.exceptions.ClientError(told, CANARY)


def _caused() -> RuntimeError:
    """An error whose cause, and whose context, say it too."""
    error = RuntimeError(CANARY)
    error.__cause__ = ValueError(CANARY)
    error.__context__ = KeyError(CANARY)
    return error


DATABASE = [
    sqlite3.OperationalError(CANARY),
    sqlite3.IntegrityError(CANARY),
    *(_sqlstate(state) for state in ("22P02", "P0001", "XX000", "57014")),
    psycopg.OperationalError(f"connection failed: {CANARY}"),
    pymysql.err.OperationalError(1644, CANARY),
    pymysql.err.DataError(1366, CANARY),
    pymysql.err.InterfaceError(CANARY),
    sa.exc.DBAPIError(CANARY, {CANARY: CANARY}, sqlite3.OperationalError(CANARY)),
    sa.exc.StatementError(CANARY, CANARY, {CANARY: CANARY}, ValueError(CANARY)),
    sa.exc.TimeoutError(CANARY),
    sa.exc.InvalidRequestError(CANARY),
    _caused(),
]
STORE = [
    *(_answer(status) for status in (400, 403, 404, 500)),
    _answer(403, "AccessDenied"),
    botocore.exceptions.EndpointConnectionError(endpoint_url=CANARY, error=CANARY),
    botocore.exceptions.ParamValidationError(report=CANARY),
    botocore.exceptions.CredentialRetrievalError(provider=CANARY, error_msg=CANARY),
    botocore.exceptions.NoCredentialsError(),
    urllib3.exceptions.ProtocolError(CANARY, ConnectionResetError(5, CANARY)),
    urllib3.exceptions.ReadTimeoutError(POOL, CANARY, CANARY),
    OSError(5, CANARY, CANARY),
    ValueError(CANARY),
]
FILES = [OSError(5, CANARY, CANARY), OSError(CANARY), PermissionError(13, CANARY, CANARY), FileNotFoundError(2, CANARY)]
PACKED = [zlib.error(CANARY), EOFError(CANARY), OSError(CANARY), pa.ArrowInvalid(CANARY)]
ARROW = [pa.ArrowInvalid(CANARY), pa.ArrowNotImplementedError(CANARY), OSError(CANARY), ValueError(CANARY)]
SCHEMA = [alembic.util.CommandError(CANARY), sa.exc.ProgrammingError(CANARY, {}, _sqlstate("42601")), _caused()]

THROWN = [
    *(Thrown("sqlalchemy.engine.default.DefaultDialect.do_execute", error, when=_keeps_books) for error in DATABASE),
    *(Thrown("botocore.client.BaseClient._make_api_call", error, "migrate s3") for error in STORE),
    *(Thrown("os.open", error, when=lambda path, *_, **__: "threads" in str(path)) for error in FILES),
    *(Thrown("gzip.GzipFile.read", error) for error in PACKED),
    *(Thrown("pyarrow.CompressedInputStream", error) for error in PACKED),
    *(Thrown("pyarrow.parquet.ParquetFile", error) for error in ARROW),
    *(Thrown("pyarrow.json.read_json", error) for error in ARROW),
    *(Thrown("pyarrow.compute.cast", error) for error in ARROW),
    *(Thrown("orjson.loads", error) for error in (orjson.JSONDecodeError(CANARY, CANARY, 0), _caused())),
    Thrown("json.loads", json.JSONDecodeError(CANARY, CANARY, 0)),
    Thrown("tomllib.loads", tomllib.TOMLDecodeError(f"{CANARY} (at line 1, column 2)"), "migrate mapping"),
    Thrown("tomllib.loads", tomllib.TOMLDecodeError(f"Cannot declare ('{CANARY}',) twice (at end)"), "migrate mapping"),
    Thrown("pathlib.Path.read_text", OSError(5, CANARY, CANARY), "migrate mapping"),
    *(Thrown("alembic.command.stamp", error, "db init") for error in SCHEMA),
    *(Thrown("os.replace", error, "migrate files") for error in FILES),
    *(Thrown("socket.create_connection", error, "migrate files") for error in (OSError(CANARY), HTTPException(CANARY))),
    Thrown("pyarrow.ipc.new_file", OSError(28, CANARY), "verify"),
]


@pytest.fixture
def dump(tmp_path: Path) -> Dump:
    """Parts of each format, an attachment with its bytes and one with a URL, and a manifest."""
    dump = Dump(tmp_path / "dumps")
    dump.fill()
    own = {"id": "a0", "account_id": ACCOUNT, "message_id": "m0", "filename": "a.txt", "created_at": NOON}
    places = ({"key": "files/a.txt"}, {"url": "https://127.0.0.1/a"})
    dump.put(
        "recent/attachments/a.jsonl", json_lines(*(own | {"id": f"a{n}"} | place for n, place in enumerate(places)))
    )
    dump.put("files/a.txt", b"bytes")
    stream = io.BytesIO()
    pq.write_table(pa.table({"id": ["x"], "account_id": [ACCOUNT]}), stream)
    dump.put("recent/threads/b.parquet", stream.getvalue())
    dump.put("recent/threads/c.jsonl.zst", pa.compress(b"{}\n", "zstd", asbytes=True))
    parts = [(entity, path) for entity in ("threads", "messages", "attachments") for path in _parts(dump, entity)]
    listed = [{"entity": entity, "key": f"{entity}/{path.name}"} for entity, path in parts]
    dump.put(
        "recent/manifest.json", orjson.dumps({"version": 1, "account_id": ACCOUNT, "pass": "recent", "parts": listed})
    )
    return dump


def _parts(dump: Dump, entity: str) -> list[Path]:
    return sorted((dump.root / ACCOUNT / "recent" / entity).iterdir())


@pytest.fixture
def logged() -> Iterator[io.StringIO]:
    """What the process logs, as an operator reads it."""
    root, hooks = logging.getLogger(), (threading.excepthook, sys.unraisablehook)
    before, level = list(root.handlers), root.level
    stream = io.StringIO()
    logs.configure(stream, level=logging.DEBUG)
    yield stream
    root.handlers[:], threading.excepthook, sys.unraisablehook = before, *hooks
    root.setLevel(level)


def _words(thrown: Thrown, dump: Dump, database: str, folder: Path) -> list[str]:
    where = ["--database", database]
    if thrown.command == "db init":
        return ["db", "init", *where]
    if thrown.command == "verify":
        return ["verify", "--account", ACCOUNT, *where]
    source, *more = [dump.source]
    if thrown.command == "migrate s3":
        source = "s3://dumps/{account}"
    if thrown.command == "migrate mapping":
        (folder / "mapping.toml").write_text(MAPPING)
        source, more = "dynamodb:", ["--mapping", str(folder / "mapping.toml")]
    if thrown.command == "migrate files":
        more = ["--files-to", str(folder / "files")]
    return ["migrate", "--account", ACCOUNT, "--source", source, *where, *more]


@pytest.mark.parametrize("thrown", THROWN, ids=lambda one: f"{one.where}-{type(one.error).__name__}-{one.command}")
def test_no_foreign_text_leaves(
    thrown: Thrown,
    dump: Dump,
    request: pytest.FixtureRequest,
    tmp_path: Path,
    logged: io.StringIO,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """Whatever a library raises, nobody reads its text anywhere; and the command says what it is about."""
    _configure(monkeypatch)
    database = request.getfixturevalue("bare_sqlite_url" if thrown.command == "db init" else "sqlite_url")
    if thrown.command == "verify":
        assert cli.run(["migrate", "--account", ACCOUNT, "--source", dump.source, "--database", database]) in (0, 3)
        monkeypatch.setattr(Spill.__init__, "__defaults__", (1,))  # so many rows stay in memory
    with monkeypatch.context() as patched:
        raised = _throw(patched, thrown)
        status = cli.run(_words(thrown, dump, database, tmp_path))
    assert raised, "nothing was thrown"
    said = capfd.readouterr()
    assert status in (0, 1, 2, 3, 75)
    seen = [said.out, said.err, logged.getvalue(), *_kept(database)]
    assert [text for text in seen if CANARY in text] == []


def _configure(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {
        "S3IMPORT_DEBUG": "1",
        "S3IMPORT_RETRY_SECONDS": "0",
        "S3IMPORT_SLACK_WEBHOOK_URL": "http://127.0.0.1:1/slack",
        "S3IMPORT_CALLBACK_URL": "http://127.0.0.1:1/callback",
        "S3IMPORT_CALLBACK_SECRET": SECRET,
        "AWS_ACCESS_KEY_ID": "key",
        "AWS_SECRET_ACCESS_KEY": "secret",
        "AWS_DEFAULT_REGION": "eu-west-1",
        "AWS_ENDPOINT_URL": "http://127.0.0.1:1",
    }.items():
        monkeypatch.setenv(name, value)


def _throw(patched: pytest.MonkeyPatch, thrown: Thrown) -> list[str]:
    """Have the library raise; what is given back fills as it does."""
    raised: list[str] = []
    real = _named(thrown.where)

    def raising(*arguments: Any, **named: Any) -> Any:
        if not thrown.when(*arguments, **named):
            return real(*arguments, **named)
        raised.append(thrown.where)
        raise thrown.error

    patched.setattr(thrown.where, raising)
    return raised


def _named(where: str) -> Any:
    words = where.split(".")
    for end in range(len(words) - 1, 0, -1):
        try:
            found = importlib.import_module(".".join(words[:end]))
        except ModuleNotFoundError:
            continue
        for word in words[end:]:
            found = getattr(found, word)
        return found
    raise LookupError(where)


def _kept(database_url: str) -> Iterator[str]:
    """All that the database keeps, the status document, and what Slack and the callback are told."""
    service = open_service(database_url)
    with closing(service.database) as database, database.read() as connection:
        for name in sa.inspect(connection).get_table_names():
            yield from map(repr, connection.exec_driver_sql(f'SELECT * FROM "{name}"'))
        if not sa.inspect(connection).has_table("import_notices"):
            return
        for (told,) in connection.exec_driver_sql("SELECT payload FROM import_notices"):
            yield as_text(json.loads(told)) + json.dumps(event(json.loads(told)))
    service = open_service(database_url)
    with closing(service.database), suppress(AccountNotFound):
        yield repr(service.status_document(ACCOUNT))


# --- what is thrown elsewhere -----------------------------------------------------------------------------------------

BROKERS = [
    amqp.exceptions.AccessRefused(CANARY),
    amqp.exceptions.PreconditionFailed(CANARY),
    amqp.exceptions.ConnectionForced(CANARY),
    kombu.exceptions.OperationalError(CANARY),
    celery.exceptions.CeleryError(CANARY),
    redis.exceptions.AuthenticationError(CANARY),
    redis.exceptions.ResponseError(CANARY),
    redis.exceptions.ConnectionError(CANARY),
    _answer(403),
    ValueError(CANARY),
    OSError(5, CANARY),
    _caused(),
]


@pytest.mark.parametrize("error", BROKERS, ids=repr)
def test_no_text_of_a_broker_leaves(error: Exception, logged: io.StringIO, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither where a worker logs in, nor where something is sent, nor where Celery itself logs what it met."""

    def fail(*_: Any, **__: Any) -> None:
        raise error

    with pytest.raises(S3ImportError) as raised:
        require_login(fail, retry_seconds=0, stop=threading.Event())
    app = make_celery("amqp://guest@127.0.0.1:1", "queue")
    monkeypatch.setattr(app, "send_task", fail)
    assert not CeleryQueue(app).send_plan("run")
    consumer = logging.getLogger("celery.worker.consumer")
    consumer.error("consumer: Cannot connect to %s: %s.\n%s\n", f"amqp://{CANARY}", error, CANARY, exc_info=error)
    assert CANARY not in str(raised.value) + logged.getvalue()


@pytest.mark.parametrize(
    "error",
    [
        slack_sdk.errors.SlackApiError(CANARY, {"error": CANARY}),  # type: ignore[no-untyped-call]
        slack_sdk.errors.SlackRequestError(CANARY),
        urllib3.exceptions.MaxRetryError(POOL, CANARY, OSError(CANARY)),
        urllib3.exceptions.LocationParseError(CANARY),
        standardwebhooks.WebhookVerificationError(CANARY),
        HTTPException(CANARY),
        OSError(5, CANARY),
        _caused(),
    ],
    ids=repr,
)
def test_no_text_of_a_receiver_leaves(
    error: Exception, sqlite_url: str, logged: io.StringIO, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What Slack, the callback and their libraries raise is in no log line and in no table."""

    def fail(*_: Any, **__: Any) -> None:
        raise error

    monkeypatch.setattr(WebhookClient, "send", fail)
    monkeypatch.setattr(urllib3.PoolManager, "request", fail)
    with closing(open_database(sqlite_url)) as database:
        with database.begin() as connection:
            record(connection, tuple(NoticeChannel), claim_run(connection).run_id)
        senders: dict[NoticeChannel, Sender] = {
            NoticeChannel.SLACK: SlackSender("http://127.0.0.1:1/slack"),
            NoticeChannel.CALLBACK: CallbackSender("http://127.0.0.1:1/callback", SECRET),
        }
        deliver_due(database, senders)
        assert logged.getvalue().count('"notice_retried"') == len(senders)
        assert CANARY not in logged.getvalue() + repr(notices(database))


REQUESTS = (
    ("GET", f"/check-migration?account_id={ACCOUNT}", None),
    ("GET", f"/accounts/{ACCOUNT}", None),
    ("POST", "/accounts", {"id": "new", "name": "New"}),
    ("POST", "/migrate", {"account_id": ACCOUNT}),
    ("GET", "/health", None),
)


LASTING = [error for error in DATABASE if not isinstance(translate(error), TemporaryFailure)]  # others are tried again


@pytest.mark.parametrize("error", LASTING, ids=lambda error: f"{type(error).__module__}.{type(error).__name__}")
def test_no_foreign_text_is_answered(
    error: Exception, sqlite_url: str, logged: io.StringIO, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nor is one logged by whoever answers."""
    service = open_service(sqlite_url, retry_seconds=0.0)
    with closing(service.database), served(service) as port:
        _throw(monkeypatch, Thrown("sqlalchemy.engine.default.DefaultDialect.do_execute", error, when=_of_ours))
        for request in REQUESTS:
            status, said = _answer_to(port, *request)
            assert status >= 500
            assert CANARY not in said + logged.getvalue()


def _answer_to(port: int, method: str, path: str, body: dict[str, str] | None) -> tuple[int, str]:
    """The status, and all that was said: headers and body."""
    headers = {"Authorization": f"Bearer {TOKEN}", "Content-Type": "application/json"}
    with closing(HTTPConnection("127.0.0.1", port, timeout=60)) as connection:
        connection.request(method, path, json.dumps(body) if body else None, headers)
        answer = connection.getresponse()
        return answer.status, str(answer.headers) + answer.read().decode()


def _of_ours(*arguments: Any, **_: Any) -> bool:
    return any(isinstance(one, str) and re.search(r"\b(accounts|import_\w+)\b", one) for one in arguments)


def test_what_nobody_catches_is_told_by_its_kind(capfd: pytest.CaptureFixture[str]) -> None:
    """In a thread, in a finalizer, and in the children that move many accounts: Python would print a traceback."""
    program = (
        "import threading\n"
        "from s3import.core.tracebacks import keep_texts_in\n"
        "class Left:\n"
        f"    def __del__(self): raise KeyError('{CANARY}')\n"
        f"def fail(): raise ValueError('{CANARY}')\n"
        "keep_texts_in()\n"
        "threading.Thread(target=fail).start()\n"
        "left = Left()\n"
        "del left\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True, cwd=ROOT)
    said = capfd.readouterr().err
    assert sorted(re.findall(r"\((\w+)\)", said)) == ["KeyError", "ValueError"]
    assert CANARY not in said


def test_an_error_of_nobody_knows_what_is_told_by_its_kind() -> None:
    """The last line of defence, too."""
    assert CANARY not in as_failure(_caused()).message
