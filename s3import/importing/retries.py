"""When a worker tries a failed run again."""

from __future__ import annotations

from dataclasses import dataclass

from s3import.core.errors import InternalError, Interrupted, S3ImportError, TemporaryFailure


@dataclass(frozen=True, slots=True)
class Retries:
    """How a worker that nobody watches goes on after a failure that may pass: at most `limit` tries since somebody last
    asked for the run, `first_seconds` after the first, twice as long after each further one, at most `most_seconds`."""

    limit: int = 5
    first_seconds: float = 10.0
    most_seconds: float = 600.0

    def wait_seconds(self, error: S3ImportError, tries: int) -> float | None:
        """How long to wait before the next try; None when there is to be none."""
        if isinstance(error, Interrupted) and error.code == Interrupted.code:
            return 0.0  # this process was asked to go: the next one takes over at once
        if not isinstance(error, TemporaryFailure | InternalError) or tries >= self.limit:
            return None
        return min(self.first_seconds * 2.0 ** (tries - 1), self.most_seconds)
