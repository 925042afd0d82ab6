"""Session: a pipeline that is kept running while its files change."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator, Collection, Iterable, Mapping, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

from watchfiles import awatch

from rsq_pipe.cli.reloading.parts import OTHERS
from rsq_pipe.cli.reloading.process import StageProcess
from rsq_pipe.cli.reloading.screen import Screen, listed, named, spelled
from rsq_pipe.server.embedded import acquire
from rsq_pipe.spec.root import project_root
from rsq_pipe.units import counted

SETTLE = 100
"""Milliseconds without a write after which a file counts as changed: editors write twice."""

LOOK = 2_000
"""Milliseconds between checks without a notification: some file systems send none."""

_CODE = (".py", ".yaml", ".yml")
_MOST_FOLDERS = 500


class Session:
    """
    Run a pipeline, and replace the processes whose files have changed.

    The new process loads its code while the old one still runs. Only when it is ready does the old one drain:
    it finishes what it has in flight, settles it, and hands back the rest.

    Args:
        spec: The pipeline file.
        url: The server; None for the spec's, or the embedded one.
        fresh: Start over after each change, with all stages in one process.
    """

    def __init__(self, spec: Path, url: str | None, *, fresh: bool) -> None:
        self._spec = spec
        self._url = url
        self._fresh = fresh
        self._screen = Screen()
        self._stopping = asyncio.Event()
        self._processes: dict[str, StageProcess] = {}
        self._about: dict[str, Any] = {}
        self._stamps: dict[str, int] = {}
        self._is_broken = False
        self._has_reported_end = False
        self._address = ""

    def stop(self) -> None:
        """Drain all processes, and end."""
        self._stopping.set()

    async def run(self) -> None:
        """
        Keep the pipeline running until `stop`.

        Raises:
            ServerStartError: The embedded server cannot be started.
        """
        with ExitStack() as stack:
            try:
                async for changed in self._changes():
                    if not self._address:
                        await self._begin(stack)
                    elif changed:
                        await self._change(changed)
            finally:
                await self._end()

    async def _begin(self, stack: ExitStack) -> None:
        """Load the pipeline for the first time, and run it; while it has mistakes, wait for a change."""
        first = await self._loading()
        if first is None:
            return
        url = self._url or self._about["url"]
        self._address = url or stack.enter_context(acquire(Path(self._about["root"]))).url
        if not await self._may_run(first):
            return
        await self._take_over({self._part_of_first(): first})

    async def _change(self, changed: Collection[str]) -> None:
        """React to changed files."""
        shown = listed(map(_short, changed))
        parts = set(self._parts_of(changed))
        tables = {name for file in changed for name in self._about["tables"].get(file, ())}
        if tables and not parts and not self._is_spec(changed):
            self._stamp(changed)
            self._screen.show("changed", f"{shown}; {named(sorted(tables))} reads it again without a restart")
            return
        self._screen.show("changed", shown)
        everything = self._is_spec(changed) or self._is_broken or self._fresh or not self._processes
        first = await self._loading()
        if first is None:
            return
        if everything and not await self._may_run(first):
            return
        if everything:
            await self._take_over({self._part_of_first(): first})
            return
        over = {name for name, process in self._processes.items() if process.is_over}
        mine = sorted(parts | over) or [self._part_of_first()]
        await self._take_over({mine[0]: first}, only=mine)

    async def _loading(self) -> StageProcess | None:
        """Start a replacement process and let it load; None if the loaded files have mistakes."""
        self._stamp(self._files())
        process = await StageProcess.start(self._spec)
        found = await process.loaded()
        if self._stopping.is_set():
            await process.stop()
            return None
        if "ready" in found:
            self._about = found["ready"]
            self._is_broken = False
            self._stamp(set(self._files()) - self._stamps.keys())
            return process
        await process.stop()
        self._is_broken = True
        going = "; what ran before keeps running" if self._working() else ""
        what = found.get("wrong") or "the process that loads it died"
        self._screen.show("wrong", f"{what}\nwaiting for a change{going}")
        return None

    async def _may_run(self, process: StageProcess) -> bool:
        """Check the plan of a changed file; print why if it would lose something."""
        if self._fresh or not (why := await process.refused(self._address)):
            return True
        await process.stop()
        self._is_broken = True
        going = "; what ran before keeps running" if self._working() else ""
        self._screen.show("refused", f"{why}\nwaiting for a change{going}")
        return False

    async def _take_over(self, ready: dict[str, StageProcess], only: Sequence[str] | None = None) -> None:
        """Replace the working processes by those with new code, once all of these are ready."""
        parts = self._parts()
        names = list(parts) if only is None else [name for name in only if name in parts]
        loading = {name: ready.get(name) or await StageProcess.start(self._spec) for name in names}
        for name, process in loading.items():
            if name not in ready and "ready" not in await process.loaded():
                # The file has changed again in the meantime: the next check will report that.
                for other in loading.values():
                    await other.stop()
                return
        old = {
            name: self._processes.pop(name) for name in (*self._processes,) if only is None or name in names
        }
        started = time.monotonic()
        await asyncio.gather(*(process.stop() for process in old.values()))
        drained = time.monotonic()
        for name, process in loading.items():
            process.run(self._address, parts[name], fresh=self._fresh)
            self._processes[name] = process
        await asyncio.gather(*(process.running.wait() for process in loading.values()))
        self._has_reported_end = False
        loaded = max(process.seconds_to_load for process in loading.values())
        stages = [stage for name in names for stage in parts[name]]
        if old:
            away = time.monotonic() - started
            self._report_reload(stages, loaded, drained - started, away)
        else:
            self._report_start(stages, loaded)

    def _report_reload(self, stages: Sequence[str], loaded: float, drained: float, away: float) -> None:
        text = f"{named(stages)}: loaded in {spelled(loaded)} beside the old ones, which drained in "
        self._screen.show("reloaded", f"{text}{spelled(drained)}; away for {spelled(away)}")

    def _report_start(self, stages: Sequence[str], loaded: float) -> None:
        count = len(self._processes)
        where = "1 process" if count == 1 else f"{count} processes"
        self._screen.show(
            "running",
            f"{self._about['pipeline']}: {named(stages)} in {where}, loaded in {spelled(loaded)}; watching "
            f"{len(self._files())} files, Ctrl-C ends",
        )

    async def _end(self) -> None:
        working = self._working()
        started = time.monotonic()
        await asyncio.gather(*(process.stop() for process in self._processes.values()))
        if working:
            self._screen.show("ended", f"drained in {spelled(time.monotonic() - started)}")

    def _working(self) -> bool:
        return any(not process.is_over for process in self._processes.values())

    # Files.

    def _parts(self) -> Mapping[str, Sequence[str]]:
        parts: Mapping[str, Any] = self._about["parts"]
        if self._fresh:
            return {OTHERS: [stage for part in parts.values() for stage in part["stages"]]}
        return {name: part["stages"] for name, part in parts.items()}

    def _part_of_first(self) -> str:
        return next(iter(self._parts()))

    def _parts_of(self, changed: Collection[str]) -> Iterable[str]:
        for name, part in self._about["parts"].items():
            if set(changed) & set(part["files"]):
                yield name

    def _files(self) -> list[str]:
        parts = self._about.get("parts", {}).values()
        files = {file for part in parts for file in part["files"]} | set(self._about.get("tables", ()))
        return sorted({str(self._spec.absolute()), *files, *self._code_that_may_be_meant()})

    def _is_spec(self, changed: Collection[str]) -> bool:
        return str(self._spec.absolute()) in changed

    def _stamp(self, files: Iterable[str]) -> None:
        for file in files:
            self._stamps[file] = _stamp(file)

    def _changed(self) -> set[str]:
        return {file for file in self._files() if _stamp(file) != self._stamps.get(file)}

    async def _changes(self) -> AsyncIterator[set[str]]:
        """Yield the changed files, at first none; between changes, check whether processes ended."""
        yield set()
        while not self._stopping.is_set():
            woken: set[str] = set()
            folders = {str(Path(file).parent) for file in self._files()}
            async for events in awatch(
                *folders,
                recursive=False,
                debounce=SETTLE * 4,
                step=SETTLE,
                rust_timeout=LOOK,
                yield_on_timeout=True,
                stop_event=self._stopping,
                ignore_permission_denied=True,
            ):
                woken = {path for _, path in events if path.endswith(_CODE)}
                self._look_for_ends()
                if self._changed() or (woken and (self._is_broken or not self._address)):
                    break
            if self._stopping.is_set():
                return
            changed = self._changed() | (woken if self._is_broken else set())
            yield changed

    def _code_that_may_be_meant(self) -> Iterable[str]:
        """Name all code of the project: while the pipeline file is invalid, any of it may be used."""
        if self._about:
            return
        for number, (folder, inner, files) in enumerate(os.walk(project_root(self._spec))):
            inner[:] = [name for name in inner if not name.startswith((".", "node_modules", "__pycache__"))]
            yield from (str(Path(folder, name)) for name in files if name.endswith(_CODE))
            if number == _MOST_FOLDERS:
                return

    def _look_for_ends(self) -> None:
        """Report once that everything has been read, or that a stage could not go on."""
        over = {name: process for name, process in self._processes.items() if process.has_answered_all}
        if self._has_reported_end or not over:
            return
        failed = [stage for process in over.values() if process.done is None for stage in process.stages]
        if failed:
            self._has_reported_end = True
            self._screen.show("ended", f"{named(failed)}: could not go on; waiting for a change")
            return
        # Processes that do not read a source never learn that it has ended: they keep waiting for records.
        done = over[OTHERS].done if OTHERS in over else None
        if done is None:
            return
        self._has_reported_end = True
        dead = done["dead"]
        letters = f"; {counted(dead, 'dead letter')}, see `rsq-pipe dlq list`" if dead else ""
        self._screen.show("done", f"all sources were read to their end{letters}; waiting for a change")


def _stamp(file: str) -> int:
    with suppress(OSError):
        return Path(file).stat().st_mtime_ns
    return 0


def _short(file: str) -> str:
    """Return a file's path relative to the current folder."""
    return os.path.relpath(file)
