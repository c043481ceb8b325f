"""Celery: the calls of `fleet` by queue, and the process that serves them.

The broker (RabbitMQ, Redis or SQS) only delivers. Results are not kept, messages are acknowledged on arrival and expire
with the offer they stand for: what is lost is sent again by the sweep, which asks the database what is left to do.
"""

from __future__ import annotations

import logging
import threading
from typing import Any

from celery import Celery, signals

from s3import.errors import as_failure
from s3import.workers.dispatch import OFFER_SECONDS
from s3import.workers.fleet import FleetWorker

log = logging.getLogger(__name__)

SWEEP_SECONDS = 3.0
CONNECT_SECONDS = 4.0


def make_celery(broker: str, queue: str) -> Celery:
    """A Celery application that talks to `broker` by the queue of that name, and keeps nothing."""
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
    )
    if broker.startswith("redis"):
        app.conf.update(broker_transport_options={"socket_connect_timeout": CONNECT_SECONDS, "max_retries": 1})
    if broker.startswith("amqp"):  # else what is sent into a broken connection seems to have been taken
        app.conf.update(broker_transport_options={"confirm_publish": True, "confirm_timeout": CONNECT_SECONDS})
    return app


class CeleryQueue:
    """Sends the calls. A broker that is away costs nothing but time: what it did not take is offered again."""

    def __init__(self, app: Celery) -> None:
        self._app = app

    def send_plan(self, run_id: str) -> bool:
        return self._send("s3import.plan", run_id)

    def send_part(self, run_id: str, number: int) -> bool:
        return self._send("s3import.import_part", run_id, number)

    def _send(self, name: str, *arguments: Any) -> bool:
        try:
            self._app.send_task(name, arguments, expires=OFFER_SECONDS, retry=False)
        except Exception as error:  # noqa: BLE001 - every transport has errors of its own
            log.warning("the broker takes no messages (%s); trying again", type(error).__name__)
            return False
        return True


class Sweeper:
    """Calls `FleetWorker.sweep` every `SWEEP_SECONDS`, or when woken. Use as a context manager."""

    def __init__(self, worker: FleetWorker) -> None:
        self._worker = worker
        self._woken = threading.Event()
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="sweeper", daemon=True)

    def __enter__(self) -> Sweeper:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopped.set()
        self.wake()
        self._thread.join()

    def wake(self) -> None:
        """Sweep now."""
        self._woken.set()

    def _run(self) -> None:
        while not self._stopped.is_set():
            try:
                self._worker.sweep()
            except Exception as error:  # noqa: BLE001 - whatever it is, the next sweep may go better
                log.warning("cannot look for work: %s", as_failure(error))
            self._woken.wait(SWEEP_SECONDS)
            self._woken.clear()


def serve_queue(app: Celery, worker: FleetWorker, *, threads: int, stop: threading.Event) -> None:
    """Take calls from the queue until a signal comes; then `stop` is set, parts end at their next batch and go back."""
    app.task(worker.plan, name="s3import.plan")
    app.task(worker.import_part, name="s3import.import_part")

    def drain(**_: Any) -> None:
        stop.set()

    def leave_as_it_is(**_: Any) -> None:
        """Logs are set up already."""

    signals.setup_logging.connect(leave_as_it_is, weak=False)
    signals.worker_shutting_down.connect(drain, weak=False)
    with Sweeper(worker):
        app.Worker(pool="threads", concurrency=threads, without_gossip=True, without_mingle=True, quiet=True).start()
