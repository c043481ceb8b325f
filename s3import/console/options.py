"""The options of the command line, and what they ask for. Each can come from the environment too."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

import click

from s3import.core.errors import ConfigurationError, RejectCode
from s3import.core.settings import BLANK, DECLARED, Number, variable_of

if TYPE_CHECKING:
    from s3import.core.records import Pass
    from s3import.core.settings import Settings
    from s3import.importing.requests import Request

Command = Callable[..., Any]
UNDECODED = re.compile("[\udc80-\udcff]")  # bytes that the locale could not decode


SERVICE_ADDRESS = ("tcp://", "udp://", "sctp://")
"""What Kubernetes puts into S3IMPORT_PORT in every pod next to a Service called s3import."""


class AccountId(click.types.StringParamType):
    """An id as it is. In the environment one stands on each line: an id may hold any other separator."""

    name = "id"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """The id, unless the locale could not decode it: then it would name no folder either."""
        if UNDECODED.search(value):
            self.fail("the encoding of this shell lacks letters of the id; set LC_ALL=C.UTF-8", param, ctx)
        return super().convert(value, param, ctx)

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[click.shell_completion.CompletionItem]:
        """The ids of the database that begin so."""
        from s3import.console.completed import account_ids

        return account_ids(ctx, incomplete)

    def split_envvar_value(self, rv: str) -> Sequence[str]:
        """The lines that are not blank."""
        return [line.removesuffix("\r") for line in rv.split("\n") if line.strip()]


class Option(click.Option):
    """An option whose value in the environment may have blanks around it; ids keep theirs, but for the line's end."""

    def resolve_envvar_value(self, ctx: click.Context) -> str | None:
        """The value in the environment; None where there is none, or only blanks."""
        value = super().resolve_envvar_value(ctx)
        if value is None or value.startswith(SERVICE_ADDRESS):
            return None
        return value.strip("\r\n" if isinstance(self.type, AccountId) else BLANK) or None


class SingleCommand(click.Command):
    """A command that takes an option once, unless it says that it takes several: the last one would win in silence."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        _, _, order = self.make_parser(ctx).parse_args(list(args))
        for parameter, times in Counter(order).items():
            if times > 1 and isinstance(parameter, click.Option) and not (parameter.multiple or parameter.is_flag):
                raise click.UsageError(f"{parameter.opts[0]} was given {times} times; give it once", ctx)
        return super().parse_args(ctx, args)


class Group(click.Group):
    """Commands that take options once."""

    command_class = SingleCommand
    group_class = type


def option(name: str, *declarations: str, **attributes: Any) -> Callable[[Command], Command]:
    """An option that can come from the environment too, `--max-rejects` as S3IMPORT_MAX_REJECTS, as its help says."""
    variable = variable_of(name.removeprefix("--").replace("-", "_"))
    return click.option(name, *declarations, cls=Option, envvar=variable, show_envvar=True, **attributes)


def setting(name: str, **attributes: Any) -> Callable[[Command], Command]:
    """An option that gives a setting; what it takes and its help are as the setting was declared."""
    declared = DECLARED[name.removeprefix("--").replace("-", "_")]
    default = f"  [default: {declared.default}]" if declared.default else ""
    if isinstance(declared.parse, Number):
        attributes["type"] = _range(declared.parse)
    return option(name, help=f"{declared.told[0].upper()}{declared.told[1:]}.{default}", **attributes)


def _range(number: Number) -> click.ParamType[Any]:
    kind = click.IntRange if number.kind is int else click.FloatRange
    return kind(number.least, number.most)


any_account = option("--account", type=AccountId(), help="The account's id.")
account = option("--account", type=AccountId(), required=True, help="The account's id.")
accounts = option(
    "--account",
    "accounts",
    type=AccountId(),
    multiple=True,
    help="The account's id. Repeat the option for more accounts; in the environment, write one id on each line.",
)
accounts_from = option(
    "--accounts-from",
    type=click.File(encoding="utf-8-sig"),
    metavar="FILE|-",
    help="Read more account ids from a file or from stdin, one on each line. Empty lines, lines that begin with #, and "
    "blanks around an id are ignored.",
)
all_accounts = option(
    "--all-accounts",
    is_flag=True,
    help="Import all accounts at the source: those with a folder in place of {account}, or with items in an export.",
)
source = setting("--source", metavar="URI")
mapping = setting("--mapping", type=click.Path(exists=True, dir_okay=False), metavar="FILE")
max_read_units = setting("--max-read-units", metavar="N")
role_arn = setting("--role-arn", metavar="ARN")
external_id = setting("--external-id", metavar="ID")


def role(command: Command) -> Command:
    """What a source in AWS takes."""
    return role_arn(external_id(command))


def items(command: Command) -> Command:
    """What a source in AWS takes, and one that holds items of DynamoDB."""
    for add in (max_read_units, external_id, role_arn, mapping):
        command = add(command)
    return command


recent_days = setting("--recent-days", metavar="DAYS")
database = setting("--database", metavar="URL")
pass_ = option(
    "--pass",
    "pass_",
    type=click.Choice(["recent", "remaining", "all", "delta"]),
    default="all",
    show_default=True,
    help="The pass; for `migrate`, `all` means recent and remaining.",
)
workers = setting("--workers")
max_rejects = setting("--max-rejects", metavar="N|P%")
files_to = setting("--files-to", metavar="URI")
files_in_flight = setting("--files-in-flight")
describe_calls = setting("--describe-calls", is_flag=True, default=None)


def imports(command: Command) -> Command:
    """What a process takes that imports whatever is queued."""
    for add in (describe_calls, files_in_flight, files_to, max_rejects, workers, database, recent_days, items, source):
        command = add(command)
    return command


again = option(
    "--again",
    is_flag=True,
    help="Read imported passes again, for instance after a repair: rejected records come in, newer records replace "
    "older rows, and nothing deleted comes back. Without --source, passes are read from where they were read last.",
)
dry_run = option("--dry-run", is_flag=True, help="Check the dump, and its account in the database, and write nothing.")
limit = option(
    "--limit", type=click.IntRange(1), default=20, show_default=True, help="How many items of each entity to show."
)
code = option("--code", type=click.Choice(sorted(RejectCode.ALL)), metavar="CODE", help="Only rejects with this code.")
entity = option(
    "--entity",
    type=click.Choice(["threads", "messages", "attachments", "deletions"]),
    help="Only rejects of this entity.",
)
at_most = option("--limit", type=click.IntRange(1), help="At most this many rejects.")
as_dump = option(
    "--as-dump",
    type=click.Path(file_okay=False),
    metavar="DIR",
    help="Write the rejects below this folder as a delta to be mended, instead of listing them.",
)
html = option(
    "--html",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Also write the certificate as a page to print or send.",
)
lists = option(
    "--lists",
    type=click.Path(file_okay=False, path_type=Path),
    metavar="DIR",
    help="Write the lists of parts and files into this folder, a JSON object on each line; the certificate has the "
    "SHA-256 of each list.",
)
as_verified = option(
    "--as-verified", is_flag=True, help="Certify what the last verification saw, even if rows have changed since."
)
check = option(
    "--check",
    type=click.File("rb"),
    metavar="FILE",
    help="Check a certificate, JSON or HTML, instead of making one; - is stdin.",
)
state = option(
    "--state",
    type=click.Choice(["queued", "running", "succeeded", "failed", "cancelled"]),
    help="Only accounts that have a pass in this state.",
)
watch = option("--watch", is_flag=True, help="Update the status until nothing is at work any more.")

messages = option(
    "--messages", type=click.IntRange(1, 10_000_000), default=100, show_default=True, help="How many messages to write."
)
faults = option("--faults", is_flag=True, help="Also write a record for each reject code, and the expected rejects.")

# What cannot be undone is said each time, and never by an environment.
yes = click.option("--yes", is_flag=True, help="Confirm; without it, the command only says what it would do.")
force = option("--force", is_flag=True, help="Reset the account even if it is active and people work in it.")
expired = option(
    "--expired", is_flag=True, help="All accounts whose last run ended more than S3IMPORT_RETENTION_DAYS ago."
)
detach = option(
    "--detach", is_flag=True, help="Only queue the accounts; `s3import serve` or the workers of a broker import them."
)
host = option("--host", default="127.0.0.1", show_default=True, help="The address to listen on.")
port = option("--port", type=click.IntRange(0, 65535), default=8080, show_default=True, help="The port to listen on.")


def files(command: Command) -> Command:
    """What the commands take that copy files of passes which are imported."""
    shown = json("Print one JSON document: how many were copied and how many failed.")
    for add in (shown, files_in_flight, files_to, database, items, source, account):
        command = add(command)
    return command


def json(text: str) -> Callable[[Command], Command]:
    """`--json`, with what it prints."""
    return option("--json", "as_json", is_flag=True, help=text)


# --- from options to settings and requests --------------------------------------------------------------------------


def settings_from(**options: Any) -> Settings:
    """The process's settings: the environment's, and what was given on the command line above it."""
    from dataclasses import replace

    from s3import.core.settings import Settings

    # Blanks count in what was typed: a folder's name may end with one. Those of the environment are gone by now.
    given: dict[str, Any] = {name: value for name, value in options.items() if value is not None}
    return replace(Settings.from_environment(), **given)


@dataclass(frozen=True, slots=True)
class Asked:
    """What `migrate` is asked for: which accounts, which of their passes, and how many rejects are too many."""

    accounts: tuple[str, ...]
    accounts_from: TextIO | None
    all_accounts: bool
    pass_: str
    max_rejects: str | None
    again: bool

    @classmethod
    def taken_from(cls, given: dict[str, Any]) -> Asked:
        """What is asked for, taken out of the options of the command; the settings are left."""
        return cls(**{each.name: given.pop(each.name) for each in fields(cls)})

    @property
    def passes(self) -> tuple[Pass, ...]:
        return passes_from(self.pass_)

    def named_accounts(self) -> tuple[str, ...] | None:
        """The accounts that are named one by one; None for all at the source. Raises: ConfigurationError."""
        named = (*self.accounts, *ids_in(self.accounts_from))
        if not self.all_accounts:
            return named
        if named:
            raise ConfigurationError(
                "--all-accounts leaves nobody to name: give it without --account and --accounts-from"
            )
        return None

    def requests(self, settings: Settings, accounts: Sequence[str]) -> list[Request]:
        """A request for each of `accounts`, repetitions left out. Raises: ConfigurationError."""
        from s3import.core.ids import check_account_id
        from s3import.core.limits import RejectLimit
        from s3import.importing.requests import Request

        if not settings.source and not self.again:
            raise ConfigurationError("no source: give --source URI or set S3IMPORT_SOURCE")
        if settings.source and len(set(accounts)) > 1 and "{account}" not in settings.source and not settings.mapping:
            raise ConfigurationError("a source for several accounts needs {account} where the account's id belongs")
        if not accounts:
            raise ConfigurationError(
                "no account: give --account ID, --accounts-from FILE or --all-accounts, or set S3IMPORT_ACCOUNT"
            )
        for account in accounts:
            check_account_id(account)
        limit = RejectLimit() if self.max_rejects is None else RejectLimit.parse(self.max_rejects)
        unique = dict.fromkeys(accounts)
        return [Request(account, self.passes, settings.source, limit, self.again) for account in unique]


def ids_in(file: TextIO | None) -> tuple[str, ...]:
    """The account ids in a file, one a line. Raises: ConfigurationError."""
    try:
        lines = file.read().split("\n") if file else []
    except UnicodeDecodeError as error:
        raise ConfigurationError("--accounts-from: the file is not UTF-8 text") from error
    ids = (line.strip(BLANK) for line in lines)
    return tuple(account_id for account_id in ids if account_id and not account_id.startswith("#"))


def passes_from(word: str) -> tuple[Pass, ...]:
    """The passes that `--pass` names, in the order in which they are imported; a delta only by its name."""
    from s3import.core.records import HALVES, Pass

    return HALVES if word == "all" else (Pass(word),)
