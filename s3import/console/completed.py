"""Completion in shells: the command that prints its script, and the words that only the database knows."""

from __future__ import annotations

import re
import threading
from contextlib import suppress
from dataclasses import replace

import click
from click.shell_completion import BashComplete, CompletionItem, FishComplete, ZshComplete

from s3import.core.errors import S3ImportError

SHELLS = {"bash": BashComplete, "zsh": ZshComplete, "fish": FishComplete}
LOOKUP_SECONDS = 5.0  # a person waits at the prompt
IDS_OFFERED = 100
_NEEDS_NO_QUOTES = re.compile(r"[\w.@%+][\w.@%+-]*")


@click.command()
@click.argument("shell", type=click.Choice(list(SHELLS)))
@click.pass_context
def completion(context: click.Context, shell: str) -> None:
    """Print a script that makes a shell complete commands, options, run states, codes and account ids.

    \b
    bash (4.4 or later), in ~/.bashrc:  eval "$(s3import completion bash)"
    zsh, in ~/.zshrc after compinit:    eval "$(s3import completion zsh)"
    fish:  s3import completion fish > ~/.config/fish/completions/s3import.fish

    Account ids are those of the database in S3IMPORT_DATABASE that have a run, the 100 asked for last.
    """
    click.echo(SHELLS[shell](context.find_root().command, {}, "s3import", "_S3IMPORT_COMPLETE").source(), nl=False)


def account_ids(context: click.Context, incomplete: str) -> list[CompletionItem[str]]:
    """The ids that begin so, of the database that the command would use; none where it does not answer at once.

    Ids that a shell would take apart are left out: what is completed is run as it stands.
    """
    from s3import.core.settings import Settings
    from s3import.operations import composition

    def look_up() -> None:
        with suppress(S3ImportError):
            settings = Settings.from_environment()
            settings = replace(settings, database=context.params.get("database") or settings.database)
            with composition.opened(settings) as operations:
                found.extend(operations.account_ids(incomplete, IDS_OFFERED))

    found: list[str] = []
    lookup = threading.Thread(target=look_up, daemon=True)
    lookup.start()
    lookup.join(LOOKUP_SECONDS)
    return [CompletionItem(name) for name in found if _NEEDS_NO_QUOTES.fullmatch(name)]


def codes(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[str]:
    """The codes that begin so."""
    from s3import.core.explanations import explanations

    return [code for code in explanations() if code.startswith(incomplete)]


def schemas(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[str]:
    """The names of schemas that begin so."""
    from s3import.core.json_schemas import schema_titles

    return [name for name in schema_titles() if name.startswith(incomplete)]
