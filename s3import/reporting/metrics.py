"""What Prometheus may know: this process's work as counters, and the runs of everybody as the database has them.

Counters are of this process and start with it at zero. What describes runs is read from the database for each scrape,
so that every process answers the same. The one place that knows prometheus_client.
"""

from __future__ import annotations

import datetime as dt
import logging
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol

import sqlalchemy as sa
from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.registry import Collector
from sqlalchemy import Connection
from stamina.instrumentation import RetryDetails

from s3import.core.clock import clock
from s3import.core.errors import S3ImportError
from s3import.core.events import Advanced, Event
from s3import.core.records import Pass
from s3import.core.settings import Settings
from s3import.core.tables import import_notices, import_runs
from s3import.status import State

log = logging.getLogger(__name__)

CONTENT_TYPE = CONTENT_TYPE_LATEST
RETRIED = ("database", "source")
BATCH_SECONDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120)


@dataclass(frozen=True, slots=True)
class Described:
    """A metric: its name as it is scraped, its kind, what it says, and its labels."""

    name: str
    kind: str
    told: str
    labels: tuple[str, ...] = ()

    def gauge(self, value: float | None = None) -> GaugeMetricFamily:
        """Its measurement; without a value one that is filled in by label."""
        return GaugeMetricFamily(self.name, self.told, value, self.labels or None)


ROWS = Described("s3import_rows_total", "counter", "Records by what became of them.", ("entity", "outcome"))
BATCHES = Described("s3import_batches_total", "counter", "Batches committed.", ("entity",))
BYTES = Described("s3import_bytes_total", "counter", "Bytes of stored objects imported.", ("entity",))
RETRIES = Described("s3import_retries_total", "counter", "Work tried again after a temporary failure.", ("of",))
SECONDS = Described("s3import_batch_seconds", "histogram", "Time to write a batch, tries included.", ("entity",))
UP = Described("s3import_database_up", "gauge", "Whether the database answered this scrape.")
RUNS = Described("s3import_runs", "gauge", "Runs by state and pass.", ("state", "pass"))
QUEUE_LAG = Described("s3import_queue_lag_seconds", "gauge", "Age of the oldest queued run; 0 without any.")
HEARTBEAT = Described("s3import_heartbeat_age_seconds", "gauge", "Age of the oldest heartbeat of a running run.")
LOST = Described("s3import_lost_runs", "gauge", "Running runs whose lease has ended: their process died.")
NOTICES = Described("s3import_notices_waiting", "gauge", "Notices not delivered yet.", ("channel",))
DESCRIBED = (ROWS, BATCHES, BYTES, RETRIES, SECONDS, UP, RUNS, QUEUE_LAG, HEARTBEAT, LOST, NOTICES)
"""All of them: counters and the histogram are of one process, gauges are read from the database."""


class Readable(Protocol):
    """What the page needs of a database: transactions that only read."""

    def read(self) -> AbstractContextManager[Connection]: ...


class Metrics:
    """An observer that counts, and the page that shows it. Safe to use from several threads."""

    def __init__(self, settings: Settings) -> None:
        self._lease_seconds = settings.lease_seconds
        self._registry = CollectorRegistry()
        self._rows, self._batches, self._bytes, self._retries = map(self._counter, (ROWS, BATCHES, BYTES, RETRIES))
        self._seconds = Histogram(
            SECONDS.name, SECONDS.told, SECONDS.labels, registry=self._registry, buckets=BATCH_SECONDS
        )

    def _counter(self, described: Described) -> Counter:
        return Counter(described.name, described.told, described.labels, registry=self._registry)

    def __call__(self, event: Event) -> None:
        """Count what an event tells."""
        if isinstance(event, Advanced) and event.entity is not None:
            self._count_batch(event, event.entity.value)

    def _count_batch(self, event: Advanced, entity: str) -> None:
        outcomes = ("read", "written", "unchanged", "rejected")
        for outcome in outcomes:
            self._rows.labels(entity, outcome).inc(max(getattr(event, outcome), 0))
        self._bytes.labels(entity).inc(max(event.bytes, 0))
        if event.read:
            self._batches.labels(entity).inc()
            self._seconds.labels(entity).observe(event.seconds)

    def count_retry(self, details: RetryDetails) -> None:
        """A hook for stamina: count a retry as the database's or the source's.

        What is retried against a database fails with our own errors; a source's failures are foreign ones.
        """
        database, source = RETRIED
        self._retries.labels(database if isinstance(details.caused_by, S3ImportError) else source).inc()

    def render(self, database: Readable) -> bytes:
        """The page in Prometheus's text format; without a database that answers it still shows the counters."""
        runs = CollectorRegistry()
        runs.register(_Fixed(_from_database(database, self._lease_seconds)))
        return generate_latest(self._registry) + generate_latest(runs)


def readings(page: bytes) -> dict[str, dict[tuple[str, ...], float]]:
    """What `Metrics.render` shows: by a metric's name and the values of its labels."""
    found: dict[str, dict[tuple[str, ...], float]] = {}
    for family in text_string_to_metric_families(page.decode()):
        for sample in family.samples:
            found.setdefault(sample.name, {})[tuple(sample.labels.values())] = sample.value
    return found


class _Fixed(Collector):
    """Measurements that were taken already."""

    def __init__(self, taken: Iterable[Metric]) -> None:
        self._taken = list(taken)

    def collect(self) -> Iterable[Metric]:
        return self._taken


# --- from the database -----------------------------------------------------------------------------------------------


def _from_database(database: Readable, lease_seconds: float) -> list[Metric]:
    """All measurements or, where the database does not answer or has no tables, that it does not."""
    try:
        with database.read() as connection:
            return [_up(True), *_measured(connection, lease_seconds)]
    except S3ImportError as error:
        log.warning("the runs cannot be measured: %s", error, extra={"event": "metrics_unavailable"})
        return [_up(False)]


def _up(is_up: bool) -> Metric:
    return UP.gauge(float(is_up))


def _measured(connection: Connection, lease_seconds: float) -> Iterator[Metric]:
    yield _runs(connection)
    yield _queue_lag(connection)
    yield from _heartbeats(connection, lease_seconds)
    yield _notices(connection)


def _runs(connection: Connection) -> Metric:
    """A number for every state and pass, also for those without runs: an absent series cannot be alerted on."""
    runs = import_runs.c
    query = sa.select(runs.state, runs["pass"], sa.func.count()).group_by(runs.state, runs["pass"])
    found = {(state, pass_): number for state, pass_, number in connection.execute(query)}
    family = RUNS.gauge()
    for state in State:
        for pass_ in Pass:
            family.add_metric([state.value, pass_.value], found.get((state.value, pass_.value), 0))
    return family


def _queue_lag(connection: Connection) -> Metric:
    runs = import_runs.c
    oldest = connection.execute(sa.select(sa.func.min(runs.requested_at)).where(runs.state == State.QUEUED)).scalar()
    seconds = (dt.datetime.now(dt.UTC) - oldest).total_seconds() if oldest else 0.0
    return QUEUE_LAG.gauge(max(seconds, 0.0))


def _heartbeats(connection: Connection, lease_seconds: float) -> Iterator[Metric]:
    """Each heartbeat leaves `lease_seconds` on its lease: what is missing of that is the heartbeat's age."""
    runs = import_runs.c
    left = runs.lease_until - clock()
    lost_runs = sa.func.count(sa.case((left <= 0, 1)))
    least, lost = connection.execute(sa.select(sa.func.min(left), lost_runs).where(runs.state == State.RUNNING)).one()
    age = max(lease_seconds - least, 0.0) if least is not None else 0.0
    yield HEARTBEAT.gauge(age)
    yield LOST.gauge(lost)


def _notices(connection: Connection) -> Metric:
    notices = import_notices.c
    query = sa.select(notices.channel, sa.func.count()).where(notices.not_before.is_not(None)).group_by(notices.channel)
    family = NOTICES.gauge()
    for channel, number in connection.execute(query):
        family.add_metric([channel], number)
    return family
