"""Which addresses a file may be downloaded from: those of the public internet, and no others."""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Callable

from s3import.core.errors import FileMissing

AddressCheck = Callable[[str], bool]

_TRANSLATED = tuple(  # an address of version 4 hides within: the network may take us to it
    ipaddress.ip_network(network) for network in ("64:ff9b::/96", "64:ff9b:1::/48", "2002::/16", "2001::/32")
)


def is_public(address: str) -> bool:
    """Whether an address belongs to the public internet: not private, loopback, link-local, multicast or reserved."""
    found = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(found, ipaddress.IPv6Address):
        if found.ipv4_mapped is not None:
            return is_public(str(found.ipv4_mapped))
        if found.is_site_local or any(found in network for network in _TRANSLATED):
            return False
    return found.is_global and not (found.is_multicast or found.is_reserved or found.is_unspecified)


def resolve(host: str, port: int, is_allowed: AddressCheck) -> str:
    """An address of the host. Raises: FileMissing when one of its addresses is not allowed; OSError without any."""
    found = [str(entry[4][0]) for entry in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)]
    if not all(map(is_allowed, found)):
        raise FileMissing(f"{host} is at an address that files are never fetched from")
    return found[0]
