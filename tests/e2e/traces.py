"""Runs whose spans a collector receives, for the tests of tracing."""

from __future__ import annotations

import subprocess

from tests.e2e.traced_project import run, to
from tests.support.otlp_receiver import OtlpReceiver
from tests.support.project import Project
from tests.support.server import StreamServer
from tests.support.signals import wait_until

STRAIGHT = """
    read:
      source: {type: jsonl, path: in.jsonl}
    work:
      call: handlers:work
    write:
      sink: {type: jsonl, path: out.jsonl}
"""


def finish(
    project: Project, server: StreamServer, collector: OtlpReceiver, *arguments: str, **environ: str
) -> subprocess.CompletedProcess[str]:
    """Run the project to its end, every record traced."""
    arguments = (str(project.path), "--redis", server.url, *arguments)
    return run(project.root, "run", *arguments, environ=to(collector.endpoint, **environ))


async def written(project: Project) -> None:
    await wait_until(lambda: project.lines_so_far("out.jsonl"), what="the record is written")
