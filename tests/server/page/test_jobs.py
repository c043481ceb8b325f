"""What a click starts and takes longer than an answer: processes of their own, two at most, ended with the server."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import closing

import pytest

from s3import.core.settings import Settings
from s3import.operations.operations import Operations
from s3import.server.page import jobs as module
from s3import.server.page.jobs import ENDED_BY_ITSELF, Job, JobKind, Jobs, result_of
from tests.server.api.services import put_account
from tests.server.processes.processes import wait_until


@pytest.fixture
def jobs(service: Operations) -> Iterator[Jobs]:
    """The jobs of a server over a real database; none outlives the test."""
    with closing(Jobs(service.settings)) as started:
        yield started


def _ended(jobs: Jobs, account_id: str) -> Job:
    found: list[Job] = []

    def has_ended() -> bool:
        job = jobs.of(account_id)
        found[:] = [job] if job and job.ended_at else []
        return bool(found)

    wait_until(has_ended)
    return found[0]


@pytest.mark.integration
@pytest.mark.parametrize("kind", list(JobKind))
def test_a_job_tells_how_it_ended(jobs: Jobs, service: Operations, kind: JobKind) -> None:
    put_account(service)
    assert jobs.of("acme") is None
    assert jobs.start(kind, "acme") is None
    job = jobs.of("acme")
    assert job is not None
    assert job.told == f"{kind} is at work"
    ended = _ended(jobs, "acme")
    assert not ended.is_right
    assert ended.told.startswith(f"{kind}: ")
    assert "`s3import migrate --account acme` first" in ended.told


@pytest.mark.integration
def test_of_one_account_there_is_one_job_and_of_all_there_are_two(jobs: Jobs) -> None:
    assert jobs.start(JobKind.VERIFY, "one") is None
    assert "at work on this account" in str(jobs.start(JobKind.RETRY_FILES, "one"))
    assert jobs.start(JobKind.VERIFY, "two") is None
    assert "2 jobs are at work" in str(jobs.start(JobKind.VERIFY, "three"))
    _ended(jobs, "one")
    assert jobs.start(JobKind.VERIFY, "three") is None


@pytest.mark.integration
def test_a_job_ends_with_its_server(service: Operations) -> None:
    jobs = Jobs(service.settings)
    jobs.start(JobKind.VERIFY, "acme")
    jobs.close()
    assert not _ended(jobs, "acme").is_right


@pytest.mark.parametrize("told", ["a customer's text"])
def test_a_fault_of_our_own_tells_nobody_a_text(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, told: str
) -> None:
    def fail(*_: object) -> tuple[bool, str]:
        raise RuntimeError(told)

    work: dict[JobKind, Callable[..., tuple[bool, str]]] = {JobKind.VERIFY: fail}
    monkeypatch.setattr(module, "_DO", work)
    found = result_of(Settings(), JobKind.VERIFY, "acme", threading.Event())
    assert found == (False, ENDED_BY_ITSELF)
    assert "a job of the page has failed" in caplog.text
