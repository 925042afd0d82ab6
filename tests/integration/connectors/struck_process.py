"""StruckProcess: a process that kills or pauses itself."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

from tests.support.signals import TO_END


class StruckProcess:
    """Run a module of this folder, with further variables."""

    def __init__(self, module: str, *words: str, **further: str) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", f"tests.integration.connectors.{module}", *words],
            env={**os.environ, **further},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def stopped(self) -> bool:
        """Wait until it pauses itself (True) or ends (False)."""
        _, status = os.waitpid(self._process.pid, os.WUNTRACED)
        if os.WIFSTOPPED(status):
            return True
        self._process.returncode = os.waitstatus_to_exitcode(status)
        return False

    def resume(self) -> None:
        self._process.send_signal(signal.SIGCONT)

    def end(self) -> tuple[int, str]:
        """Wait until it ends; its exit code and what it said."""
        try:
            out, err = self._process.communicate(timeout=TO_END)
        except subprocess.TimeoutExpired:
            self._process.kill()
            out, err = self._process.communicate()
        return self._process.returncode, err or out
