"""Addresses: web addresses that are only requested if they are allowed by name."""

from __future__ import annotations

from collections.abc import Collection
from ipaddress import IPv6Address, ip_address, ip_network
from socket import inet_aton
from urllib.parse import urlsplit

_REFUSED = tuple(
    ip_network(text)
    for text in (
        *("169.254.0.0/16", "fe80::/10"),  # link-local; used by most clouds for instance metadata
        *("fd00:ec2::254/128", "fd20:ce::254/128", "100.100.100.200/32", "192.0.0.192/32"),
    )
)


def is_refused(host: str) -> bool:
    """
    Return whether a host is an address that hands out credentials to any client; a name is not one.

    Every spelling of an address counts, even `2852039166`: some clients connect to it without looking it up.
    """
    try:
        address = ip_address(host.strip("[]").partition("%")[0])
    except ValueError:
        try:
            address = ip_address(inet_aton(host.rstrip(".")))
        except (OSError, ValueError):  # ValueError: characters that no address has
            return False
    if isinstance(address, IPv6Address):
        address = address.ipv4_mapped or address.sixtofour or address
    return any(address in network for network in _REFUSED)


def wrong_address(url: str, allow: Collection[str], example: str = "https://HOST/PATH") -> str:
    """Return what is wrong with an address, and how to fix it; empty if nothing is."""
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname or "", parts.port
    except ValueError:
        return f"the address is malformed; write {example}"
    if parts.scheme not in {"http", "https"}:
        return f"the address must begin with http:// or https://; write {example}"
    if not host:
        return f"the address names no host; write {example}"
    if parts.username or parts.password:
        return "the address holds a user or password; send it by `headers`"
    return why_refused(host, allow)


def why_refused(host: str, allow: Collection[str]) -> str:
    """Return why a host is not requested, and how to allow it; empty if it may be."""
    if host in allow or not is_refused(host):
        return ""
    return f"{host} is a link-local or metadata address; add it to `allow` if it is meant"
