"""Partner: a command that is sent lines."""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Sequence
from pathlib import Path
from signal import SIGKILL, SIGTERM

import structlog

from rsq_pipe.connectors.exec.command import CommandOptions, ended, logged, signalled

MAX_ANSWER = 64 * 1024
"""Maximum bytes of an answer."""

_PIPE = asyncio.subprocess.PIPE


class Partner:
    """
    Run a command.

    Args:
        options: The command.
        root: The project root.
        stage: The stage, for the log.
    """

    def __init__(self, options: CommandOptions, root: Path, stage: str) -> None:
        self._options = options
        self._root = root
        self._log = structlog.get_logger("rsq_pipe").bind(stage=stage, command=options.shown)
        self._process: asyncio.subprocess.Process | None = None
        self._errors: asyncio.Task[None] | None = None
        self._last_lines: deque[str] = deque(maxlen=1)

    async def start(self) -> None:
        """Run it unless it is running; OSError if that fails."""
        if self._process is not None:
            return
        self._last_lines.clear()
        self._process = await asyncio.create_subprocess_exec(
            *self._options.words,
            stdin=_PIPE,
            stdout=_PIPE,
            stderr=_PIPE,
            limit=MAX_ANSWER,
            **self._options.settings(self._root),
        )
        self._errors = asyncio.create_task(self._read_errors(self._process))

    async def run_for(self, lines: Sequence[bytes]) -> str:
        """
        Send it lines, and wait for its end.

        Returns:
            Nothing if its exit code is 0, otherwise how it ended.
        """
        process = self._running
        discarding = asyncio.create_task(_discard(process))
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # it need not read everything
            assert process.stdin is not None
            process.stdin.write(b"\n".join(lines) + b"\n")
            await process.stdin.drain()
        await self._close_input(process)
        await discarding
        return await self._ended()

    async def asked(self, lines: Sequence[bytes], answers: list[str]) -> str:
        """
        Send it lines, and put the answer to each into `answers`, as they come.

        Returns:
            Nothing if all were answered, otherwise how it ended.
        """
        process = self._running
        assert process.stdin is not None
        assert process.stdout is not None
        writing = asyncio.create_task(_write(process.stdin, lines))
        try:
            while len(answers) < len(lines):
                try:
                    line = await process.stdout.readline()
                except ValueError:
                    return await self._given_up(f"an answer is longer than {MAX_ANSWER:,} bytes")
                if not line.endswith(b"\n"):
                    return await self._ended()
                answers.append(line.decode(errors="replace").strip())
            return ""
        finally:
            writing.cancel()
            await asyncio.wait([writing])

    async def stop(self) -> None:
        """Close its standard input, wait for its end, and if it does not end, make it."""
        process = self._process
        if process is None:
            return
        await self._close_input(process)
        for kind in (SIGTERM, SIGKILL):
            try:
                async with asyncio.timeout(self._options.stop_timeout):
                    await process.wait()
                    break
            except TimeoutError:
                signalled(process.pid, kind)
        await process.wait()
        signalled(process.pid, SIGKILL)  # processes it started and left running
        await self._forget()

    async def kill(self) -> None:
        """Kill the program with SIGKILL, and wait until it has ended."""
        if self._process is not None:
            signalled(self._process.pid, SIGKILL)
            await self._process.wait()
            await self._forget()

    @property
    def _running(self) -> asyncio.subprocess.Process:
        assert self._process is not None, "it is not running"
        return self._process

    async def _ended(self) -> str:
        code = await self._running.wait()
        if self._errors is not None:
            await asyncio.wait([self._errors], timeout=1)
        message = f": {self._last_lines[0]}" if self._last_lines else ""
        signalled(self._running.pid, SIGKILL)
        await self._forget()
        return f"{ended(code)}{message}" if code else ""

    async def _given_up(self, why: str) -> str:
        await self.kill()
        return why

    async def _forget(self) -> None:
        task, self._errors, self._process = self._errors, None, None
        if task is not None:
            task.cancel()
            await asyncio.wait([task])

    async def _close_input(self, process: asyncio.subprocess.Process) -> None:
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            assert process.stdin is not None
            process.stdin.close()
            await process.stdin.wait_closed()

    async def _read_errors(self, process: asyncio.subprocess.Process) -> None:
        assert process.stderr is not None
        rest = b""
        while block := await process.stderr.read(8192):
            *lines, rest = (rest + block).split(b"\n")
            rest = rest[-MAX_ANSWER:]
            for line in lines:
                self._note(line)
        self._note(rest)

    def _note(self, line: bytes) -> None:
        if text := logged(line):
            self._last_lines.append(text)
            self._log.info("a command says", message=text)


async def _write(stdin: asyncio.StreamWriter, lines: Sequence[bytes]) -> None:
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):
        for start in range(0, len(lines), 64):
            stdin.write(b"\n".join(lines[start : start + 64]) + b"\n")
            await stdin.drain()


async def _discard(process: asyncio.subprocess.Process) -> None:
    assert process.stdout is not None
    while await process.stdout.read(MAX_ANSWER):
        pass
