"""`rsq-pipe acl`: the users a pipeline needs on its server, with the fewest rights."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import rich_click as click

from rsq_pipe.cli.options.server_address import connect, redis_option
from rsq_pipe.cli.options.spec_argument import spec_argument
from rsq_pipe.ops.acl import users
from rsq_pipe.spec.loader import load
from rsq_pipe.streams.endpoint import Endpoint


def _name(_ctx: click.Context, _option: click.Parameter, name: str) -> str:
    if name and not re.fullmatch(r"[\w.:@-]+", name):
        raise click.BadParameter("a user's name holds letters, digits and . : @ _ - here")
    return name


@click.command("acl")
@spec_argument
@redis_option
@click.option(
    "--user",
    "name",
    metavar="NAME",
    default="",
    callback=_name,
    help="Call the users NAME and NAME-operate, instead of using the pipeline's name.",
)
@click.option(
    "--format",
    "form",
    type=click.Choice(["commands", "file"]),
    default="commands",
    show_default=True,
    help="Commands for redis-cli, or lines of a users.acl file.",
)
def command(spec: Path, url: str | None, name: str, form: str) -> None:
    """
    Print the users a pipeline needs on its server, with the least rights.

    The first runs it (`run` without --fresh). The second looks after it as well: `status`, `doctor`, `dlq`,
    `trace`, `run --fresh`. Both may touch the pipeline's own keys and the streams from outside that its file
    names, no channels, and run the commands listed. Put a password for each in place of PASSWORD. Contacts no
    server; the address alone says whether it is a cluster or behind sentinels, and which database.
    """
    graph = load(spec, operate=True)
    address = url or graph.redis_url
    endpoint = connect(address).channel.endpoint if address else Endpoint({})
    database = int(endpoint.settings.get("db") or 0)
    server = {"is_cluster": endpoint.is_cluster, "is_watched": bool(endpoint.service)}
    for user in users(graph, **server, database=database, prefix=name):
        sys.stdout.write(f"{user.setuser if form == 'commands' else user.line}\n")
