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
from rsq_pipe.cli.options.server_url import VARIABLE, given
from rsq_pipe.errors import NeverRanError
from rsq_pipe.server.embedded import Lost, acquire
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
"""The same for a command without a pipeline file."""


@contextmanager
def server_address(graph: Graph, url: str | None, lost: Lost | None = None) -> Iterator[str]:
    """
    Find a pipeline's server; the embedded one is started if no process uses it, and ends with the command.

    Args:
        graph: The pipeline.
        url: The given server, if any.
        lost: As in `acquire`.

    Raises:
        ServerStartError: The embedded server cannot be started.
    """
    if url or graph.redis_url:
        yield url or graph.redis_url
        return
    with acquire(graph.root, lost=lost) as server:
        yield server.url


def is_unborn(graph: Graph, url: str | None) -> bool:
    """Return whether the pipeline's embedded server was never started; this starts none to find out."""
    return not url and not graph.redis_url and not Home(graph.root).was_used()


@contextmanager
def address_of_runs(graph: Graph, url: str | None) -> Iterator[str]:
    """
    Find the server where a pipeline ran, to read what it left there.

    Raises:
        NeverRanError: It would be the embedded server, which was never started.
        ServerStartError: The embedded server cannot be started.
    """
    if is_unborn(graph, url):
        raise NeverRanError(graph.pipeline)
    with server_address(graph, url) as address:
        yield address


def connect(address: str, *, name: str | None = "rsq-pipe") -> StreamClient:
    """Create a client, shown as `name` by CLIENT LIST; an invalid URL is a usage error."""
    # Imported here: a command that turns out to need no server should start quickly.
    from rsq_pipe.streams.client import StreamClient  # noqa: PLC0415

    redaction.add_url(address)
    try:
        return StreamClient.from_url(address, client_name=name)
    except ValueError as exc:
        raise click.UsageError(f"the server's URL: {exc}") from exc


def as_given(ctx: click.Context) -> str:
    """Return the `--redis URL` to repeat in the next command; an environment variable needs no repeating."""
    if ctx.get_parameter_source("url") is not ParameterSource.COMMANDLINE:
        return ""
    return f" --redis {shlex.quote(ctx.params['url'])}"


@contextmanager
def server_here(url: str | None) -> Iterator[str]:
    """
    Find the server: the one given, or the embedded one of the project in or above the current folder.

    Raises:
        UsageError: No server is given, and none was ever started here.
        ServerStartError: The embedded server cannot be started.
    """
    if url:
        yield url
        return
    root = project_root(Path("pipeline.yaml"))
    if not Home(root).was_used():
        raise click.UsageError(
            f"no pipeline has run in {str(root)!r} on the embedded server; name a server with --redis URL"
        )
    with acquire(root) as server:
        yield server.url
