"""Server address: `--redis`, the spec, or the embedded server of a project; and a client for it."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import rich_click as click
from click.core import ParameterSource

from rsq_pipe import redaction
from rsq_pipe.cli.server_url import VARIABLE, given
from rsq_pipe.errors import NeverRanError
from rsq_pipe.server.embedded import acquire
from rsq_pipe.server.home import Home
from rsq_pipe.spec.graph import Graph
from rsq_pipe.spec.root import project_root

if TYPE_CHECKING:
    from rsq_pipe.streams.client import StreamClient

redis_option = click.option(
    "--redis",
    "url",
    metavar="URL",
    envvar=VARIABLE,
    callback=given,
    help="The server, instead of the spec's. Without either, the embedded one with its data under .rsq/. "
    "Also RSQ_PIPE_REDIS.",
)

redis_option_here = click.option(
    "--redis",
    "url",
    metavar="URL",
    envvar=VARIABLE,
    callback=given,
    help="The server. Without it, the embedded one of this folder's project, with its data under .rsq/. "
    "Also RSQ_PIPE_REDIS.",
)
"""The same of a command that is given no pipeline file."""


@contextmanager
def server_address(graph: Graph, url: str | None) -> Iterator[str]:
    """
    Find a pipeline's server; the embedded one is started where nobody uses it, and ends with the command.

    Raises:
        ServerStartError: The embedded server cannot be started.
    """
    if url or graph.redis_url:
        yield url or graph.redis_url
        return
    with acquire(graph.root) as server:
        yield server.url


def is_unborn(graph: Graph, url: str | None) -> bool:
    """Tell whether the pipeline's own server was never started; none is, to learn what is on it."""
    return not url and not graph.redis_url and not Home(graph.root).data.exists()


@contextmanager
def address_of_runs(graph: Graph, url: str | None) -> Iterator[str]:
    """
    Find the server where a pipeline ran, to look at what it left there.

    Raises:
        NeverRanError: It would be the embedded one, which was never started.
        ServerStartError: The embedded server cannot be started.
    """
    if is_unborn(graph, url):
        raise NeverRanError(graph.pipeline)
    with server_address(graph, url) as address:
        yield address


def connect(address: str, *, name: str | None = "rsq-pipe") -> StreamClient:
    """Make a client, shown as `name` by CLIENT LIST; a URL that is none is the user's mistake."""
    # Here: a command that may need a server is to start quickly where it needs none.
    from rsq_pipe.streams.client import StreamClient  # noqa: PLC0415

    redaction.add_url(address)
    try:
        return StreamClient.from_url(address, client_name=name)
    except ValueError as exc:
        raise click.UsageError(f"the server's URL: {exc}") from exc


def as_given(ctx: click.Context) -> str:
    """Spell the `--redis URL` of a command for the next one; a variable is there for that by itself."""
    if ctx.get_parameter_source("url") is not ParameterSource.COMMANDLINE:
        return ""
    return f" --redis {shlex.quote(ctx.params['url'])}"


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
