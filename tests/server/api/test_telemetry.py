"""What an operator's OpenTelemetry gets to see of requests."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import InMemoryLogRecordExporter, SimpleLogRecordProcessor
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from s3import.operations.operations import Operations
from s3import.server.api import application
from s3import.server.api.application import create_app
from tests.server.api.conftest import bearer
from tests.server.api.services import TOKEN

pytestmark = pytest.mark.integration
SECRET = "the customer's own words"


@contextmanager
def watched(
    service: Operations, monkeypatch: pytest.MonkeyPatch
) -> Iterator[tuple[TestClient, InMemorySpanExporter, InMemoryLogRecordExporter]]:
    """A client of the application, and what exports the spans and the logs of its requests."""
    spans, records = InMemorySpanExporter(), InMemoryLogRecordExporter()  # type: ignore[no-untyped-call]
    (tracing := TracerProvider()).add_span_processor(SimpleSpanProcessor(spans))
    (logging := LoggerProvider()).add_log_record_processor(SimpleLogRecordProcessor(records))
    providers = {"tracer_provider": tracing, "logger_provider": logging}
    monkeypatch.setattr(application, "TELEMETRY", {**application.TELEMETRY, **providers})
    app: FastAPI = create_app(service, tokens=[TOKEN])
    with TestClient(app, headers=bearer(TOKEN), raise_server_exceptions=False) as client:
        yield client, spans, records


def test_no_text_of_an_exception_is_exported(service: Operations, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each request has its one span; what went wrong within it is in no log and no other span."""

    def fail(account_id: str) -> None:
        raise ValueError(SECRET)

    monkeypatch.setattr(service, "account", fail)
    with watched(service, monkeypatch) as (client, spans, records):
        assert client.get("/accounts/acme").status_code == 500
        assert client.post("/accounts", json={"id": SECRET * 40, "extra": SECRET}).status_code == 422
        seen = spans.get_finished_spans()
    assert [span.name for span in seen] == ["GET /accounts/{account_id}", "POST /accounts"]
    assert not any(SECRET in span.to_json() for span in seen)
    assert records.get_finished_logs() == ()
