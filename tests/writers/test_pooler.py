"""PostgreSQL behind PgBouncer in transaction mode, a real one (Debian's package, or S3IMPORT_TEST_PGBOUNCER)."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
import sqlalchemy as sa

from s3import.core.events import Retrying
from s3import.core.records import HALVES
from tests.importing.dumps import ACCOUNT, seeded_dump, write
from tests.importing.moving import code_of, migrate, rows, settings_for
from tests.writers.test_sessions import own_database  # noqa: F401 - a fixture

pytestmark = pytest.mark.integration

SETTINGS = (
    "idle_in_transaction_session_timeout",
    "statement_timeout",
    "lock_timeout",
    "row_security",
    "DateStyle",
    "TimeZone",
    "bytea_output",
    "search_path",
    "default_transaction_read_only",
    "session_replication_role",
)
START_SECONDS = 30


@pytest.fixture
def pooled_url(own_database: str) -> Iterator[str]:  # noqa: F811
    """The URL of a database by a pooler with two connections, which are anybody's between two transactions."""
    with pooler(sa.make_url(own_database)) as port:
        by_pooler = sa.make_url(own_database).set(host="127.0.0.1", port=port)
        yield by_pooler.render_as_string(hide_password=False)


@contextmanager
def pooler(server: sa.URL) -> Iterator[int]:
    """PgBouncer before a server; its port."""
    folder = Path(tempfile.mkdtemp(prefix="s3import-pgbouncer-"))
    folder.chmod(0o777)  # PgBouncer does not run as root
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    password = f" password={server.password}" if server.password else ""
    (folder / "pgbouncer.ini").write_text(
        f"[databases]\n* = host={server.host} port={server.port or 5432} user={server.username}{password}\n"
        f"[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\nauth_type = any\npool_mode = transaction\n"
        f"default_pool_size = 2\nunix_socket_dir =\nlogfile = {folder}/log\n"
    )
    user = ["-u", "nobody"] if os.getuid() == 0 else []
    process = subprocess.Popen(
        [_program(), *user, str(folder / "pgbouncer.ini")], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        _wait_for(port)
        yield port
    finally:
        process.terminate()
        process.wait(START_SECONDS)
        shutil.rmtree(folder, ignore_errors=True)


def _program() -> str:
    places = f"{os.environ.get('PATH')}:/usr/sbin:/usr/local/sbin"
    found = os.environ.get("S3IMPORT_TEST_PGBOUNCER") or shutil.which("pgbouncer", path=places)
    if found is None:
        give_up = pytest.fail if os.environ.get("CI") == "true" else pytest.skip
        give_up("no PgBouncer: install the package pgbouncer, or set S3IMPORT_TEST_PGBOUNCER to the program")
    return found


def _wait_for(port: int) -> None:
    end = time.monotonic() + START_SECONDS
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            if time.monotonic() > end:
                raise
            time.sleep(0.02)
        else:
            return


def settings_of_sessions(url: str) -> list[dict[str, str]]:
    """What another client finds set, in as many sessions as the pooler has."""
    engine = sa.create_engine(sa.make_url(url).set(drivername="postgresql+psycopg"))
    with closing(engine.connect()) as one, closing(engine.connect()) as another:
        found = [
            {name: connection.exec_driver_sql(f"SHOW {name}").scalar_one() for name in SETTINGS}
            for connection in (one, another)
        ]
    engine.dispose()
    return found


def test_transactions_may_meet_any_session(pooled_url: str, own_database: str, tmp_path: Path) -> None:  # noqa: F811
    """Both passes are in at the first try, as many batches as there are, and no session keeps a setting of ours."""
    write(seeded_dump(3), tmp_path)
    settings = settings_for(tmp_path, pooled_url, workers=2)
    retried: list[object] = []
    moved = migrate(settings, passes=HALVES, observe=lambda event: _note(event, retried))
    assert (code_of(moved), retried) == (None, [])
    assert rows(settings, ACCOUNT)["messages"]
    assert settings_of_sessions(pooled_url) == settings_of_sessions(own_database)


def _note(event: object, retried: list[object]) -> None:
    if isinstance(event, Retrying) and "not available" in event.reason:  # parts of a dump may meet by themselves
        retried.append(event)
