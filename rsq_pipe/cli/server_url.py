"""Server URL: as `--redis` or RSQ_PIPE_REDIS give it; imports nothing that could ask a server."""

from __future__ import annotations

import os

import rich_click as click

VARIABLE = "RSQ_PIPE_REDIS"


def refuse_empty(url: str | None) -> None:
    """
    Refuse an address that is given and empty: a secret that came to nothing would mean the embedded server.

    Raises:
        click.UsageError: It says which of the two is empty.
    """
    variable = os.environ.get(VARIABLE)  # click takes an empty one for none
    instead = "for the server of the pipeline's file, or the embedded one"
    if variable is not None and not variable.strip() and url in (None, variable):
        raise click.UsageError(f"{VARIABLE} is empty; unset it {instead}")
    if url is not None and not url.strip():
        raise click.UsageError(f"--redis is empty; leave it out {instead}")


def given(_ctx: click.Context, _option: click.Parameter, url: str | None) -> str | None:
    """Take what was given, unless it is empty."""
    refuse_empty(url)
    return url
