"""A limit to how long one sender may take, whatever it waits for."""

from __future__ import annotations

import threading

from s3import.reporting.notify.notice import NotDelivered, Notice, Sender

DEADLINE_SECONDS = 10.0


class Deadline:
    """A sender that is left alone after `seconds`: the timeout of a socket begins anew with every byte that drips in.

    The one that is left alone goes on in a thread of its own; until it ends, there is no second one.
    """

    def __init__(self, send: Sender, seconds: float = DEADLINE_SECONDS) -> None:
        self._send = send
        self._seconds = seconds
        self._attempt: threading.Thread | None = None

    def __call__(self, notice: Notice) -> None:
        """Send. Raises: NotDelivered, and what the sender raises."""
        if self._attempt is not None and self._attempt.is_alive():
            raise NotDelivered("the attempt before this one has not ended yet")
        raised: list[BaseException] = []
        self._attempt = threading.Thread(target=self._run, args=(notice, raised), name="notice", daemon=True)
        self._attempt.start()
        self._attempt.join(self._seconds)
        if self._attempt.is_alive():
            raise NotDelivered(f"no end of the answer within {self._seconds:g} s")
        if raised:
            raise raised[0]

    def _run(self, notice: Notice, raised: list[BaseException]) -> None:
        try:
            self._send(notice)
        except BaseException as error:  # noqa: BLE001 - raised again in the thread that waits
            raised.append(error)
