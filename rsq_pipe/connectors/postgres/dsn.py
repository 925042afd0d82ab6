"""PostgreSQL address: checks one without a server and without quoting any of it."""

from __future__ import annotations

from importlib.util import find_spec

from rsq_pipe.extras import install
from rsq_pipe.hosts import LAST_PORT, is_not_set, is_port


def installed(package: str) -> bool:
    """Return whether a package of an extra is installed."""
    return find_spec(package) is not None


def _password_goes_on(dsn: str) -> bool:
    """Return whether part of the password would be parsed, and shown, as a host or a database."""
    scheme, is_url, rest = dsn.partition("://")
    place, slash, path = rest.partition("?")[0].partition("/")
    return bool(is_url) and scheme.isalpha() and (place.count("@") > 1 or (bool(slash) and "@" in path))


def wrong_dsn(dsn: str) -> tuple[str, str] | None:
    """Return what is wrong with an address, and how to correct it; None if nothing is. It is never quoted."""
    if is_not_set(dsn):
        return None
    fix = "it is postgresql://USER:PASSWORD@HOST:PORT/DATABASE, or host=HOST user=USER dbname=DATABASE"
    try:
        from psycopg import ProgrammingError  # noqa: PLC0415  an extra
        from psycopg.conninfo import conninfo_to_dict  # noqa: PLC0415
    except ImportError:
        what = "psycopg cannot be loaded: it finds no libpq"
        return what, f"{install('postgres')}, which brings one"
    try:
        found = conninfo_to_dict(dsn)
    except ProgrammingError:
        return "the address of the server is malformed", fix
    if _password_goes_on(dsn):
        what = "the address of the server has an @ after the one that ends its password"
        return what, "in a user and a password write %40 for @, %2F for / and %3A for :"
    # One for all hosts, or for each; an empty one is the default.
    ports = str(found.get("port") or "").split(",")
    if not all(is_port(port) for port in ports if port):
        return f"the address of the server has a port that is not a number from 1 to {LAST_PORT}", fix
    return None
