"""Runs the commands that a page shows, one bash a page, and compares what they print with what the page shows.

A page shows a session as a block of `console`: commands behind `$`, their further lines behind `>`, and below each
command all that it prints, standard error included. `...` stands for anything. A command ends well unless the next one
is `echo $?`. What cannot be run here stands below a comment, `<!-- skip: next "reason" -->`.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import threading
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType

from sybil import Example
from sybil.document import Document
from sybil.parsers.markdown import CodeBlockParser, SkipParser

COMMAND_SECONDS = 60.0
ANYTHING = "..."
ASKS_FOR_STATUS = "echo $?"
END = "end-of-command"


@dataclass(slots=True)
class Command:
    """A command of a page, and what the page says it prints."""

    text: str
    shown: str = ""


def commands(block: str) -> Iterator[Command]:
    """The commands of a block. Raises: ValueError for a block that does not begin with one."""
    command = None
    for line in block.splitlines():
        if line.startswith("$ "):
            if command is not None:
                yield command
            command = Command(line[2:])
        elif command is None:
            raise ValueError(f"a session begins with `$ `, not with {line!r}")
        elif not command.shown and (line.startswith("> ") or line == ">"):
            command.text += f"\n{line[2:]}"
        else:
            command.shown += f"{line}\n"
    if command is not None:
        yield command


def matches(shown: str, printed: str) -> bool:
    """Whether a command printed what the page shows, white space at the ends of lines apart.

    A page shows two blanks for a tab.
    """
    pattern = ".*".join(re.escape(piece) for piece in _plain(shown).split(ANYTHING))
    return re.fullmatch(pattern, _plain(printed), re.DOTALL) is not None


def _plain(text: str) -> str:
    return "\n".join(line.rstrip().replace("\t", "  ") for line in text.splitlines())


@dataclass
class Bash:
    """A bash in `folder`; as a context manager it ends with all that it started.

    `instead`: what stands in a page, by what stands for it here, such as a port. It is replaced in commands, and put
    back in what they print.
    """

    folder: Path
    environment: Mapping[str, str]
    instead: Mapping[str, str] = field(default_factory=dict)

    def __enter__(self) -> Bash:
        self._process = subprocess.Popen(
            ["bash", "--noprofile", "--norc"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            cwd=self.folder,
            env=dict(self.environment),
            start_new_session=True,
            text=True,
            errors="replace",
        )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._signal(signal.SIGTERM)
        with suppress(subprocess.TimeoutExpired):
            self._process.communicate(timeout=30)  # until all that it started has gone too
        self._signal(signal.SIGKILL)
        self._process.wait()

    def _signal(self, number: int) -> None:
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, number)

    def run(self, command: str) -> tuple[int, str]:
        """Do what the command says; its exit status, and what it printed."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        for page, here in self.instead.items():
            command = command.replace(page, here)
        script = self.folder / ".command"
        script.write_text(command)
        end = f'status=$?; printf "\\n{END} %d\\n" $status; (exit $status)'
        self._process.stdin.write(f". {script} </dev/null; {end}\n")
        self._process.stdin.flush()
        alarm = threading.Timer(COMMAND_SECONDS, self._signal, (signal.SIGKILL,))
        alarm.start()
        printed: list[str] = []
        try:
            while not (line := self._process.stdout.readline()).startswith(END):
                if not line:
                    raise AssertionError(f"bash ended with: {command}\n{''.join(printed)}")
                printed.append(line)
        finally:
            alarm.cancel()
        return int(line.split()[1]), self._as_on_the_page("".join(printed).removesuffix("\n"))

    def _as_on_the_page(self, text: str) -> str:
        for page, here in self.instead.items():
            text = text.replace(here, page)
        return text

    def __call__(self, example: Example) -> str | None:
        """Evaluate a block of a page; what is not as the page says."""
        found = list(commands(example.parsed))
        followers = [*(command.text for command in found[1:]), ""]
        for command, follower in zip(found, followers, strict=True):
            status, printed = self.run(command.text)
            if not matches(command.shown, printed):
                return f"$ {command.text}\nshown:\n{command.shown}\nprinted:\n{printed}"
            if status and follower != ASKS_FOR_STATUS:
                return f"$ {command.text}\nended with {status}, which the page does not show:\n{printed}"
        return None


def parsed(page: Path, evaluate: Bash | None = None) -> Document:
    """The page with its sessions as examples."""
    return Document.parse(str(page), CodeBlockParser("console", evaluate), SkipParser())
