"""The command line as users call it: a process in a folder, its output and its exit code."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

from tests.support import preloaded
from tests.support.guarded_server import least
from tests.support.preloaded import COMMAND, PreloadedProcess
from tests.support.project import Project
from tests.support.server import StreamServer
from tests.support.signals import TO_END

__all__ = ["COMMAND", "rsq_pipe", "second_stage", "start", "status_of"]


def rsq_pipe(
    *arguments: str | Path, cwd: Path, timeout: float = TO_END, given: str = "", **environ: str
) -> subprocess.CompletedProcess[str]:
    """Run `rsq-pipe ...` to its end, with `given` on its standard input, without the tests' own settings."""
    words, environ = least(arguments, _environ(environ))
    return preloaded.run([COMMAND, *words], cwd=cwd, env=environ, given=given, timeout=timeout)


def start(
    *arguments: str | Path, cwd: Path, stdin: int | None = None, **environ: str
) -> subprocess.Popen[str]:
    """Start `rsq-pipe ...`, with its output in pipes."""
    words, environ = least(arguments, _environ(environ))
    return PreloadedProcess(
        [COMMAND, *words],
        cwd=cwd,
        env=environ,
        stdin=stdin,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def status_of(project: Project, server: StreamServer, **environ: Any) -> dict[str, Any]:
    """Read what `rsq-pipe status --json` prints."""
    done = rsq_pipe("status", project.path, "--redis", server.url, "--json", cwd=project.root, **environ)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def second_stage(project: Project, server: StreamServer, **environ: Any) -> dict[str, Any]:
    """Read the same of the second stage, the first after the source."""
    found: dict[str, Any] = status_of(project, server, **environ)["stages"][1]
    return found


def _environ(own: dict[str, str]) -> dict[str, str]:
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("RSQ_", "OTEL_"))}
    return {**inherited, **own}
