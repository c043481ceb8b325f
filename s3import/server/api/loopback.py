"""Where a server without tokens may listen."""

from __future__ import annotations

from collections.abc import Sequence

from s3import.core.errors import ConfigurationError
from s3import.core.http import is_loopback


def check_binding(host: str, tokens: Sequence[str]) -> None:
    """Make sure that a server without tokens is reachable from this machine alone. Raises: ConfigurationError."""
    if not tokens and not is_loopback(host):
        raise ConfigurationError(
            f"without tokens the API is served on 127.0.0.1, ::1 or localhost, not on {host or 'every address'!r}; set "
            "S3IMPORT_API_TOKENS, or leave --host out"
        )
