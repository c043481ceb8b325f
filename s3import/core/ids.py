"""What can be an id."""

from __future__ import annotations

from s3import.core.errors import ConfigurationError
from s3import.core.records import MAX_ID_LENGTH

ACCOUNT = "{account}"
"""Stands for the account id in URIs and keys."""

CONTROL_CHARACTERS = frozenset(map(chr, (*range(0x20), *range(0x7F, 0xA0))))


def is_id(text: str) -> bool:
    """Whether `text` is an id: 1 to 255 code points that UTF-8 can hold, none of them a control character."""
    storable = not any("\ud800" <= character <= "\udfff" for character in text)
    return storable and 1 <= len(text) <= MAX_ID_LENGTH and CONTROL_CHARACTERS.isdisjoint(text)


def check_account_id(account_id: str) -> None:
    """Raise ConfigurationError unless `account_id` is an id that can stand safely as one name in a path."""
    if is_id(account_id) and not set("/\\{}") & set(account_id) and account_id not in (".", ".."):
        return
    raise ConfigurationError(
        f"{account_id!a} cannot be an account id: it takes 1 to {MAX_ID_LENGTH} characters, no control characters, "
        r"none of / \ { }, and not . or ..; correct the account id"
    )
