"""The command line as users call it: a process in a folder, its output and its exit code."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from tests.support import preloaded
from tests.support.guarded_server import least
from tests.support.preloaded import COMMAND, PreloadedProcess
from tests.support.signals import TO_END

__all__ = ["COMMAND", "rsq_pipe", "start"]


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


def _environ(own: dict[str, str]) -> dict[str, str]:
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("RSQ_", "OTEL_"))}
    return {**inherited, **own}
