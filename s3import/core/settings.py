"""The one configuration of a process: made at the edge, frozen, handed down.

Each setting is declared once. Its variable is S3IMPORT_ and its name; options of the command line take their help from
here, and docs/reference/settings.md its table.
"""

from __future__ import annotations

import math
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import Field, dataclass, field, fields
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from s3import.core.errors import ConfigurationError

if TYPE_CHECKING:  # records bring Arrow along, which `--help` need not wait for
    from s3import.core.records import RunOptions

LEASE_SECONDS = 15.0
BLOCK_BYTES = 8 * 1024 * 1024  # of decompressed text in a batch: more would be faster still, and take over 400 MB
BLANK = " \t\r\n"  # around a value: left there by an editor, a secret's file or a shell
PREFIX = "S3IMPORT_"

Parse = Callable[[str, str], Any]  # (variable, text): the value. Raises: ConfigurationError naming the variable


# --- how a value is written -----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Number:
    """A finite number of that kind, from `least` to `most`."""

    kind: type[int] | type[float]
    least: int = 0
    most: int | None = None

    def __call__(self, variable: str, text: str) -> int | float:
        try:
            value = self.kind(text)
        except ValueError:
            raise ConfigurationError(f"{variable} must be a number, not {text!r}") from None
        if not self.least <= value < math.inf or value > (self.most or value):
            most = f" and at most {self.most}" if self.most else ""
            raise ConfigurationError(f"{variable} must be a finite number of at least {self.least}{most}, not {text}")
        return value


def _text(_: str, text: str) -> str:
    return text


class Keys(StrEnum):
    """How foreign keys are checked while rows go in: one by one, or those of a whole batch by one statement."""

    AUTO = "auto"
    ROWS = "rows"
    SETS = "sets"


def _keys(variable: str, text: str) -> Keys:
    try:
        return Keys(text.lower())
    except ValueError:
        raise ConfigurationError(f"{variable} must be one of {', '.join(Keys)}, not {text!r}") from None


def _truth(variable: str, text: str) -> bool:
    """What a flag says, in the words that the command line takes."""
    if text.lower() not in (*_YES, *_NO):
        raise ConfigurationError(f"{variable} must be 1 or 0, not {text!r}")
    return text.lower() in _YES


_YES, _NO = ("1", "true", "t", "yes", "y", "on"), ("0", "false", "f", "no", "n", "off")


def _listed(_: str, text: str) -> tuple[str, ...]:
    return tuple(word for word in map(str.strip, text.split(",")) if word)


def _tokens(variable: str, text: str) -> tuple[str, ...]:
    """Tokens as a header can carry them. One that is wrong is not repeated in the message."""
    tokens = _listed(variable, text)
    if not tokens:
        raise ConfigurationError(f"{variable} holds no token; leave it unset to serve this machine alone without one")
    if not all(re.fullmatch(r"[!-~]+", token) for token in tokens):
        raise ConfigurationError(f"{variable} must be printable ASCII without spaces, tokens separated by commas")
    return tokens


# --- what can be set ------------------------------------------------------------------------------------------------


def _setting(told: str, default: Any = None, parse: Parse = _text, *, shown: str = "", secret: bool = False) -> Any:
    """A setting: what it is, in words for people, and how its variable is read. `shown`: the default, where the value
    itself would say nothing."""
    return field(default=default, repr=not secret, metadata={"told": told, "parse": parse, "shown": shown})


@dataclass(frozen=True, slots=True)
class Settings:
    """What a run needs to know besides its account. None: nothing, nowhere, never or no limit, as the setting says."""

    source: str | None = _setting("where dumps are: s3://bucket/prefix/{account}, file:///dir/{account} or a path")
    mapping: str | None = _setting("a TOML file: how DynamoDB's items become records; the source then holds items")
    recent_days: float = _setting(
        "with a mapping: the recent pass has the records created in this time before the first run",
        30.0,
        Number(float, 0, 36500),
    )
    max_read_units: float | None = _setting(
        "read units a second of DynamoDB's tables, for all parts together",
        None,
        Number(float, 1),
        shown="no limit",
    )
    role_arn: str | None = _setting("a role of another AWS account, to read the source with")
    external_id: str | None = _setting("the external id that this role's trust policy requires", secret=True)
    database: str = _setting(
        "Re:amaze's database: an SQLAlchemy URL of PostgreSQL, MySQL, MariaDB or SQLite", "sqlite:///reamaze.db"
    )
    workers: int | None = _setting(
        "parts imported at the same time; always 1 on SQLite",
        None,
        Number(int, 1, 256),
        shown="one a processor, 2 to 8",
    )
    retry_seconds: float = _setting("how long a temporary failure is retried", 120.0, Number(float))
    database_seconds: float = _setting(
        "how long one statement may go without an answer from the database", 30.0, Number(float, 1)
    )
    keys: str = _setting(
        "how PostgreSQL checks foreign keys: in sets, row by row, or in sets where it can (docs/guides/databases.md)",
        Keys.AUTO,
        _keys,
    )
    progress_seconds: float = _setting(
        "when stderr is not a terminal: how often a line shows the progress", 5.0, Number(float)
    )
    lease_seconds: float = LEASE_SECONDS
    heartbeat_seconds: float = 2.0
    block_bytes: int = _setting("decompressed text in a batch", BLOCK_BYTES, Number(int, 1))
    max_rejects: str | None = _setting("fail a pass that has more rejects than this, N or P%", shown="any number")
    keep_raw: int = _setting("the number of rejects of a run that are kept with their raw text", 100_000, Number(int))
    files_to: str | None = _setting(
        "where files behind attachments and recordings are copied to: s3://bucket/prefix/{account} or a folder",
        shown="files are not copied",
    )
    files_in_flight: int = _setting("files copied at the same time", 32, Number(int, 1, 512))
    describe_calls: bool = _setting("give calls without a body a body made from their telephony", False, _truth)
    broker: str | None = _setting("spread parts over workers: amqp://…, redis://… or sqs://", secret=True)
    queue: str = _setting("the queue's name at the broker; the same everywhere", "s3import")
    connections: int = _setting("with a broker: bundles of parts and plans at work, in all", 64, Number(int, 1))
    connections_per_account: int = _setting("with a broker: the same, of one account", 8, Number(int, 1))
    api_tokens: tuple[str, ...] = _setting(
        "bearer tokens, separated by commas; without tokens, only loopback is served", (), _tokens, secret=True
    )
    allowed_sources: tuple[str, ...] = _setting(
        "further sources that a request may name, separated by commas", (), _listed
    )
    slack_webhook_url: str | None = _setting("an incoming webhook that is notified of every run", secret=True)
    callback_url: str | None = _setting("a URL of Conversations that is notified of every run", secret=True)
    callback_secret: str | None = _setting("whsec_…: signs what goes to the callback (Standard Webhooks)", secret=True)
    certificate_secret: str | None = _setting(
        "signs certificates: any text of 24 characters or more",
        None,
        shown="that of the callback",
        secret=True,
    )
    retention_days: float | None = _setting(
        "purge what is kept of an account this many days after its last run", None, Number(float), shown="never"
    )

    @property
    def run_options(self) -> RunOptions:
        """What a run that begins now does besides importing records."""
        from s3import.core.records import RunOptions

        return RunOptions(self.files_to, self.describe_calls)

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] | None = None) -> Settings:
        """Read the ``S3IMPORT_*`` variables, without the blanks and the line's end that may be around a value.

        Raises: ConfigurationError naming the variable that is wrong.
        """
        given = os.environ if environment is None else environment
        texts = {setting.name: given.get(setting.variable, "").strip() for setting in DECLARED.values()}
        return cls(
            **{name: DECLARED[name].parse(DECLARED[name].variable, text) for name, text in texts.items() if text}
        )


@dataclass(frozen=True, slots=True)
class Declared:
    """One setting as it was declared; `default` is in words for people, empty where nothing holds."""

    name: str
    told: str
    parse: Parse
    default: str

    @property
    def variable(self) -> str:
        """The environment's name for it."""
        return variable_of(self.name)


def variable_of(name: str) -> str:
    """The environment's name for an option or a setting: S3IMPORT_MAX_REJECTS for `max_rejects`."""
    return PREFIX + name.upper()


def _declared(found: Field[Any]) -> Declared:
    default = found.default
    plain = "" if default in (None, (), False) else f"{default:g}" if isinstance(default, float) else str(default)
    metadata = found.metadata
    return Declared(found.name, metadata["told"], metadata["parse"], metadata["shown"] or plain)


DECLARED = {found.name: _declared(found) for found in fields(Settings) if found.metadata}
"""The settings that can come from the environment, by name, in the order of `Settings`."""
