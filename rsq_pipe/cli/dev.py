"""`rsq-pipe dev`: run a pipeline while you write it."""

from __future__ import annotations

import asyncio
import os
import signal
from importlib.util import find_spec
from pathlib import Path

import rich_click as click

from rsq_pipe import redaction
from rsq_pipe.cli.options.server_address import redis_option
from rsq_pipe.cli.options.spec_argument import spec_argument
from rsq_pipe.cli.running.signals import stop_on_hangup
from rsq_pipe.extras import install
from rsq_pipe.spec.reading import read_document

FORCED = 130


@click.command("dev")
@spec_argument
@redis_option
@click.option(
    "--fresh",
    is_flag=True,
    help="Start over after each change: forget positions, streams and dead letters, and replace what the "
    "sinks wrote. For sources that end.",
)
def command(spec: Path, url: str | None, fresh: bool) -> None:
    """
    Run a pipeline while you write it.

    Watches SPEC, the modules of its handlers and what they import, and the files its stages name. When a
    handler changes, only the stages that use it are restarted, in a process that loads the new code before
    the old one drains; nothing is lost or duplicated. When SPEC changes it is checked as by `rsq-pipe plan`,
    and all stages are restarted. Mistakes are shown with their place, and what ran before keeps running.
    """
    if find_spec("watchfiles") is None:
        raise click.UsageError(f"dev needs the package watchfiles: {install('dev')}")
    if not spec.is_file():
        read_document(spec, None)  # reports why it is invalid
    if url:
        redaction.add_url(url)
    asyncio.run(_run(spec, url, fresh=fresh))


async def _run(spec: Path, url: str | None, *, fresh: bool) -> None:
    from rsq_pipe.cli.reloading.session import Session  # noqa: PLC0415  needs watchfiles

    session = Session(spec, url, fresh=fresh)
    stopping = False

    def on_signal() -> None:
        nonlocal stopping
        if stopping:
            os._exit(FORCED)  # closes the pipes to its processes: they stop reading, and drain
        stopping = True
        session.stop()

    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, on_signal)
    stop_on_hangup(session.stop)
    await session.run()
