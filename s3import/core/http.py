"""What HTTP leaves to both its sides: which hosts are this machine, and how long a server asks to wait."""

from __future__ import annotations

import ipaddress


def is_loopback(host: str) -> bool:
    """Whether `host`, a name or an address without a port, is this machine seen from itself."""
    if host.lower().rstrip(".") == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def retry_after_seconds(header: str) -> float | None:
    """The wait that a Retry-After header asks for; None where it asks for none that can be read."""
    from urllib3.exceptions import InvalidHeader
    from urllib3.util import Retry

    try:
        return float(Retry().parse_retry_after(header))
    except (InvalidHeader, OverflowError, ValueError):  # ValueError: a date that no calendar has
        return None
