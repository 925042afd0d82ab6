"""Process: one child process of `dev`, as seen by its parent."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any


class StageProcess:
    """
    Control one child process. Made by `start`.

    Args:
        process: The process.
        answers: Its answers.
    """

    def __init__(self, process: asyncio.subprocess.Process, answers: asyncio.StreamReader) -> None:
        self._process = process
        self._answers = answers
        self._started = time.monotonic()
        self.stages: Sequence[str] = ()
        self.done: dict[str, Any] | None = None
        """What it did, once it has ended by itself."""
        self.running = asyncio.Event()
        self.listening: asyncio.Task[None] | None = None
        self.seconds_to_load = 0.0

    @classmethod
    async def start(cls, spec: Path) -> StageProcess:
        """Start a process, which loads the pipeline, and waits."""
        ours, theirs = os.pipe()
        try:
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "rsq_pipe.cli.reloading.child", str(spec), str(theirs)),
                stdin=asyncio.subprocess.PIPE,
                pass_fds=(theirs,),
                process_group=0,  # Ctrl-C is for the parent
            )
        finally:
            os.close(theirs)
        reader = asyncio.StreamReader(limit=2**24)
        await asyncio.get_running_loop().connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(ours, "rb", 0)
        )
        return cls(process, reader)

    async def loaded(self) -> dict[str, Any]:
        """Wait for its result: `ready` or `wrong`; neither if it died."""
        found = await self._answer()
        self.seconds_to_load = time.monotonic() - self._started
        return found

    async def refused(self, address: str) -> str:
        """Ask why the pipeline may not be run as it is now; empty if it may."""
        self._send(plan=address)
        return str((await self._answer()).get("plan", "it could not be found out: the process ended"))

    def run(self, address: str, stages: Sequence[str], *, fresh: bool = False) -> None:
        """Have the process run some stages, and listen to its answers."""
        self.stages = stages
        self._send(run={"address": address, "stages": list(stages), "fresh": fresh})
        self.listening = asyncio.ensure_future(self._listen())

    async def stop(self) -> None:
        """Have the process drain, and wait until it has ended."""
        if self._process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                if self.listening is None:
                    self._process.kill()  # it is only waiting
                else:
                    self._process.send_signal(signal.SIGTERM)
        await self.ended()

    async def ended(self) -> int:
        """Wait until the process has ended; return its exit code."""
        if self.listening is not None:
            await self.listening
        code = await self._process.wait()
        if self._process.stdin is not None:
            self._process.stdin.close()
        return code

    @property
    def is_over(self) -> bool:
        """Whether the process has ended, or no longer answers."""
        return self._process.returncode is not None or (self.listening is not None and self.listening.done())

    @property
    def has_answered_all(self) -> bool:
        """Whether all answers of the process were read, up to its end."""
        return self.listening is not None and self.listening.done()

    async def _listen(self) -> None:
        while answer := await self._answer():
            if "running" in answer:
                self.running.set()
            self.done = answer.get("done", self.done)
        self.running.set()  # there is nothing more to wait for

    async def _answer(self) -> dict[str, Any]:
        line = await self._answers.readline()
        found: dict[str, Any] = json.loads(line) if line else {}
        return found

    def _send(self, **what: Any) -> None:
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            self._process.stdin.write(json.dumps(what).encode() + b"\n")
