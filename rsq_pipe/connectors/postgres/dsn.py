"""PostgreSQL address: what is wrong with one, told without a server and without a word of it."""

from __future__ import annotations

from importlib.util import find_spec


def installed(package: str) -> bool:
    """Tell whether a package of an extra is there."""
    return find_spec(package) is not None


def wrong_dsn(dsn: str) -> tuple[str, str] | None:
    """Say what is wrong with an address, and how to mend it; None where nothing is. It is never quoted."""
    fix = "it is postgresql://USER:PASSWORD@HOST:PORT/DATABASE, or host=HOST user=USER dbname=DATABASE"
    try:
        from psycopg import ProgrammingError  # noqa: PLC0415  an extra
        from psycopg.conninfo import conninfo_to_dict  # noqa: PLC0415
    except ImportError:
        what = "psycopg cannot be loaded: it finds no libpq"
        return what, "pip install 'rsq-pipe[postgres]', which brings one"
    try:
        conninfo_to_dict(dsn)
    except ProgrammingError:
        return "the address of the server is malformed", fix
    return None
