"""The one configuration of a process: made at the edge, frozen, handed down."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeVar

from s3import.errors import ConfigurationError
from s3import.records import Choices

T = TypeVar("T", int, float)

DEFAULT_DATABASE = "sqlite:///reamaze.db"
LEASE_SECONDS = 15.0
BLOCK_BYTES = 8 * 1024 * 1024  # of decompressed text in a batch: more would be faster still, and take over 400 MB


@dataclass(frozen=True, slots=True)
class Settings:
    """What a run needs to know besides its account.

    `source` may hold ``{account}``; with a `mapping` (a file) it holds items of DynamoDB, and `recent_days` divide them
    into passes; of tables at most `max_read_units` a second are read. Whatever is read in AWS is read in the role
    `role_arn`, if one is given; `workers` None means a number that fits the machine and the database;
    a run's lease ends `lease_seconds` after its last heartbeat; temporary failures are tried again for
    `retry_seconds` in all. Where stderr is no terminal, a line every `progress_seconds` tells how far a run is.
    The bytes of files go to `files_to`, which may hold ``{account}`` (None: nowhere), `files_in_flight` at a time.
    `max_rejects` (``N`` or ``P%``) holds for runs that nobody watches. With a `broker` (a Celery URL) work is spread
    over machines by its `queue`; they then use at most `connections_per_account` connections of the database for one
    account's parts and at most `connections` for all. Requests over HTTP carry one of `api_tokens` (none: no token is
    asked for), and may name a source below `source` or below one of `allowed_sources`. Word of runs goes to a webhook
    of Slack and to a callback, signed with its secret, each where it is given. What is kept of a migration that is over
    is forgotten after `retention_days` (None: never).
    """

    source: str | None = None
    mapping: str | None = None
    recent_days: float = 30.0
    max_read_units: float | None = None
    role_arn: str | None = None
    external_id: str | None = field(default=None, repr=False)
    database: str = DEFAULT_DATABASE
    workers: int | None = None
    retry_seconds: float = 120.0
    progress_seconds: float = 5.0
    lease_seconds: float = LEASE_SECONDS
    heartbeat_seconds: float = 2.0
    block_bytes: int = BLOCK_BYTES
    max_rejects: str | None = None
    files_to: str | None = None
    files_in_flight: int = 32
    describe_calls: bool = False
    broker: str | None = field(default=None, repr=False)
    queue: str = "s3import"
    connections: int = 64
    connections_per_account: int = 8
    api_tokens: tuple[str, ...] = field(default=(), repr=False)
    allowed_sources: tuple[str, ...] = ()
    slack_webhook_url: str | None = field(default=None, repr=False)
    callback_url: str | None = field(default=None, repr=False)
    callback_secret: str | None = field(default=None, repr=False)
    retention_days: float | None = None

    @property
    def choices(self) -> Choices:
        """What a run that begins now is to do beside importing records."""
        return Choices(self.files_to, self.describe_calls)

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] | None = None) -> Settings:
        """Read the ``S3IMPORT_*`` variables, without the blanks and the line's end that may be around a value.

        Raises: ConfigurationError naming the variable that is wrong.
        """
        given = os.environ if environment is None else environment
        env = {name: value.strip() for name, value in given.items() if name.startswith("S3IMPORT_")}
        workers, days = env.get("S3IMPORT_WORKERS"), env.get("S3IMPORT_RETENTION_DAYS")
        units = env.get("S3IMPORT_MAX_READ_UNITS")
        return cls(
            source=env.get("S3IMPORT_SOURCE") or None,
            mapping=env.get("S3IMPORT_MAPPING") or None,
            max_read_units=_number("S3IMPORT_MAX_READ_UNITS", units, float, 1) if units else None,
            role_arn=env.get("S3IMPORT_ROLE_ARN") or None,
            external_id=env.get("S3IMPORT_EXTERNAL_ID") or None,
            recent_days=_number("S3IMPORT_RECENT_DAYS", env.get("S3IMPORT_RECENT_DAYS") or "30", float, 0),
            database=env.get("S3IMPORT_DATABASE") or DEFAULT_DATABASE,
            workers=_number("S3IMPORT_WORKERS", workers, int, 1) if workers else None,
            retry_seconds=_number("S3IMPORT_RETRY_SECONDS", env.get("S3IMPORT_RETRY_SECONDS") or "120", float, 0),
            progress_seconds=_number(
                "S3IMPORT_PROGRESS_SECONDS", env.get("S3IMPORT_PROGRESS_SECONDS") or "5", float, 0
            ),
            block_bytes=_number("S3IMPORT_BLOCK_BYTES", env.get("S3IMPORT_BLOCK_BYTES") or str(BLOCK_BYTES), int, 1),
            max_rejects=env.get("S3IMPORT_MAX_REJECTS") or None,
            files_to=env.get("S3IMPORT_FILES_TO") or None,
            files_in_flight=_number("S3IMPORT_FILES_IN_FLIGHT", env.get("S3IMPORT_FILES_IN_FLIGHT") or "32", int, 1),
            describe_calls=_truth("S3IMPORT_DESCRIBE_CALLS", env.get("S3IMPORT_DESCRIBE_CALLS") or "0"),
            broker=env.get("S3IMPORT_BROKER") or None,
            queue=env.get("S3IMPORT_QUEUE") or "s3import",
            connections=_number("S3IMPORT_CONNECTIONS", env.get("S3IMPORT_CONNECTIONS") or "64", int, 1),
            connections_per_account=_number(
                "S3IMPORT_CONNECTIONS_PER_ACCOUNT", env.get("S3IMPORT_CONNECTIONS_PER_ACCOUNT") or "8", int, 1
            ),
            api_tokens=_tokens("S3IMPORT_API_TOKENS", env.get("S3IMPORT_API_TOKENS") or ""),
            allowed_sources=_listed(env.get("S3IMPORT_ALLOWED_SOURCES") or ""),
            slack_webhook_url=env.get("S3IMPORT_SLACK_WEBHOOK_URL") or None,
            callback_url=env.get("S3IMPORT_CALLBACK_URL") or None,
            callback_secret=env.get("S3IMPORT_CALLBACK_SECRET") or None,
            retention_days=_number("S3IMPORT_RETENTION_DAYS", days, float, 0) if days else None,
        )


def _number(name: str, text: str, kind: type[T], least: int) -> T:
    try:
        value = kind(text)
    except ValueError:
        raise ConfigurationError(f"{name} must be a number, not {text!r}") from None
    if not least <= value < math.inf:
        raise ConfigurationError(f"{name} must be a finite number of at least {least}, not {text}")
    return value


def _truth(name: str, text: str) -> bool:
    """What a flag says, in the words that the command line takes."""
    if text.lower() not in (*_YES, *_NO):
        raise ConfigurationError(f"{name} must be 1 or 0, not {text!r}")
    return text.lower() in _YES


_YES, _NO = ("1", "true", "t", "yes", "y", "on"), ("0", "false", "f", "no", "n", "off")


def _listed(text: str) -> tuple[str, ...]:
    return tuple(word for word in map(str.strip, text.split(",")) if word)


def _tokens(name: str, text: str) -> tuple[str, ...]:
    """Tokens as a header can carry them. One that is wrong is not repeated in the message."""
    tokens = _listed(text)
    if text.strip() and not tokens:
        raise ConfigurationError(f"{name} holds no token; leave it unset to serve this machine alone without one")
    if not all(re.fullmatch(r"[!-~]+", token) for token in tokens):
        raise ConfigurationError(f"{name} must be printable ASCII without spaces, tokens separated by commas")
    return tokens
