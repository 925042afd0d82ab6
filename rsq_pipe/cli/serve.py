"""`rsq-pipe serve`: serve the web page and JSON API for a server's pipelines."""

from __future__ import annotations

import asyncio
import errno
import ipaddress
import logging
import os
import socket
from importlib.util import find_spec
from pathlib import Path

import rich_click as click

from rsq_pipe import redaction
from rsq_pipe.cli.options.server_address import address_of_runs, connect, redis_option_here, server_here
from rsq_pipe.cli.output.printable import on_one_line, printable
from rsq_pipe.engine.processes.supervised import SUPERVISED
from rsq_pipe.extras import install
from rsq_pipe.hosts import is_of_host
from rsq_pipe.spec.loader import load

HOST, PORT = "127.0.0.1", 8710
LISTENER = "RSQ_PIPE_LISTENER"
"""The environment variable with the socket that a run has bound for its page."""

SHORTEST = 16
"""Minimum characters of a token: a shorter one can be guessed by trying."""


@click.command("serve")
@click.argument("spec", type=click.Path(path_type=Path), metavar="[SPEC]", required=False)
@redis_option_here
@click.option("--host", default=HOST, show_default=True, metavar="ADDRESS", help="The address to answer on.")
@click.option(
    "--port",
    type=click.IntRange(0, 65_535),
    default=PORT,
    show_default=True,
    metavar="PORT",
    help="The port; 0 takes a free one.",
)
@click.option(
    "--token",
    "tokens",
    multiple=True,
    metavar="NAME=TOKEN",
    help="Who may look and act, and with which token; may be given again. The name appears in the audit "
    "list. `ps` shows it to others of this machine: see --token-file.",
)
@click.option(
    "--token-file",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    metavar="FILE",
    help="The same, one per line.",
)
@click.option("--read-only", is_flag=True, help="Pages can show everything and change nothing.")
@click.option("--jaeger", default="", metavar="URL", help="Where traces can be viewed, for links to them.")
def command(  # noqa: PLR0917  one parameter an option
    spec: Path | None,
    url: str | None,
    host: str,
    port: int,
    tokens: tuple[str, ...],
    token_file: Path | None,
    read_only: bool,
    jaeger: str,
) -> None:
    """
    Serve a web page, and a JSON API, for the pipelines of a server.

    The server is that of the pipeline file SPEC, if one is given, or of --redis. The page shows each
    pipeline's graph with rates and backlog, dead letters to edit and replay, the path of a record, and the
    workers. The JSON API is under /api. Without a token only this machine is answered. It speaks plain HTTP:
    put a TLS proxy in front of it if others are to reach it.
    """
    known = read_tokens(tokens, token_file)
    refuse_open(host, known)
    if jaeger and not jaeger.startswith(("http://", "https://")):
        raise click.UsageError(f"--jaeger {jaeger!r} is not a URL; write --jaeger http://localhost:16686")
    require_extra()
    graph = None if spec is None else load(spec, operate=True)
    if graph is not None:
        redaction.add(graph.secrets)
    found = server_here(url) if graph is None else address_of_runs(graph, url)
    beside = os.environ.get(LISTENER)
    listener = listen(host, port) if beside is None else socket.socket(fileno=int(beside))
    with listener, found as address:
        asyncio.run(_serve(address, listener, known, read_only=read_only, jaeger=jaeger))


async def _serve(
    address: str, listener: socket.socket, tokens: dict[str, str], *, read_only: bool, jaeger: str
) -> None:
    from rsq_pipe.page.serving import serve  # noqa: PLC0415  what the extra brings
    from rsq_pipe.page.site import Site  # noqa: PLC0415
    from rsq_pipe.telemetry.logs import set_up  # noqa: PLC0415

    set_up(level=logging.WARNING)

    async with connect(address, name="rsq-pipe-page") as client:
        site = Site(client, tokens, read_only, jaeger)
        where = spelled(listener)
        how = "read-only, " if read_only else ""
        who = f"tokens: {', '.join(tokens)}" if tokens else "this machine only, no token"
        message = f"the page of {client.channel.address} is at {where} ({how}{who}); Ctrl-C ends it"
        watched = os.environ.get(SUPERVISED)
        if watched is not None:  # the run that started this page prints the address
            await serve(site, listener, lambda: None, watched=int(watched))
        else:
            await serve(site, listener, lambda: click.echo(printable(message), err=True))


def read_tokens(given: tuple[str, ...], file: Path | None) -> dict[str, str]:
    """Collect the tokens, which are redacted from now on."""
    lines = list(given)
    if file is not None:
        try:
            text = file.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as exc:
            raise click.UsageError(f"--token-file {str(file)!r} cannot be read: {exc}") from exc
        lines += [line.strip() for line in text.splitlines() if line.strip() and not line.startswith("#")]
        if not lines:
            raise click.UsageError(f"--token-file {str(file)!r} holds no token; write NAME=TOKEN into it")
    found: dict[str, str] = {}
    for line in lines:
        name, equals, token = line.partition("=")
        name, token = name.strip(), token.strip()
        redaction.add([token])
        if not equals or not name or len(name) > 40 or not name.isprintable():
            raise click.UsageError("a token is written NAME=TOKEN, such as ops=$(openssl rand -hex 16)")
        if len(token) < SHORTEST:
            raise click.UsageError(
                f"the token {name!r} has less than {SHORTEST} characters; take a longer one"
            )
        if name in found:
            raise click.UsageError(f"there are two tokens {name!r}; give each its own name")
        found[name] = token
    return found


def refuse_open(host: str, tokens: dict[str, str]) -> None:
    """Refuse access for other machines without a token."""
    if not tokens and not is_loopback(host):
        raise click.UsageError(
            f"--host {on_one_line(host)} lets other machines in; give --token NAME=TOKEN or "
            "--token-file FILE as well, or leave --host out"
        )


def require_extra() -> None:
    """Report what to install if the page's libraries are missing."""
    if find_spec("starlette") is None or find_spec("uvicorn") is None:
        raise click.UsageError(f"the page needs the extra `page`: {install('page')}")


def listen(host: str, port: int, option: str = "--port") -> socket.socket:
    """
    Bind the address before anything else; an address that cannot be bound is a usage error.

    Args:
        host, port: The address.
        option: The option that sets another port.
    """
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0][0]
        return socket.create_server((host, port), family=family, backlog=256)
    except OSError as exc:
        # Python's own text repeats the address; an unknown host name has no system errno.
        why = os.strerror(exc.errno) if exc.errno and exc.errno > 0 else exc.strerror or str(exc)
        fix = f"take another {option}, or 0"
        if is_of_host(exc):
            fix = (
                "the host must be an address or a name of this machine: 127.0.0.1, or 0.0.0.0 for all it has"
            )
        elif exc.errno == errno.EACCES:
            fix = f"ports below 1024 may need more rights: take another {option}, or 0"
        raise click.UsageError(f"cannot answer on {on_one_line(host)}:{port}: {why}; {fix}") from exc


def spelled(listener: socket.socket) -> str:
    """Format the address to open in a browser."""
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}/" if ":" in host else f"http://{host}:{port}/"


def is_loopback(host: str) -> bool:
    """Return whether a host is this machine's loopback address."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False
