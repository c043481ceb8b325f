"""What a click starts and takes longer than an answer may: a verification, another try of files. Each in a process of
its own, so that polls do not wait for it."""

from __future__ import annotations

import datetime as dt
import logging
import multiprocessing
import signal
import threading
from contextlib import suppress
from dataclasses import dataclass, field, replace
from enum import StrEnum
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess

from s3import.core import logs
from s3import.core.errors import S3ImportError, printable
from s3import.core.history import acting_as, actor
from s3import.core.settings import Settings

MAX_JOBS = 2  # at once: the machine has an import to do as well
STOP_SECONDS = 10.0
ENDED_BY_ITSELF = "it ended by itself; the server's log says more"

log = logging.getLogger(__name__)


class JobKind(StrEnum):
    """What can be started."""

    VERIFY = "verify"
    RETRY_FILES = "retry-files"


@dataclass(frozen=True, slots=True)
class Job:
    """A job of an account, since the server started. `ended_at` None: it is at work; `is_right`: it ended well."""

    kind: JobKind
    began_at: dt.datetime = field(default_factory=lambda: dt.datetime.now(dt.UTC))
    ended_at: dt.datetime | None = None
    is_right: bool = False
    text: str = ""

    @property
    def told(self) -> str:
        """What is said of it."""
        return f"{self.kind} is at work" if self.ended_at is None else f"{self.kind}: {self.text}"


class Jobs:
    """The jobs of one server. Safe to use from several threads."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._lock = threading.Lock()
        self._jobs: dict[str, Job] = {}
        self._processes: list[BaseProcess] = []

    def of(self, account_id: str) -> Job | None:
        """The account's last job, None without any."""
        with self._lock:
            return self._jobs.get(account_id)

    def start(self, kind: JobKind, account_id: str) -> str | None:
        """Start a job; None, or why it was not started."""
        with self._lock:
            at_work = {account for account, job in self._jobs.items() if job.ended_at is None}
            if account_id in at_work:
                return f"{self._jobs[account_id].kind} is at work on this account; wait until it has ended"
            if len(at_work) >= MAX_JOBS:
                return f"{MAX_JOBS} jobs are at work on this server already; wait until one has ended"
            job = self._jobs[account_id] = Job(kind)
            context = multiprocessing.get_context("spawn")
            ours, theirs = context.Pipe(duplex=False)
            process = context.Process(
                target=_work, args=(self._settings, kind, account_id, actor(), theirs), name=str(kind)
            )
            process.start()
            theirs.close()
            self._processes = [*(one for one in self._processes if one.is_alive()), process]
        threading.Thread(target=self._wait, args=(account_id, job, process, ours), name="job", daemon=True).start()
        return None

    def close(self) -> None:
        """Stop what is at work; it can be started again."""
        with self._lock:
            processes = list(self._processes)
        for process in processes:
            process.terminate()
        for process in processes:
            process.join(STOP_SECONDS)
            process.kill()

    def _wait(self, account_id: str, job: Job, process: BaseProcess, line: Connection) -> None:
        is_right, text = False, ENDED_BY_ITSELF
        with suppress(EOFError, OSError):
            is_right, text = line.recv()
        line.close()
        process.join()
        with self._lock:
            self._jobs[account_id] = replace(job, ended_at=dt.datetime.now(dt.UTC), is_right=is_right, text=text)


# --- in the process ---------------------------------------------------------------------------------------------------


def _work(settings: Settings, kind: JobKind, account_id: str, who: str, line: Connection) -> None:
    logs.configure()
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    threading.Thread(target=_stop_with_parent, args=(stop,), daemon=True).start()
    with acting_as(who), suppress(OSError):  # a server that is gone waits for nothing
        line.send(result_of(settings, kind, account_id, stop))


def _stop_with_parent(stop: threading.Event) -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        wait([parent.sentinel])
        stop.set()


def result_of(settings: Settings, kind: JobKind, account_id: str, stop: threading.Event) -> tuple[bool, str]:
    """Do the work; whether it ended well, and what is said of it."""
    try:
        return _DO[kind](settings, account_id, stop)
    except S3ImportError as error:
        return False, printable(error.message)
    except Exception:
        log.exception("a job of the page has failed", extra={"event": "job_failed"})
        return False, ENDED_BY_ITSELF  # multiprocessing would print the error's text


def _verify(settings: Settings, account_id: str, stop: threading.Event) -> tuple[bool, str]:
    from s3import.operations.verify.account import verify

    verified = verify(replace(settings, source=None), account_id, observe=lambda event: None, stop=stop)
    differences = verified.findings.difference_count
    if differences:
        return False, f"{differences:,} differences between dump and database"
    rejected = f"; {verified.rejected:,} records were rejected and are not there" if verified.rejected else ""
    return True, f"the database holds what the dump says{rejected}"


def _retry_files(settings: Settings, account_id: str, stop: threading.Event) -> tuple[bool, str]:
    from s3import.operations.files import retry_files

    retried = retry_files(settings, account_id, observe=lambda event: None, stop=stop)
    return not retried.failed, f"{retried.copied:,} files copied, {retried.failed:,} failed again"


_DO = {JobKind.VERIFY: _verify, JobKind.RETRY_FILES: _retry_files}
