"""Which names reach this machine from itself alone."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence

from s3import.core.errors import ConfigurationError


def is_loopback(host: str) -> bool:
    """Whether `host`, a name or an address without a port, is this machine seen from itself."""
    if host.lower().rstrip(".") == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def check_binding(host: str, tokens: Sequence[str]) -> None:
    """Make sure that a server without tokens is reachable from this machine alone. Raises: ConfigurationError."""
    if not tokens and not is_loopback(host):
        raise ConfigurationError(
            f"without tokens the API is served on 127.0.0.1, ::1 or localhost, not on {host or 'every address'!r}; set "
            "S3IMPORT_API_TOKENS, or leave --host out"
        )
