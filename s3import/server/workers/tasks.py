"""Celery: the calls of `fleet` by queue, and the process that serves them.

The broker (RabbitMQ, Redis or SQS) only delivers. Results are not kept, messages are acknowledged on arrival and are
worth nothing once the offer they stand for has ended: what is lost is sent again by the sweep, which asks the database
what is left to do.
"""

from __future__ import annotations

import logging
import signal
import threading
import time
from collections.abc import Callable
from functools import partial
from typing import Any

from celery import Celery, signals

from s3import.core.errors import BrokerUnavailable
from s3import.core.timers import Ticker
from s3import.importing.offers import OFFER_SECONDS
from s3import.importing.part_claims import Bundle
from s3import.server.workers.broker import TLS, check_url, require_login
from s3import.server.workers.fleet import FleetWorker

log = logging.getLogger(__name__)

SWEEP_SECONDS = 3.0
CONNECT_SECONDS = 4.0
HEARTBEAT_SECONDS = 20.0  # RabbitMQ that has been mute for twice as long is gone
LOOK_SECONDS = 1.0
MOST_WAITING = 1000  # more than any database has connections


def make_celery(broker: str, queue: str) -> Celery:
    """A Celery application that talks to `broker` by the queue of that name, and keeps nothing.

    Raises: ConfigurationError, for a URL that cannot be used.
    """
    scheme = check_url(broker)
    app = Celery("s3import", broker=broker)
    app.conf.update(
        task_default_queue=queue,
        task_ignore_result=True,
        task_store_errors_even_if_ignored=False,
        task_acks_late=False,
        worker_prefetch_multiplier=1,
        worker_enable_prefetch_count_reduction=False,  # with threads, reconnecting would sometimes hang for good
        worker_enable_remote_control=False,
        worker_send_task_events=False,
        broker_connection_retry_on_startup=True,
        broker_connection_max_retries=None,
        broker_connection_timeout=CONNECT_SECONDS,
        broker_heartbeat=HEARTBEAT_SECONDS,
        broker_use_ssl=TLS.get(scheme),
        broker_transport_options=_transport_options(scheme),
    )
    return app


def _transport_options(scheme: str) -> dict[str, Any]:
    if scheme.startswith("redis"):
        return {"socket_connect_timeout": CONNECT_SECONDS, "socket_timeout": CONNECT_SECONDS, "max_retries": 1}
    if scheme.startswith("amqp"):  # else what is sent into a broken connection seems to have been taken
        return {"confirm_publish": True, "confirm_timeout": CONNECT_SECONDS}
    return {}


class CeleryQueue:
    """Sends the calls. A broker that is away costs nothing but time: what it did not take is offered again.

    A message is worth nothing once its offer has ended, which the database's clock says. RabbitMQ drops it then; others
    are sent no more while `MOST_WAITING` lie there, as where no worker is.
    """

    def __init__(self, app: Celery) -> None:
        self._app = app
        self._drops_old = str(app.conf.broker_url).startswith("amqp")
        self._looked_at = -LOOK_SECONDS
        self._is_full = False

    def send_plan(self, run_id: str) -> bool:
        return self._send("s3import.plan", run_id)

    def send_parts(self, run_id: str, bundle: Bundle) -> bool:
        return self._send("s3import.import_parts", run_id, bundle.first, bundle.last, bundle.token)

    def _send(self, name: str, *arguments: Any) -> bool:
        try:
            if not self._drops_old and self._full():
                return False
            # `expires` would be decided by each worker's own clock; `expiration` is the broker's business.
            self._app.send_task(name, arguments, expiration=OFFER_SECONDS, retry=False)
        except Exception as error:  # noqa: BLE001 - every transport has errors of its own
            log.warning(
                "the broker takes no messages (%s); trying again",
                type(error).__name__,
                extra={"event": "broker_unavailable"},
            )
            return False
        return True

    def _full(self) -> bool:
        """Whether so much waits at the broker that nobody can be there to take it; found out once a second."""
        now = time.monotonic()
        if now - self._looked_at >= LOOK_SECONDS:
            self._looked_at = now
            with self._app.pool.acquire(block=True, timeout=CONNECT_SECONDS) as connection:
                queue = connection.default_channel.queue_declare(self._app.conf.task_default_queue)
            self._is_full = queue.message_count >= MOST_WAITING
        return self._is_full


class Sweeper:
    """Calls `FleetWorker.sweep` every `SWEEP_SECONDS`, or when woken. Use as a context manager."""

    def __init__(self, worker: FleetWorker) -> None:
        self._ticker = Ticker("sweeper", worker.sweep, SWEEP_SECONDS)

    def __enter__(self) -> Sweeper:
        self._ticker.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ticker.stop()
        self._ticker.join()

    def wake(self) -> None:
        """Sweep now."""
        self._ticker.wake()


def serve_queue(
    app: Celery,
    worker: FleetWorker,
    *,
    threads: int,
    retry_seconds: float,
    stop: threading.Event,
    drain: Callable[[signal.Signals], None],
) -> None:
    """Take calls from the queue until a signal comes: `drain` then has to set `stop`, on which parts end at their next
    batch and go back.

    Raises: BrokerRefused; BrokerUnavailable, when there is no broker for `retry_seconds` at the start.
    """
    log_in = partial(_log_in, app)
    require_login(log_in, retry_seconds=retry_seconds, stop=stop)
    if stop.is_set():
        return
    app.task(worker.plan, name="s3import.plan")

    def import_parts(run_id: str, first: int, last: int, token: int) -> None:
        worker.import_parts(run_id, Bundle(first, last, token))

    app.task(import_parts, name="s3import.import_parts")

    def shut_down(sig: str, **_: Any) -> None:
        drain(signal.Signals[sig])

    def leave_as_it_is(**_: Any) -> None:
        """Logs are set up already."""

    signals.setup_logging.connect(leave_as_it_is, weak=False)
    signals.worker_shutting_down.connect(shut_down, weak=False)
    with Sweeper(worker):
        app.Worker(pool="threads", concurrency=threads, without_gossip=True, without_mingle=True, quiet=True).start()
        if not stop.is_set():  # nobody asked it to go: it gave up by itself
            require_login(log_in, retry_seconds=0, stop=stop)
            raise BrokerUnavailable("the worker lost its broker; start it again")


def _log_in(app: Celery) -> None:
    with app.connection_for_read() as connection:
        connection.connect()
        app.amqp.queues[app.conf.task_default_queue](connection.default_channel).declare()
