"""Hosts: parses comma-separated hosts in a server's URL, which urllib cannot, and ports."""

from __future__ import annotations

import errno
import re
import socket
from urllib.parse import urlsplit

_HOST = re.compile(r"[A-Za-z0-9.-]+(:\d{1,5})?(/\d*)?")
_NETLOC = re.compile(r"([^:/?#]*://)([^/?#]*)")


LAST_PORT = 65_535


def is_port(text: str) -> bool:
    """Return whether a text is a port number that can be connected to."""
    return (
        text.isascii() and text.isdigit() and len(text) <= len(str(LAST_PORT)) and 0 < int(text) <= LAST_PORT
    )


def is_not_set(url: str) -> bool:
    """Return whether an address holds a secret that is not set, as when a pipeline is only monitored."""
    return "${secret:" in url


def is_of_host(error: OSError) -> bool:
    """Return whether an address cannot be bound because of its host, so that no other port will help."""
    return isinstance(error, socket.gaierror) or error.errno in {errno.EADDRNOTAVAIL, errno.EINVAL}


def missing_scheme(url: str) -> str:
    """Describe what a URL that is only a host or socket lacks, without quoting it; empty for all others."""
    if url.startswith("/"):
        return "write unix:// before it"
    return "write redis:// before it" if _HOST.fullmatch(url) else ""


def split_hosts(url: str) -> tuple[str, list[tuple[str, int]]]:
    """
    Split the hosts from a URL.

    Returns:
        The URL with `localhost` in place of all hosts, and each host with its port, 0 if it has none.

    Raises:
        ValueError: A host or port is malformed; the message may quote part of a password.
    """
    found = _NETLOC.match(url)
    if found is None:
        return url, []
    login, at, hosts = found[2].rpartition("@")
    parts = [urlsplit(f"//{host}") for host in hosts.split(",")]
    if any(part.netloc != host for part, host in zip(parts, hosts.split(","), strict=True)):
        raise ValueError("a host is malformed")
    alone = f"{found[1]}{login}{at}localhost{url[found.end() :]}"
    return alone, [(part.hostname or "", part.port or 0) for part in parts]
