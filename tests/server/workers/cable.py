"""A cable to a server on another port, which can be cut and mended, and can swallow what it is given."""

from __future__ import annotations

import socket
import threading
from contextlib import suppress
from typing import Self


class Cable:
    """Carries connections from a free port of loopback to `upstream`. Use as a context manager."""

    def __init__(self, upstream: tuple[str, int]) -> None:
        self._upstream = upstream
        self._ends: list[socket.socket] = []
        self._mute = threading.Event()
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listening.getsockname()[1])

    def __enter__(self) -> Self:
        self._accept()
        return self

    def __exit__(self, *_: object) -> None:
        self.cut()

    def refuse(self) -> None:
        """From now on nobody is listening; what is connected stays so."""
        with suppress(OSError):
            self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()

    def cut(self) -> None:
        """Break what is connected; from now on nobody is listening."""
        self.refuse()
        for end in self._ends:
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()
        self._ends.clear()

    def mend(self) -> None:
        """Listen again at the same port."""
        self._listening = socket.create_server(("127.0.0.1", self.port))
        self._accept()

    def mute(self) -> None:
        """From now on nothing arrives any more, though everything stays connected and new connections are accepted."""
        self._mute.set()

    def _accept(self) -> None:
        threading.Thread(target=self._connect_all, args=(self._listening,), daemon=True).start()

    def _connect_all(self, listening: socket.socket) -> None:
        with suppress(OSError):
            while True:
                near, _ = listening.accept()
                far = socket.create_connection(self._upstream)
                self._ends += [near, far]
                for pair in ((near, far), (far, near)):
                    threading.Thread(target=self._carry, args=pair, daemon=True).start()

    def _carry(self, source: socket.socket, target: socket.socket) -> None:
        with suppress(OSError):
            while received := source.recv(65536):
                if not self._mute.is_set():
                    target.sendall(received)
            target.shutdown(socket.SHUT_WR)
