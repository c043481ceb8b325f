"""Processes that stay: the HTTP API with a worker of its own, and a worker among many machines."""

from __future__ import annotations

import logging
import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from functools import partial

import stamina

from s3import.core import logs
from s3import.core.errors import ConfigurationError
from s3import.core.events import Event, PassEnded, PassStarted, Retrying
from s3import.core.limits import RejectLimit
from s3import.core.settings import Settings
from s3import.core.timers import end_process_after
from s3import.importing.importer import Importer
from s3import.importing.part_claims import Capacity
from s3import.importing.retries import Retries
from s3import.operations.composition import assemble, workers
from s3import.operations.purge import Retention
from s3import.reporting.metrics import Metrics
from s3import.server.api.application import create_app
from s3import.server.api.loopback import check_binding
from s3import.server.api.process import api_process, require_serving
from s3import.server.workers.background import BackgroundWorker
from s3import.server.workers.fleet import FleetWorker
from s3import.server.workers.tasks import CeleryQueue, Sweeper, make_celery, serve_queue
from s3import.writers import schema

log = logging.getLogger(__name__)

LOOK_SECONDS = 0.2
DRAIN_SECONDS = 20.0


@dataclass(frozen=True, slots=True)
class Working:
    """What both kinds of process work with; `stop` ends every run at its next batch."""

    settings: Settings
    importer: Importer
    metrics: Metrics
    limit: RejectLimit
    stop: threading.Event


def serve(settings: Settings, host: str, port: int) -> None:
    """Serve the HTTP API until a signal comes, and work through queued runs: here, or with a broker by its workers.

    Raises: ConfigurationError, SchemaMismatch, DatabaseUnavailable.
    """
    check_binding(host, settings.api_tokens)
    with _working(settings) as working, ExitStack() as stack:
        worker = _worker(working)
        stack.enter_context(worker)
        database = working.importer.database

        def render_metrics() -> bytes:
            return working.metrics.render(database)

        api = api_process(create_app, settings, host, port, wake=worker.wake, render_metrics=render_metrics)
        child = stack.enter_context(api)
        while not working.stop.wait(LOOK_SECONDS):
            require_serving(child, host, port)


def work(settings: Settings) -> None:
    """Import parts that the broker brings until a signal comes. Raises: as `serve`."""
    if not settings.broker:
        raise ConfigurationError(
            "a worker needs a broker: set S3IMPORT_BROKER (amqp://…, redis://… or sqs://…); without one "
            "`s3import serve` works through the runs by itself"
        )
    with _working(settings) as working:
        celery = make_celery(settings.broker, settings.queue)
        threads = workers(settings, working.importer.database)
        log.info("working with %d threads", threads, extra={"event": "worker_started"})
        serve_queue(
            celery,
            _fleet_worker(working, CeleryQueue(celery)),
            threads=threads,
            retry_seconds=settings.retry_seconds,
            stop=working.stop,
            drain=partial(leave, working.stop),
        )


def _worker(working: Working) -> BackgroundWorker | Sweeper:
    """What sees to queued runs: a worker in this process, or with a broker whoever sends them to the workers."""
    settings = working.settings
    if settings.broker:
        return Sweeper(_fleet_worker(working, CeleryQueue(make_celery(settings.broker, settings.queue))))
    return BackgroundWorker(working.importer, limit=working.limit)


def _fleet_worker(working: Working, queue: CeleryQueue) -> FleetWorker:
    settings = working.settings
    capacity = Capacity(settings.connections_per_account, settings.connections)
    return FleetWorker(working.importer, queue, limit=working.limit, retries=Retries(), capacity=capacity)


@contextmanager
def _working(settings: Settings) -> Iterator[Working]:
    """Bring up what works on the settings' database, and take it down in order."""
    logs.configure()
    limit = RejectLimit.parse(settings.max_rejects) if settings.max_rejects else RejectLimit()
    metrics, stop = Metrics(settings), threading.Event()
    stamina.instrumentation.set_on_retry_hooks([metrics.count_retry])

    def observe(event: Event) -> None:
        metrics(event)
        _tell(event)

    with closing(assemble(settings, observe, stop)) as machinery:
        importer = machinery.importer
        importer.transactions.run("", schema.require)
        stop_on_signals(stop)
        try:
            with machinery.notifier, importer, Retention(machinery.database, settings.retention_days):
                yield Working(settings, importer, metrics, limit, stop)
        finally:
            stop.set()


def stop_on_signals(
    stop: threading.Event, *, drain_seconds: float = DRAIN_SECONDS, end: Callable[[int], object] = os._exit
) -> None:
    """Have SIGINT and SIGTERM make the process `leave`."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda number, _: leave(stop, number, drain_seconds=drain_seconds, end=end))


def leave(
    stop: threading.Event,
    number: int,
    *,
    drain_seconds: float = DRAIN_SECONDS,
    end: Callable[[int], object] = os._exit,
) -> None:
    """Set `stop`, and `end` the process with 128 plus the signal's number if it then takes longer than `drain_seconds`:
    where a source, a database or a broker does not answer, its patience is longer than a drain's."""
    if not stop.is_set():
        stop.set()
        end_process_after(drain_seconds, 128 + number, end)


def _tell(event: Event) -> None:
    """One line in the log for what an operator would want to find there."""
    match event:
        case PassStarted():
            with logs.log_context(account_id=event.account_id, run_id=event.run_id):
                log.info(
                    "the %s pass starts (attempt %d, %d parts)",
                    event.pass_,
                    event.attempts,
                    event.parts_total,
                    extra={"event": "pass_started"},
                )
        case PassEnded(error=None):
            with logs.log_context(account_id=event.account_id):
                log.info("the %s pass is in", event.pass_, extra={"event": "pass_succeeded"})
        case PassEnded():
            with logs.log_context(account_id=event.account_id):
                log.warning("the %s pass ended: %s", event.pass_, event.error, extra={"event": "pass_failed"})
        case Retrying():
            with logs.log_context(account_id=event.account_id):
                log.warning("trying again: %s", event.reason, extra={"event": "database_retried"})
