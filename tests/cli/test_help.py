"""What `--help` says, and what it costs."""

from __future__ import annotations

import subprocess
import sys

import click
import pytest
from click.testing import CliRunner

from s3import.cli import cli
from tests.cli.commands import Dump, environment, s3import

HEAVY = {"sqlalchemy", "pyarrow", "boto3", "rich", "alembic", "orjson", "stamina"}
COMMANDS = [
    *([name] for name in ("migrate", "status", "rejects", "verify", "reset", "purge", "export", "history")),
    *(["db", "init"], ["files", "copy"], ["files", "retry"], ["mapping", "try"]),
]


def _command(words: list[str]) -> click.Command:
    found: click.Command = cli
    for word in words:
        assert isinstance(found, click.Group)
        found = found.commands[word]
    return found


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_names_the_variable_of_every_option(words: list[str]) -> None:
    """Every option can come from the environment, and the help says from which variable; a --yes cannot."""
    text = "".join(CliRunner().invoke(cli, [*words, "--help"]).output.split())
    for option in _command(words).params:
        name = option.opts[0]
        if name == "--yes":
            assert option.envvar is None
            continue
        assert option.envvar == "S3IMPORT_" + name.removeprefix("--").replace("-", "_").upper()
        assert f"envvar:{option.envvar}" in text


def test_lists_the_options_of_the_contract() -> None:
    """No option of the contract is missing."""
    options = {" ".join(words): {option.opts[0] for option in _command(words).params} for words in COMMANDS}
    promised = {
        "db init": {"--database"},
        "migrate": {
            *("--account", "--source", "--database", "--pass", "--workers", "--max-rejects", "--dry-run", "--json"),
        },
        "status": {"--account", "--database", "--watch", "--json"},
        "rejects": {*("--account", "--database", "--pass", "--json", "--code", "--entity", "--limit", "--as-dump")},
        "verify": {"--account", "--source", "--database", "--json"},
        "reset": {"--account", "--yes"},
        "purge": {"--account"},
        "history": {"--account", "--database", "--json"},
    }
    assert {name: promised[name] - options[name] for name in promised if promised[name] - options[name]} == {}


def test_tells_the_exit_statuses() -> None:
    """The first help a person reads explains the exit statuses."""
    text = " ".join(CliRunner().invoke(cli, ["--help"]).output.split())
    assert "0 done or nothing to do; 1 failed; 2 wrong usage; 3 done, some records rejected; 4 another run" in text


def test_prints_an_options_help_word_for_word() -> None:
    """The exact help of `db init`."""
    assert CliRunner().invoke(cli, ["db", "init", "--help"], terminal_width=90).output == (
        "Usage: cli db init [OPTIONS]\n"
        "\n"
        "  Create the tables, or upgrade them to this version.\n"
        "\n"
        "Options:\n"
        "  --database URL  Re:amaze's database: an SQLAlchemy URL of PostgreSQL, MySQL, MariaDB or\n"
        "                  SQLite.  [default: sqlite:///reamaze.db]  [env var: S3IMPORT_DATABASE]\n"
        "  -h, --help      Show this message and exit.\n"
    )


@pytest.mark.integration
def test_help_imports_nothing_heavy() -> None:
    """`--help` answers at once: it waits for no database driver, Arrow or boto3."""
    code = "import sys; from s3import.cli import run; run(['migrate', '--help']); print(*sys.modules, file=sys.stderr)"
    ended = subprocess.run(
        [sys.executable, "-c", code], env=environment(), capture_output=True, check=True, timeout=120
    )
    assert not HEAVY & set(ended.stderr.decode().split())


@pytest.mark.integration
def test_takes_every_option_from_the_environment(dump: Dump, sqlite_url: str) -> None:
    """A command without any option does what the environment says."""
    variables = {
        "S3IMPORT_ACCOUNT": "acme",
        "S3IMPORT_SOURCE": dump.source,
        "S3IMPORT_DATABASE": sqlite_url,
        "S3IMPORT_PASS": "recent",
        "S3IMPORT_WORKERS": "1",
        "S3IMPORT_MAX_REJECTS": "0%",
        "S3IMPORT_JSON": "1",
    }
    assert s3import("migrate", **variables | {"S3IMPORT_DRY_RUN": "1"}).document["dry_run"] is True
    assert s3import("migrate", **variables).document["account_status"] == "active-recent-only"
    assert s3import("status", **variables | {"S3IMPORT_WATCH": "1"}).document["passes"]["remaining"] is None
    assert s3import("rejects", **variables).out == ""


@pytest.mark.integration
def test_takes_an_account_a_line_from_the_environment(dump: Dump, sqlite_url: str) -> None:
    """Several accounts of the environment stand on a line each: their ids may hold spaces and commas."""
    dump.fill("a b,c")
    variables = {"S3IMPORT_ACCOUNT": "acme\na b,c", "S3IMPORT_SOURCE": dump.source, "S3IMPORT_DATABASE": sqlite_url}
    out = s3import("migrate", **variables).out
    assert out.startswith("account acme: active; 5 read, 5 written\naccount a b,c: active; 5 read, 5 written\n")
    assert out.endswith("\n2 accounts: 2 done\n")


@pytest.mark.integration
def test_lists_the_rejects_of_all_passes_where_the_environment_says_so(dump: Dump, sqlite_url: str) -> None:
    """One environment serves all commands: `all` is a word that `rejects` knows too."""
    variables = {"S3IMPORT_DATABASE": sqlite_url, "S3IMPORT_SOURCE": dump.source, "S3IMPORT_PASS": "all"}
    dump.fill(bad=1)
    assert s3import("migrate", "--account", "acme", **variables).status == 3
    assert s3import("rejects", "--account", "acme", **variables).out.count("\n") == 1
