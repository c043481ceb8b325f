"""The JSON Schemas of what is read and of what is given, as files of the package; `docs/schemas.py` makes them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from difflib import get_close_matches
from functools import cache
from importlib.resources import files

from s3import.core.errors import ConfigurationError
from s3import.core.explanations import DOCUMENTATION

SCHEMA_NAMES = (
    "thread",
    "message",
    "attachment",
    "deletion",
    "manifest",
    "account",
    "status",
    "callback",
    "certificate",
)
"""What there are schemas of: the records of a dump, its documents, and what s3import tells."""


def url_of(name: str) -> str:
    """The schema's `$id`, where the documentation publishes it."""
    return f"{DOCUMENTATION}schemas/{name}.json"


@cache
def schema_text(name: str) -> str:
    """The JSON Schema of that name. Raises: ConfigurationError, with the names that look alike."""
    if name not in SCHEMA_NAMES:
        alike = get_close_matches(name.removesuffix(".json"), SCHEMA_NAMES, n=1)
        hint = f"did you mean {alike[0]}?" if alike else f"there are {', '.join(SCHEMA_NAMES)}"
        raise ConfigurationError(f"there is no schema {name}; {hint}")
    return files("s3import.core").joinpath(f"schemas/{name}.json").read_text("utf-8")


def schema_titles() -> Mapping[str, str]:
    """What each schema describes, by its name."""
    return {name: json.loads(schema_text(name))["title"] for name in SCHEMA_NAMES}
