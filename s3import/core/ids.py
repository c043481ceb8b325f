"""What can be an id."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from s3import.core.errors import ConfigurationError
from s3import.core.records import MAX_ID_LENGTH

ACCOUNT = "{account}"
"""Stands for the account id in URIs and keys."""

CONTROL = ((0x00, 0x1F), (0x7F, 0x9F))
"""The control characters: code points from and to, both included."""
CONTROL_CHARACTERS = frozenset(chr(point) for first, last in CONTROL for point in range(first, last + 1))
NOT_IN_ACCOUNT_IDS = "/\\{}"  # an account's id is a name in paths
NO_ACCOUNT_IDS = (".", "..")

_CONTROL_CLASS = "".join(rf"\u{first:04x}-\u{last:04x}" for first, last in CONTROL)
ID_SCHEMA: Mapping[str, Any] = {
    "type": "string",
    "minLength": 1,
    "maxLength": MAX_ID_LENGTH,
    "pattern": f"^[^{_CONTROL_CLASS}]+$",
}
"""What `is_id` takes, as JSON Schema."""
ACCOUNT_ID_SCHEMA: Mapping[str, Any] = {
    **ID_SCHEMA,
    "pattern": f"^[^{_CONTROL_CLASS}{re.escape(NOT_IN_ACCOUNT_IDS)}]+$",
    "not": {"enum": [*NO_ACCOUNT_IDS]},
}
"""What `check_account_id` takes, as JSON Schema."""


def is_id(text: str) -> bool:
    """Whether `text` is an id: 1 to 255 code points that UTF-8 can hold, none of them a control character."""
    storable = not any("\ud800" <= character <= "\udfff" for character in text)
    return storable and 1 <= len(text) <= MAX_ID_LENGTH and CONTROL_CHARACTERS.isdisjoint(text)


def check_account_id(account_id: str) -> None:
    """Raise ConfigurationError unless `account_id` is an id that can stand safely as one name in a path."""
    if is_id(account_id) and not {*NOT_IN_ACCOUNT_IDS} & {*account_id} and account_id not in NO_ACCOUNT_IDS:
        return
    raise ConfigurationError(
        f"{account_id!a} cannot be an account id: it takes 1 to {MAX_ID_LENGTH} characters, no control characters, "
        r"none of / \ { }, and not . or ..; correct the account id"
    )
