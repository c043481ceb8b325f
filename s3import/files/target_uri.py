"""From the URI an operator writes to the place of one account's files."""

from __future__ import annotations

from s3import.core.errors import ConfigurationError
from s3import.core.ids import ACCOUNT
from s3import.files.folder_target import FolderTarget
from s3import.files.keys import escaped
from s3import.files.target import TargetFolder
from s3import.readers.sources.folder import FolderSource
from s3import.readers.sources.location import open_source
from s3import.readers.sources.source import RetryPolicy


def check_target(uri: str) -> None:
    """Raise ConfigurationError unless files can be copied to `uri`; nothing is contacted."""
    open_target(uri, "account")


def open_target(uri: str, account_id: str, *, policy: RetryPolicy | None = None, connections: int = 32) -> TargetFolder:
    """The place at `uri` for the account's files, in which ``{account}`` stands for its id; without that the account
    gets a folder of its own.

    Raises: ConfigurationError.
    """
    try:
        root = open_source(uri, account_id, policy=policy, connections=connections)
    except ConfigurationError as error:
        raise ConfigurationError(f"--files-to: {error.message}") from error
    folder = "" if ACCOUNT in uri else f"{escaped(account_id)}/"
    if isinstance(root, FolderSource):
        return TargetFolder(FolderTarget(root.path), folder)
    from s3import.files.s3_target import BucketTarget
    from s3import.readers.sources.s3 import S3Source

    if not isinstance(root, S3Source):
        raise ConfigurationError(f"files cannot be copied to {uri}; give s3://bucket/prefix/{ACCOUNT} or a folder")
    return TargetFolder(BucketTarget(root), folder)
