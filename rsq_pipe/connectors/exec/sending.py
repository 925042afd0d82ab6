"""ExecSender: sends a command the records of a batch, and reads the outcome of each."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import ClassVar

from msgspec import Struct, field

from rsq_pipe.connectors.exec.command import SendOptions, why_not_run
from rsq_pipe.connectors.exec.partner import Partner
from rsq_pipe.connectors.jsonl.json_lines import json_rows
from rsq_pipe.errors import EndpointError, EndpointRefusedError, EndpointUnavailableError, without_frames
from rsq_pipe.model.batch import Batch
from rsq_pipe.model.outcome import Failure, Outcomes, Reject, Retry

SILENT = 5
"""After the command has failed for this many records in a row, the rest of the batch is not tried."""


class ExecSender:
    """
    Send records to a command.

    Args:
        options: The sink's settings.
        stage: The stage, for messages.
        timeout: Maximum seconds for a batch.
        root: The project root.

    Delivery: at least once.
    """

    pure: ClassVar[bool] = False
    changed: ClassVar[frozenset[str] | None] = frozenset()

    def __init__(self, options: SendOptions, *, stage: str, timeout: float, root: Path) -> None:
        self._options = options
        self._root = root
        self._stage = stage
        self._timeout = timeout
        self._partner = Partner(options, root, stage)
        self._silent = 0

    async def open(self) -> None:
        """Do nothing: the first batch runs the command."""

    async def process(self, batch: Batch) -> Outcomes:
        """
        Send one batch.

        Raises:
            EndpointRefusedError: The command cannot be run: the stage cannot continue.
        """
        rows, unwritable = json_rows(batch, rid=self._options.rid)
        found = _Fates({place: Failure(exc, retryable=False) for place, exc in unwritable.items()})
        self._silent = 0
        if rows and self._options.ack == "line":
            await self._ask(rows, found)
        elif rows:
            await self._run_in_halves(list(rows), rows, found)
        return Outcomes(
            dropped=found.dropped, failed=dict(sorted(found.failed.items())), done=sorted(found.done)
        )

    async def close(self) -> None:
        """Close its standard input, and end it."""
        await self._partner.stop()

    async def _run_in_halves(self, places: list[int], rows: dict[int, bytes], found: _Fates) -> None:
        """Run it for some records; if it fails, again for each half, down to one record."""
        if self._silent >= SILENT:
            self._fail(places, "it failed for the records before", found, certain=True)
            return
        if not (why := await self._once([rows[place] for place in places])):
            self._silent = 0
            found.done += places
        elif len(places) == 1:
            self._silent += 1
            self._fail(places, why, found, certain=False)
        else:
            middle = len(places) // 2
            await self._run_in_halves(places[:middle], rows, found)
            await self._run_in_halves(places[middle:], rows, found)

    async def _once(self, lines: list[bytes]) -> str:
        await self._start()
        try:
            async with asyncio.timeout(self._timeout):
                return await self._partner.run_for(lines)
        except TimeoutError:
            return f"it did not end within `timeout`, {self._timeout:g} s"
        finally:
            await self._partner.kill()  # if it is still running

    async def _ask(self, rows: dict[int, bytes], found: _Fates) -> None:
        """Send it the records, and sort them by its answers; if it ends, continue after the current one."""
        left = list(rows)
        while left:
            if self._silent >= SILENT:
                self._fail(left, "it ended for the records before", found, certain=True)
                return
            answers: list[str] = []
            why = await self._answered([rows[place] for place in left], answers)
            self._silent = 0 if answers else self._silent
            for place, answer in zip(left, answers, strict=False):
                self._sort(place, answer, found)
            left = left[len(answers) :]
            if left:
                self._silent += 1
                self._fail(left[:1], why or "it ended without an answer", found, certain=False)
                left = left[1:]

    async def _answered(self, lines: list[bytes], answers: list[str]) -> str:
        await self._start()
        try:
            async with asyncio.timeout(self._timeout):
                return await self._partner.asked(lines, answers)
        except TimeoutError:
            return f"it did not answer within `timeout`, {self._timeout:g} s"
        finally:
            if len(answers) < len(lines):
                await self._partner.kill()

    def _sort(self, place: int, answer: str, found: _Fates) -> None:
        word, _, why = answer.partition(" ")
        match word.rstrip(":").lower():
            case "ok" | "":
                found.done.append(place)
            case "reject":
                found.failed[place] = Reject(why or "the command rejects it")
            case "retry":
                found.failed[place] = Retry(reason=why or "the command asked for it again")
            case "drop":
                found.dropped.setdefault(why or "dropped", []).append(place)
            case _:
                what = f"it answers {answer[:200]!r}; write ok, reject WHY, retry WHY or drop WHY"
                error = EndpointError(self._message(what), stage=self._stage)
                found.failed[place] = Failure(without_frames(error), retryable=False)

    async def _start(self) -> None:
        try:
            await self._partner.start()
        except (OSError, ValueError) as exc:
            what = why_not_run(self._options, self._root, exc)
            raise EndpointRefusedError(self._message(what), stage=self._stage) from exc

    def _fail(self, places: list[int], why: str, found: _Fates, *, certain: bool) -> None:
        error = EndpointUnavailableError(self._message(why), stage=self._stage, certain=certain)
        for place in places:
            found.failed[place] = Failure(without_frames(error), retryable=True)

    def _message(self, what: str) -> str:
        return f"stage {self._stage!r}: command {self._options.shown}: {what}"


class _Fates(Struct):
    """The outcomes of the records of one batch, by place."""

    failed: dict[int, Failure | Retry | Reject] = field(default_factory=dict)
    dropped: dict[str, list[int]] = field(default_factory=dict)
    done: list[int] = field(default_factory=list)
