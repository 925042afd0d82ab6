"""EmbeddedUser: a process of its own that uses the embedded server until it is told to end."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.support.signals import PATIENCE

SCRIPT = """
import sys
from pathlib import Path
from rsq_pipe.errors import RsqPipeError
from rsq_pipe.server.embedded import acquire

try:
    with acquire(Path(sys.argv[1]), binary=Path(sys.argv[2])) as server:
        print(server.url, flush=True)
        sys.stdin.read()
except RsqPipeError as exc:
    print("error:", exc, flush=True)
"""


class EmbeddedUser:
    """
    Run a process that acquires the server of `root`.

    It is started at once; `url` waits until it has its server.
    """

    def __init__(self, root: Path, binary: Path) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", SCRIPT, root, binary],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        self._url = ""

    @property
    def url(self) -> str:
        if not self._url:
            assert self.process.stdout is not None
            self._url = self.process.stdout.readline().strip()
        return self._url

    def leave(self) -> None:
        """End in good order."""
        self.process.communicate(timeout=PATIENCE)

    def kill(self) -> None:
        """End by SIGKILL."""
        self.process.send_signal(signal.SIGKILL)
        self.process.communicate(timeout=PATIENCE)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.process.poll() is None:
            self.kill()
