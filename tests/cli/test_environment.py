"""Settings as files, shells and clusters leave them in the environment."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.cli.commands import ACCOUNT, Dump, command, environment, migrate, s3import
from tests.cli.test_streams import shell

pytestmark = pytest.mark.integration

ROOT = Path(__file__).parents[2]


def test_blanks_around_settings_do_not_count(dump: Dump, sqlite_url: str) -> None:
    """A value that ends in a newline, as one from a file does, is the value without it."""
    settings = {
        "ACCOUNT": f"{ACCOUNT}\n",
        "SOURCE": f"{dump.source}\r\n",
        "DATABASE": f" {sqlite_url}\n",
        "WORKERS": "2\n",
        "MAX_REJECTS": "5%\n",
        "RETRY_SECONDS": " 5 ",
        "PASS": "recent\n",
    }
    ended = s3import("migrate", **{f"S3IMPORT_{name}": value for name, value in settings.items()})
    assert (ended.status, ended.err) == (0, "")
    assert ended.out.startswith(f"account {ACCOUNT}: active-recent-only\n")


def test_blanks_alone_are_no_setting() -> None:
    """What was left blank was left out."""
    ended = s3import("migrate", "--account", ACCOUNT, S3IMPORT_SOURCE="\n")
    assert (ended.status, ended.err) == (
        2,
        "s3import: no source: give --source URI or set S3IMPORT_SOURCE [configuration]\n",
    )


@pytest.mark.parametrize("address", ["tcp://10.96.0.11:8080", "udp://10.96.0.11:8080\n"])
def test_the_address_of_a_service_is_no_port(address: str) -> None:
    """Beside a Kubernetes Service called s3import every pod has S3IMPORT_PORT and more like it, which do not count."""
    service = {"PORT": address, "SERVICE_HOST": "10.96.0.11", "PORT_8080_TCP": address, "PORT_8080_TCP_PORT": "8080"}
    ended = s3import("serve", "--host", "0.0.0.0", **{f"S3IMPORT_{name}": value for name, value in service.items()})
    assert ended.status == 2
    assert "S3IMPORT_API_TOKENS" in ended.err  # the next thing that is looked at


IDS = "\ufeff# the first ones\r\n\r\n  acme \r\n\t# not yet: nobody\r\nzeta\r\n".encode()


def test_accounts_from_a_file_as_people_write_it(dump: Dump, sqlite_url: str, tmp_path: Path) -> None:
    """A byte order mark, comments, blank lines, blanks around ids and CRLF do not count."""
    dump.fill("zeta")
    (ids := tmp_path / "ids.txt").write_bytes(IDS)
    ended = s3import("migrate", "--accounts-from", str(ids), "--source", dump.source, "--database", sqlite_url)
    assert ended.out.endswith("2 accounts: 2 done\n")


def test_accounts_from_stdin_as_people_write_it(dump: Dump, sqlite_url: str, tmp_path: Path) -> None:
    """The same where they come through a pipe."""
    dump.fill("zeta")
    (ids := tmp_path / "ids.txt").write_bytes(IDS)
    words = ["migrate", "--accounts-from", "-", "--source", dump.source, "--database", sqlite_url]
    assert shell(f"<{ids}", *words).stdout.endswith(b"2 accounts: 2 done\n")


def test_a_folder_that_is_gone_is_named(tmp_path: Path) -> None:
    """Names that are relative to it lead nowhere: 2."""
    ended = subprocess.run(
        ["bash", "-c", 'cd "$0" && rmdir "$0" && exec "$@"', tmp_path, *command("status", "--account", ACCOUNT)],
        env=environment(PYTHONPATH=str(ROOT)),
        capture_output=True,
        check=False,
    )
    assert (ended.returncode, b"the folder that s3import was started in is gone" in ended.stderr) == (2, True)


def test_an_id_that_the_shell_garbles_is_refused() -> None:
    """Where the locale knows no such letters; the message says what to set."""
    plain = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    ended = shell("", "status", "--account", "\u00fc\u20ac", **plain)
    assert (ended.returncode, b"set LC_ALL=C.UTF-8" in ended.stderr) == (2, True)


def test_no_retries_are_no_trouble(dump: Dump, sqlite_url: str) -> None:
    """S3IMPORT_RETRY_SECONDS=0 tries everything once, and nothing complains about that."""
    ended = migrate(dump, sqlite_url, S3IMPORT_RETRY_SECONDS="0", PYTHONWARNINGS="always")
    assert (ended.status, ended.err) == (0, "")
