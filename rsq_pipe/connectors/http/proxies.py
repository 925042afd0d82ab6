"""Proxies: the proxy of the environment through which an address is requested, as with curl and requests."""

from __future__ import annotations

import os
from functools import lru_cache
from ipaddress import ip_address, ip_network
from typing import Any
from urllib.parse import urlsplit
from urllib.request import getproxies_environment

from rsq_pipe import redaction
from rsq_pipe.redaction import redact

_PORTS = {"http": 80, "https": 443}
_NAMES = [f"{one}_proxy" for one in ("http", "https", "all", "no")]
_VARIABLES = (*_NAMES, *map(str.upper, _NAMES))


class WrongProxyError(OSError):
    """The environment names a proxy that cannot be used."""


def through(url: str) -> dict[str, Any]:
    """
    Return the arguments of a request by which it takes the proxy of the environment; empty for none.

    Raises:
        WrongProxyError: It is no address of an HTTP proxy.
    """
    address = proxy_of(url)
    return {"proxy": address} if address else {}


def proxy_of(url: str) -> str:
    """
    Return the address of the proxy for an address, by HTTP_PROXY, HTTPS_PROXY, ALL_PROXY and NO_PROXY.

    Raises:
        WrongProxyError: It is no address of an HTTP proxy.
    """
    found = _settings(tuple(map(os.environ.get, _VARIABLES)))
    parts = urlsplit(url)
    address = found.get(parts.scheme) or found.get("all") or ""
    port = parts.port or _PORTS.get(parts.scheme, 0)
    if not address or _is_direct(parts.hostname or "", port, found.get("no", "")):
        return ""
    if "://" not in address:
        address = f"http://{address}"
    redaction.add_url(address)  # its password, which the client sends
    if not _is_http(address):
        where = f"{parts.scheme.upper()}_PROXY or ALL_PROXY in the environment"
        fix = "write http://HOST:PORT, or name the service's host in NO_PROXY"
        what = f"{where} is {redact(address)!r}, not the address of an HTTP proxy; {fix}"
        raise WrongProxyError(None, what)
    return address


@lru_cache(maxsize=1)
def _settings(_: tuple[str | None, ...]) -> dict[str, str]:
    """Read the environment again if one of the variables changed: to go through all of it takes 50 us."""
    return getproxies_environment()  # lower case counts before upper case


def _is_http(address: str) -> bool:
    try:
        parts = urlsplit(address)
        return parts.scheme in _PORTS and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False


def _is_direct(host: str, port: int, listed: str) -> bool:
    """Return whether a host is requested without a proxy: `NO_PROXY` holds it, its domain or its network."""
    try:
        address = ip_address(host)
    except ValueError:
        address = None
    for name in listed.lower().replace(" ", ",").split(","):
        if name == "*":
            return True
        if address is not None:
            try:
                if address in ip_network(name.strip("[]"), strict=False):
                    return True
            except ValueError:
                pass
        domain, colon, number = name.rpartition(":") if name.count(":") == 1 else (name, "", "")
        domain = domain.removeprefix("*").lstrip(".")
        if domain and (not colon or number == str(port)) and (host == domain or host.endswith(f".{domain}")):
            return True
    return False
