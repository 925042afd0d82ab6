"""Page beside a run: `run --page` serves it from a separate process, which ends with the run."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator

import rich_click as click

from rsq_pipe.cli.output.printable import on_one_line, printable
from rsq_pipe.cli.serve import HOST, LISTENER, PORT, is_loopback, listen, require_extra, spelled
from rsq_pipe.engine.processes.supervised import SUPERVISED
from rsq_pipe.hosts import is_port

PATIENCE = 10
"""Seconds that the page gets to end."""


class PageAddress(click.ParamType[tuple[str, int]]):
    """Parse `HOST:PORT`, or either alone."""

    name = "address"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[str, int]:
        """Turn text into an address of this machine and a port."""
        if isinstance(value, tuple):
            return value
        text = str(value)
        host, colon, port = text.rpartition(":")
        if not colon and not text.isdigit():
            host, port = text, str(PORT)
        host = host.strip("[]") or HOST
        if port != "0" and not is_port(port):  # 0 means any free port
            self.fail(
                f"{on_one_line(text)!r} is not an address; write --page {HOST}:{PORT}, or --page", param, ctx
            )
        if not is_loopback(host):
            what = f"--page answers this machine alone, and {on_one_line(host)!r} is not its own address"
            self.fail(f"{what}; for others run `rsq-pipe serve` with a token", param, ctx)
        return host, int(port)


page_option = click.option(
    "--page",
    type=PageAddress(),
    is_flag=False,
    flag_value=f"{HOST}:{PORT}",
    metavar="[HOST:PORT]",
    help=f"Serve the page until the run ends, on {HOST}:{PORT} or another address of this machine: see "
    "`rsq-pipe serve`.",
)


@contextlib.contextmanager
def page_beside(server: str, address: tuple[str, int] | None) -> Iterator[None]:
    """
    Serve a server's page from a separate process, which takes no time from the run's.

    Args:
        server: The server's URL, passed in the environment, where `ps` does not show it.
        address: The page's address; None for no page.
    """
    if address is None:
        yield
        return
    require_extra()
    # Bound here, so that an address in use is reported before anything runs.
    with listen(*address, option="--page") as listener:
        message = f"the page is at {spelled(listener)}"
        watched, held = os.pipe()
        try:
            process = _start(server, listener.fileno(), watched)
        finally:
            os.close(watched)
    click.echo(printable(message), err=True)
    try:
        yield
    finally:
        os.close(held)  # its end stops the page, even if this process is killed
        try:
            process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _start(server: str, listener: int, watched: int) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-P", "-m", "rsq_pipe", "serve"],
        env={
            **os.environ,
            SUPERVISED: str(watched),
            LISTENER: str(listener),
            "RSQ_PIPE_REDIS": server,
        },
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        pass_fds=(watched, listener),
        # Its own session: Ctrl-C in the terminal is for the run, which drains while the page shows it.
        start_new_session=True,
    )
