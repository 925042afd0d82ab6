"""Local server: the server of a command that is given no pipeline file."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import rich_click as click

from rsq_pipe.cli.server_url import VARIABLE, given
from rsq_pipe.server.embedded import acquire
from rsq_pipe.server.home import Home
from rsq_pipe.spec.root import project_root

redis_option = click.option(
    "--redis",
    "url",
    metavar="URL",
    envvar=VARIABLE,
    callback=given,
    help="The server. Without it, the embedded one of this folder's project, with its data under .rsq/. "
    "Also RSQ_PIPE_REDIS.",
)


@contextmanager
def server_here(url: str | None) -> Iterator[str]:
    """
    Find the server: the one given, or the embedded one of the project around the current folder.

    Raises:
        UsageError: None is given, and none was ever started here.
        ServerStartError: The embedded server cannot be started.
    """
    if url:
        yield url
        return
    root = project_root(Path("pipeline.yaml"))
    if not Home(root).data.exists():
        raise click.UsageError(
            f"no pipeline has run in {str(root)!r} on the embedded server; name a server with --redis URL"
        )
    with acquire(root) as server:
        yield server.url
