"""An `s3import` for shells that starts in hundredths of a second: a process which is forked does its work."""

from __future__ import annotations

import ast
import os
import socket
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from multiprocessing.connection import wait
from multiprocessing.process import BaseProcess
from pathlib import Path

from tests.cli.commands import started

PROGRAM = """#!{python} -IS
import os, signal, socket, sys

def passed_on(number, _):
    try:
        os.kill(process, number)
    except ProcessLookupError:
        pass  # it has just ended

with socket.socket(socket.AF_UNIX) as connection:
    connection.connect({path!r})
    socket.send_fds(connection, [b"-"], [1, 2])
    with connection.makefile("rw") as stream:
        print(ascii((sys.argv[1:], dict(os.environ), os.getcwd())), file=stream, flush=True)
        process = int(stream.readline())
        for number in (signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGTERM):
            signal.signal(number, passed_on)
        status = int(stream.readline())
if status < 0:
    signal.signal(-status, signal.SIG_DFL)
    os.kill(os.getpid(), -status)
sys.exit(status)
"""


@contextmanager
def forked_programs(folder: Path) -> Iterator[Path]:
    """A folder for the PATH, with `s3import`: the same as the installed one, but for the time it takes to start.

    It has the caller's environment, folder, output and errors, but nothing to read; it takes the signals that end a
    program, and where it is killed the process that works for it is killed, too.
    """
    path, program = folder / "socket", folder / "bin/s3import"
    program.parent.mkdir()
    program.write_text(PROGRAM.format(python=sys.executable, path=str(path)))
    program.chmod(0o755)
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(path))
        listening.listen()
        thread = threading.Thread(target=_serve, args=(listening,), daemon=True)
        thread.start()
        try:
            yield program.parent
        finally:
            listening.shutdown(socket.SHUT_RDWR)
            thread.join()


def _serve(listening: socket.socket) -> None:
    """One thread starts all processes and sees them end: `multiprocessing` lets no second one wait for them."""
    running: dict[socket.socket, BaseProcess] = {}
    while True:
        ready = wait([listening, *running, *(process.sentinel for process in running.values())])
        for connection, process in list(running.items()):
            if process.sentinel in ready:
                process.join()
                with connection:
                    _tell(connection, process.exitcode)
                del running[connection]
            elif connection in ready:  # whoever waited for it is gone
                process.kill()
        if listening in ready:
            try:
                connection, _ = listening.accept()
            except OSError:
                return
            running[connection] = _started(connection)


def _started(connection: socket.socket) -> BaseProcess:
    _, (out, err), *_ = socket.recv_fds(connection, 1, 2)
    with connection.makefile() as stream:
        words, variables, folder = ast.literal_eval(stream.readline())
    process = started(words, variables, out, err, folder)
    os.close(out)
    os.close(err)
    _tell(connection, process.pid)
    return process


def _tell(connection: socket.socket, number: int | None) -> None:
    with suppress(OSError):  # it may be gone
        connection.sendall(b"%d\n" % (number or 0))
