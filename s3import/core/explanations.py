"""What each code of a reject, an error and an answer of the HTTP API means, why it comes and what to do.

One catalogue, `explanations.toml`, for the command, the docs, the notices and the problem documents. It is read when
it is first asked for.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cache
from importlib.resources import files

from s3import.core.errors import ConfigurationError

DOCUMENTATION = "https://reamaze-s3import.readthedocs.io/en/latest/"
"""Where the documentation of this project is published; pyproject.toml names it too."""

GROUPS = {
    "rejects": "Rejects: a record is set aside",
    "errors": "Errors: a command or a run ends",
    "answers": "Answers: the HTTP API refuses a request",
}
"""The groups of codes, in their order, with their titles."""


@dataclass(frozen=True, slots=True)
class Explanation:
    """A code explained, each text in plain sentences with code in backticks.

    `group`: one of `GROUPS`; `meaning`: one sentence of at most 100 characters; `example`: of a reject a record, of an
    error how it is printed, of an answer the request.
    """

    code: str
    group: str
    meaning: str
    cause: str
    cure: str
    example: str

    @property
    def url(self) -> str:
        """Where the documentation explains the code."""
        return f"{DOCUMENTATION}guides/errors.html#{self.code.replace('_', '-')}"


@cache
def explanations() -> Mapping[str, Explanation]:
    """Every code with its explanation, group by group."""
    catalogue = tomllib.loads(files("s3import.core").joinpath("explanations.toml").read_text("utf-8"))
    return {code: Explanation(code, group, **texts) for group in GROUPS for code, texts in catalogue[group].items()}


def explain(code: str) -> Explanation:
    """The explanation of a code, however it is written. Raises: ConfigurationError, with the codes that look alike."""
    name = code.strip().strip("[]`").lower().replace("-", "_").replace(" ", "_")
    found = explanations().get(name)
    if found is None:
        alike = get_close_matches(name, explanations(), n=3, cutoff=0.75)
        hint = f"did you mean {' or '.join(alike)}?" if alike else "`s3import explain` lists all codes"
        raise ConfigurationError(f"there is no code {code}; {hint}")
    return found
