"""Server URL: the value of `--redis` or RSQ_PIPE_REDIS; imports no client library."""

from __future__ import annotations

import os

import rich_click as click

VARIABLE = "RSQ_PIPE_REDIS"


def refuse_empty(url: str | None) -> None:
    """
    Refuse an address that is given but empty: an unset secret would silently mean the embedded server.

    Raises:
        click.UsageError: The message says which of the two is empty.
    """
    variable = os.environ.get(VARIABLE)  # click takes an empty one for none
    instead = "for the server of the pipeline's file, or the embedded one"
    if variable is not None and not variable.strip() and url in (None, variable):
        raise click.UsageError(f"{VARIABLE} is empty; unset it {instead}")
    if url is not None and not url.strip():
        raise click.UsageError(f"--redis is empty; leave it out {instead}")


def given(_ctx: click.Context, _option: click.Parameter, url: str | None) -> str | None:
    """Return the URL that was given; refuse an empty one."""
    refuse_empty(url)
    return url
