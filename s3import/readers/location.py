"""From the URI an operator writes to the source of one account's dump."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote

from s3import.errors import ConfigurationError
from s3import.readers.source import Patience, Role, Source
from s3import.records import check_account_id

ACCOUNT = "{account}"
ANYBODY = "anybody"  # stands for an account where a source is opened that is not one account's


@dataclass(frozen=True, slots=True)
class Location:
    """Where an account's dump lies: the whole URI for people, and the part behind the scheme, the account filled in."""

    uri: str
    path: str
    patience: Patience
    connections: int
    role: Role | None = None


def open_source(
    uri: str,
    account_id: str,
    *,
    patience: Patience | None = None,
    connections: int = 32,
    role: Role | None = None,
) -> Source:
    """The dump of `account_id` at `uri`, in which ``{account}`` stands for the account id; nothing is contacted yet.

    `connections`: at most so many bodies are read at once without waiting for each other (at least the workers).
    Raises: ConfigurationError when the id or the URI cannot be one, or the credentials' configuration is broken.
    """
    check_account_id(account_id)
    scheme, rest = split_scheme(uri)
    # Percent-decoding comes before the account id, which is literal.
    path = (unquote(rest) if scheme == "file" else rest).replace(ACCOUNT, account_id)
    where = Location(uri.replace(ACCOUNT, account_id), path, patience or Patience(), connections, role)
    return SCHEMES[scheme](where)


def account_folders(uri: str, **access: Any) -> set[str]:
    """The ids for which there is a folder at the place of ``{account}`` in `uri`; `access`: as for `open_source`.

    Raises: ConfigurationError, also where the place is no folder's; what listing raises.
    """
    if split_scheme(uri)[0] == "dynamodb":
        raise ConfigurationError(f"the source {uri} names what the mapping names: give just dynamodb:")
    before, _, after = uri.partition(ACCOUNT)
    parent, begin = before[: before.rfind("/") + 1], before[before.rfind("/") + 1 :]
    end = after.partition("/")[0]
    names = open_source(parent or ".", ANYBODY, **access).folders(begin)
    return {name[len(begin) : len(name) - len(end)] for name in names if name.endswith(end)}


def split_scheme(uri: str) -> tuple[str, str]:
    """The scheme (lower case, "" for a plain path) and what follows it. Raises: ConfigurationError when unknown."""
    found = re.match(r"([A-Za-z][A-Za-z0-9+.-]*):", uri)
    if found and found[1].lower() in SCHEMES:
        return found[1].lower(), uri[found.end() :]
    if "://" in uri:
        raise ConfigurationError(f"the source {uri} is of no kind that can be read; give one of {_KINDS}")
    return "", uri


def _open_folder(location: Location) -> Source:
    from s3import.readers.folder import FolderSource

    if not location.path or "\0" in location.path:
        raise ConfigurationError(f"the source {location.uri!r} names no folder; give one of {_KINDS}")
    return FolderSource(location.path, location.uri)


def _open_file_uri(location: Location) -> Source:
    found = re.fullmatch(r"(?://(?:localhost)?|(?!//))(/.*)", location.path, re.DOTALL | re.IGNORECASE)
    if not found:
        raise ConfigurationError(
            f"the source {location.uri} names no folder of this machine; give file:///dir/{ACCOUNT}"
        )
    return _open_folder(Location(location.uri, found[1], location.patience, location.connections))


def _open_s3(location: Location) -> Source:
    # boto3 takes a third of a second to import: only those who read from S3 pay for it.
    from s3import.readers.s3 import S3Source, connect

    found = re.fullmatch(r"//(arn:[^/]+/[^/]+|[^/]+)(?:/(.*))?", location.path, re.DOTALL)
    if not found:
        raise ConfigurationError(f"the source {location.uri} names no bucket; give s3://bucket/prefix/{ACCOUNT}")
    client = connect(location.patience, location.connections, location.role)
    folder = found[2] or ""
    return S3Source(client, found[1], folder, uri=location.uri, patience=location.patience, role=location.role)


def _open_tables(location: Location) -> Source:
    raise ConfigurationError(f"the source {location.uri} needs a mapping that says which tables: give --mapping FILE")


SCHEMES: dict[str, Callable[[Location], Source]] = {
    "s3": _open_s3,
    "file": _open_file_uri,
    "dynamodb": _open_tables,
    "": _open_folder,
}
_KINDS = f"s3://bucket/prefix/{ACCOUNT}, file:///dir/{ACCOUNT}, dynamodb: or a plain path"
