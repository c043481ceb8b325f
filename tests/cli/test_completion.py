"""`s3import completion`: real shells complete commands, options, account ids, run states and codes."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path

import pytest

from s3import.console import completed
from tests.cli.commands import Dump, environment, migrate, s3import
from tests.docs.programs import forked_programs

pytestmark = pytest.mark.integration

PROGRAMS = Path(sys.executable).parent
DANGEROUS = "$(reboot)"


@pytest.fixture
def known(dump: Dump, sqlite_url: str) -> str:
    """The URL of a database that knows three accounts, one of which would be a command."""
    for account in ("acme", "acorn", DANGEROUS):
        dump.fill(account)
        migrate(dump, sqlite_url, account=account)
    return sqlite_url


def program(name: str) -> str:
    """The shell; without it the test is skipped, or fails where CI is set."""
    found = shutil.which(name)
    if found is None:
        give_up = pytest.fail if os.environ.get("CI") == "true" else pytest.skip
        give_up(f"no {name}: install it to test the script for it")
    return found


def offered(shell: str, programs: Path, database_url: str, home: Path) -> list[set[str]]:
    """What a shell that sourced the script of `s3import completion` offers in each of the `CASES`."""
    asking = "\necho '==='\n".join(SHELLS[shell].offer.format(typed=typed, last=last) for typed, last, _ in CASES)
    variables = environment(S3IMPORT_DATABASE=database_url, HOME=str(home))
    variables["PATH"] = f"{programs}:{variables['PATH']}"
    asked = [program(shell), "-c", SHELLS[shell].source + asking]
    done = subprocess.run(asked, env=variables, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    return [set(words.split()) for words in done.stdout.split("===")]


@dataclass(frozen=True)
class Shell:
    """Source the script of `s3import completion`; print what it offers after some words."""

    source: str
    offer: str


BASH = Shell(
    """
eval "$(s3import completion bash)"
""",
    """
COMP_WORDS=({typed} "{last}")
COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1))
COMPREPLY=()
_s3import_completion s3import
printf '%s\\n' "${{COMPREPLY[@]}}"
""",
)
ZSH = Shell(
    """
autoload -Uz compinit && compinit -u
eval "$(s3import completion zsh)"
[[ -n $_comps[s3import] ]] || exit 1
_describe() { print -rl -- ${${(P)3}%%:*}; }
compadd() { print -rl -- ${(P)5}; }
""",
    """
words=({typed} "{last}") CURRENT=$#words
_s3import_completion
""",
)
FISH = Shell(
    """
s3import completion fish | source
""",
    """
complete -C '{typed} {last}' | string split -f1 \\t; true
""",
)
SHELLS = {"bash": BASH, "zsh": ZSH, "fish": FISH}
CASES = [
    ("s3import", "est", {"estimate"}),
    ("s3import status", "--acc", {"--account"}),
    ("s3import status --account", "ac", {"acme", "acorn"}),
    ("s3import status --state", "f", {"failed"}),
    ("s3import explain", "unknown_th", {"unknown_thread"}),
    ("s3import schema", "man", {"manifest"}),
]
"""What is typed before the last word, that word, and all that it may become."""


@pytest.mark.parametrize("shell", SHELLS)
def test_a_real_shell_completes(shell: str, known: str, tmp_path: Path) -> None:
    """The script that was printed, sourced by the shell, offers what there is: in bash by the installed program, in the
    others by one that starts quickly."""
    with nullcontext(PROGRAMS) if shell == "bash" else forked_programs(tmp_path) as programs:
        assert offered(shell, programs, known, tmp_path) == [wanted for _, _, wanted in CASES]


def test_an_id_that_a_shell_would_run_is_not_offered(known: str) -> None:
    """What is completed stands on the command line as it is."""
    offered = s3import("status", COMP_WORDS="s3import status --account ", COMP_CWORD="3", **_complete(known)).out
    assert offered.split() == ["plain,acorn", "plain,acme"]


@pytest.mark.parametrize("url", ["sqlite:////nowhere/at/all.db", "postgresql://127.0.0.1:1/none", "nonsense"])
def test_a_database_that_is_not_there_offers_nothing(url: str) -> None:
    """No error disturbs the prompt, and no file is made."""
    ended = s3import("status", COMP_WORDS="s3import status --account ", COMP_CWORD="3", **_complete(url))
    assert (ended.status, ended.out.strip(), ended.err) == (0, "", "")


def _complete(database_url: str) -> dict[str, str]:
    return {"_S3IMPORT_COMPLETE": "bash_complete", "S3IMPORT_DATABASE": database_url}


def test_says_how_to_install_it() -> None:
    """The help has a line for each shell."""
    text = s3import("completion", "--help").out
    for shell in completed.SHELLS:
        assert f"s3import completion {shell}" in text
    assert s3import("completion", "tcsh").status == 2
