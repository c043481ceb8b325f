"""From the URI an operator writes to the source of one account's dump."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote

from s3import.core.errors import ConfigurationError, DumpNotFound
from s3import.core.ids import ACCOUNT, check_account_id
from s3import.readers.sources.source import RetryPolicy, Role, Source

ANYBODY = "anybody"  # stands for an account where a source is opened that is not one account's


@dataclass(frozen=True, slots=True)
class Location:
    """Where an account's dump lies: the whole URI for people, and what follows its scheme, the account filled in."""

    uri: str
    path: str
    policy: RetryPolicy
    connections: int
    role: Role | None = None


def open_source(
    uri: str,
    account_id: str,
    *,
    policy: RetryPolicy | None = None,
    connections: int = 32,
    role: Role | None = None,
) -> Source:
    """The dump of `account_id` at `uri`, in which ``{account}`` stands for the account id; nothing is contacted yet.

    `connections`: at most so many bodies are read at once without waiting for each other (at least the workers).
    Raises: ConfigurationError when the id or the URI cannot be one, or the credentials' configuration is broken.
    """
    uri = resolve(uri, account_id)
    scheme, rest = split_scheme(uri)
    return SCHEMES[scheme](Location(uri, rest, policy or RetryPolicy(), connections, role))


def resolve(uri: str, account_id: str) -> str:
    """The source of one account, which opens the same place whenever and from wherever it is opened again.

    ``{account}`` becomes the account id: literally, but percent-encoded in ``file:`` URIs. A relative path becomes an
    absolute one. What was resolved before stays as it is.
    Raises: ConfigurationError, when the id or the URI cannot be one.
    """
    check_account_id(account_id)
    scheme, _ = split_scheme(uri)
    filled = uri.replace(ACCOUNT, quote(account_id, safe="") if scheme == "file" else account_id)
    return str(Path.cwd() / filled) if filled and scheme == "" and not filled.startswith("/") else filled


def _decoded(scheme: str, text: str) -> str:
    """What a part of a URI stands for; bytes that are no UTF-8 as the file system's functions take them."""
    return unquote(text, errors="surrogateescape") if scheme == "file" else text


def account_folders(uri: str, **access: Any) -> set[str]:
    """The ids for which there is a folder at the place of ``{account}`` in `uri`; `access`: as for `open_source`.

    Raises: ConfigurationError, also where the place is no folder's; what listing raises.
    """
    scheme, _ = split_scheme(uri)
    if scheme == "dynamodb":
        raise ConfigurationError(f"the source {uri} names what the mapping names: give just dynamodb:")
    before, _, after = uri.partition(ACCOUNT)
    parent, begin = before[: before.rfind("/") + 1], _decoded(scheme, before[before.rfind("/") + 1 :])
    end = _decoded(scheme, after.partition("/")[0])
    names = open_source(parent or ".", ANYBODY, **access).folders(begin)
    return {name[len(begin) : len(name) - len(end)] for name in names if name.endswith(end)}


def split_scheme(uri: str) -> tuple[str, str]:
    """The scheme (lower case, "" for a plain path) and what follows it. Raises: ConfigurationError when unknown."""
    found = re.match(r"([A-Za-z][A-Za-z0-9+.-]*):", uri)
    if found and found[1].lower() in SCHEMES:
        return found[1].lower(), uri[found.end() :]
    if found and uri.startswith("//", found.end()):
        raise ConfigurationError(f"the source {uri} is of no kind that can be read; give one of {_KINDS}")
    return "", uri


def is_table(uri: str) -> bool:
    """Whether it is the URI of tables."""
    scheme, rest = split_scheme(uri)
    if scheme == "dynamodb" and rest.strip("/"):
        raise ConfigurationError(f"the source {uri} names what the mapping names: give just dynamodb:")
    return scheme == "dynamodb"


def require_deltas(uri: str) -> None:
    """Raises: DumpNotFound, where a source can have no deltas, before anything is kept of the request."""
    if is_table(uri):
        raise no_deltas()


def no_deltas() -> DumpNotFound:
    """What is raised where tables are asked what changed in them."""
    return DumpNotFound(
        "tables do not tell what changed in them; export them incrementally (`aws dynamodb "
        "export-table-to-point-in-time --export-type INCREMENTAL_EXPORT`), and give those exports as --source"
    )


def _open_folder(location: Location) -> Source:
    from s3import.readers.sources.folder import FolderSource

    if not location.path or "\0" in location.path:
        raise ConfigurationError(f"the source {location.uri!r} names no folder; give one of {_KINDS}")
    return FolderSource(location.path, location.uri)


def _open_file_uri(location: Location) -> Source:
    return _open_folder(replace(location, path=folder_of(location.uri)))


def folder_of(uri: str) -> str:
    """The folder that a resolved path or ``file:`` URI names. Raises: ConfigurationError, when it names none here."""
    scheme, rest = split_scheme(uri)
    if scheme == "":
        return rest
    found = re.fullmatch(r"(?://(?:localhost)?|(?!//))(/.*)", _decoded(scheme, rest), re.DOTALL | re.IGNORECASE)
    if not found:
        raise ConfigurationError(f"the source {uri} names no folder of this machine; give file:///dir/{ACCOUNT}")
    return found[1]


def bucket_and_folder(uri: str) -> tuple[str, str]:
    """The bucket, or the ARN of an access point, that a resolved ``s3:`` URI names, and the folder in it ("": all).

    Raises: ConfigurationError, when it names no bucket.
    """
    _, rest = split_scheme(uri)
    found = re.fullmatch(r"//(arn:[^/]+/[^/]+|[^/]+)(?:/(.*))?", rest, re.DOTALL)
    if not found:
        raise ConfigurationError(f"the source {uri} names no bucket; give s3://bucket/prefix/{ACCOUNT}")
    return found[1], found[2] or ""


def _open_s3(location: Location) -> Source:
    # boto3 takes a third of a second to import: only those who read from S3 pay for it.
    from s3import.readers.sources.s3 import S3Source, connect

    bucket, folder = bucket_and_folder(location.uri)
    client = connect(location.policy, location.connections, location.role)
    return S3Source(client, bucket, folder, uri=location.uri, policy=location.policy, role=location.role)


def _open_tables(location: Location) -> Source:
    raise ConfigurationError(f"the source {location.uri} needs a mapping that says which tables: give --mapping FILE")


SCHEMES: dict[str, Callable[[Location], Source]] = {
    "s3": _open_s3,
    "file": _open_file_uri,
    "dynamodb": _open_tables,
    "": _open_folder,
}
_KINDS = f"s3://bucket/prefix/{ACCOUNT}, file:///dir/{ACCOUNT}, dynamodb: or a plain path"
