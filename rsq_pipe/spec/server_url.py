"""Server URL: checks one, without a server and without quoting secrets."""

from __future__ import annotations

import re
from urllib.parse import SplitResult, urlsplit

from rsq_pipe.hosts import is_not_set, missing_scheme, split_hosts
from rsq_pipe.suggestion import suggest

SCHEMES = (
    *("redis", "rediss", "unix", "redis+cluster", "rediss+cluster"),
    *("redis+sentinel", "rediss+sentinel"),
)
_SPELLING = (
    "it is redis://USER:PASSWORD@HOST:PORT/DB, where / in a password is written %2F, @ %40, : %3A, "
    "? %3F and # %23"
)


def check_server_url(url: str) -> str:
    """
    Accept a URL by which a server can be reached, or an empty text: the embedded server.

    Raises:
        ValueError: What is wrong, and how to fix it; only the scheme is quoted.
    """
    if not url or is_not_set(url):
        return url
    scheme = _scheme(url)
    try:
        alone, hosts = split_hosts(url)
        parts = urlsplit(alone)
    except ValueError:
        # Its message quotes the port; for a password with a / in it, that is the password's beginning.
        raise ValueError(
            f"in the server's URL the host is malformed, or the port no number up to 65535; {_SPELLING}"
        ) from None
    if scheme == "unix":
        _check_socket(parts, hosts[0][0])
        return url
    if len(hosts) > 1 and "+" not in scheme:
        raise ValueError(
            "the server's URL names several hosts; so do only redis+cluster://HOST,HOST and "
            "redis+sentinel://HOST,HOST/SERVICE"
        )
    path = parts.path
    if scheme.endswith("+sentinel"):
        service, _, path = path.removeprefix("/").partition("/")
        if not service:
            raise ValueError(
                f"the server's URL names no service; it is {scheme}://HOST,HOST/SERVICE or .../SERVICE/DB"
            )
    if not all(host for host, _ in hosts):
        raise ValueError(
            f"the server's URL names no host; for this machine: {scheme}://localhost:{hosts[0][1] or 6379}"
        )
    _check_database(path, scheme)
    return url


def _scheme(url: str) -> str:
    match = re.match(r"([A-Za-z][A-Za-z0-9+.-]*)://", url)
    if match is None:
        raise ValueError(f"the server's URL does not begin with a scheme; {missing_scheme(url) or _SPELLING}")
    if match[1] not in SCHEMES:
        raise ValueError(f"{match[1]!r} is not a scheme of a server's URL; {suggest(match[1], SCHEMES)}")
    return match[1]


def _check_socket(parts: SplitResult, host: str) -> None:
    if host or not parts.path:
        raise ValueError("the server's URL names no socket; write its whole path: unix:///run/redis.sock")


def _check_database(path: str, scheme: str) -> None:
    database = path.strip("/")
    if database and not database.isdecimal():
        raise ValueError(f"the database in the server's URL is not a number; {_SPELLING}")
    if scheme.endswith("+cluster") and database.strip("0"):
        raise ValueError("a cluster has only database 0; leave the number out of the server's URL")
