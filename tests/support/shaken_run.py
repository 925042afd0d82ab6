"""
Shaken run: `rsq-pipe` as a process of the chaos tests, with short leases and a slow disk.

It can also run without one of its safeguards:

    python -m tests.support.shaken_run SABOTAGE run pipeline.yaml --redis URL

The sabotages show that the checker would notice.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import sys
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, TypeAlias

from msgspec.structs import replace

from rsq_pipe.cli.main import main
from rsq_pipe.connectors.files.file_target import FileTarget
from rsq_pipe.connectors.files.owned_file import OwnedFile
from rsq_pipe.connectors.ledger.shared_sink import SharedLedgerSink
from rsq_pipe.connectors.sink import Written
from rsq_pipe.engine.ownership.ownership import Superseded
from rsq_pipe.engine.sinks import sink_worker
from rsq_pipe.engine.sinks.target import BegunAnewError, Target
from rsq_pipe.engine.sources import shared_source_worker, source_worker
from rsq_pipe.engine.state.stored_state import StoredState
from rsq_pipe.engine.windows import closer
from rsq_pipe.engine.windows.passage import Passage
from rsq_pipe.engine.windows.result_sender import ResultSender
from rsq_pipe.model.batch import Batch
from rsq_pipe.model.state import Question, StateChange
from rsq_pipe.streams import client
from rsq_pipe.streams.client import StreamClient
from rsq_pipe.streams.script import INGEST, SETTLE, Script
from rsq_pipe.streams.settlement import Position, Settled, Settlement, spelled_out

LEASE = float(os.environ.get("SHAKEN_LEASE", "1"))
"""Seconds: pauses must outlast a lease, and a test must not take minutes."""

DISK = 0.01
"""
Seconds a sink of files or rows takes between writing a batch and settling it, and before it writes rows:
kills and pauses should often hit these moments.
"""


COPY = 0.1
"""Seconds it takes to copy a file in order to take it over: test files are small, others are not."""


def none() -> None:
    """Leave the product as it is."""


def settle_in_two_steps() -> None:
    """Write first, then acknowledge: what many do, with a possible crash in between."""
    atomic = StreamClient.settle

    async def settle(self: StreamClient, settlement: Settlement, *, group: str, consumer: str) -> Settled:
        if not group or settlement.position is not None:
            return await atomic(self, settlement, group=group, consumer=consumer)
        for part in settlement.parts:
            for stream, fields in (*spelled_out(part.outputs, part.rows), *part.dead):
                await self.channel.execute("XADD", stream, "*", *fields, key=stream)
            for retry in part.retries:
                await self.channel.execute("ZADD", retry.key, 0, retry.member, key=retry.key)
        await asyncio.sleep(0.01)
        for key, amounts in (*settlement.counts.items(), *settlement.drops.items()):
            for name, amount in amounts.items():
                await self.channel.execute("HINCRBY", key, name, amount, key=key)
        for part in settlement.parts:
            for entry in part.entries:
                await self.ack(entry.stream, group, [entry.id])
        return Settled(settlement.parts)

    StreamClient.settle = settle  # type: ignore[method-assign]


def settle_what_others_own() -> None:
    """Believe that entries are still ours."""
    head = "local function holds(place, id, deliveries)\n"
    _edit(SETTLE, head, f"{head}  do return true end\n")


def ingest_without_looking_at_the_position() -> None:
    """Believe that nobody else has read on, and be slow, so that somebody often has."""
    # A chunk with records is sent by one of these, one without records by the other.
    for script in (SETTLE, INGEST):
        _edit(script, "if stored ~= expected then", "if stored ~= expected and group ~= '' then")
    settle = StreamClient.settle

    async def late_settle(self: StreamClient, settlement: Settlement, *, group: str, **who: str) -> Settled:
        if not group:
            await asyncio.sleep(0.2)
        return await settle(self, settlement, group=group, **who)

    StreamClient.settle = late_settle  # type: ignore[method-assign]


def change_state_unchecked() -> None:
    """Believe that a state is still as it was read, and be slow, so that it often is not."""
    _edit(SETTLE, "if not check[op.kind](op) then", "if false then")
    ask = StoredState.ask

    async def late_ask(self: StoredState, *questions: Question) -> list[Any]:
        answers = await ask(self, *questions)
        await asyncio.sleep(0.01)
        return answers

    StoredState.ask = late_ask  # type: ignore[method-assign]


def change_state_in_a_step_of_its_own() -> None:
    """Change the state of a stage, and only then settle the entries that changed it."""
    atomic = StreamClient.settle

    async def settle(self: StreamClient, settlement: Settlement, *, group: str, consumer: str) -> Settled:
        if settlement.state is None or not group:
            return await atomic(self, settlement, group=group, consumer=consumer)
        settled = await atomic(self, Settlement(state=settlement.state), group="", consumer="")
        if settled.stale or settled.full:
            return settled
        await asyncio.sleep(0.15)
        rest = replace(settlement, state=None)
        return await atomic(self, rest, group=group, consumer=consumer)

    StreamClient.settle = settle  # type: ignore[method-assign]


def append_behind_uncommitted_lines() -> None:
    """Open a file as it is, without cutting off what was never committed; and take longer to commit it."""
    append = FileTarget.append

    def append_and_linger(self: FileTarget, data: bytes, records: int) -> None:
        append(self, data, records)
        time.sleep(10 * DISK)

    def committed(self: FileTarget, file: OwnedFile, position: str | None, *, fresh: bool) -> int:
        return int(file.size)

    FileTarget.append = append_and_linger  # type: ignore[method-assign]
    FileTarget._committed = committed  # type: ignore[method-assign]


def open_before_fencing() -> None:
    """Undo what is not committed to a file, and only then keep its former writers from committing."""

    async def open_once(self: Target) -> None:
        meta = self._keys.meta
        reply = await self._client.channel.execute("HGET", meta, self._field, key=meta)
        self._stored = reply.decode() if reply else ""
        epoch, bar, place = self._stored.partition("|")
        if epoch and int(epoch) > self._epoch:
            raise Superseded
        opened = await self._on_sink(self._sink.open, place if bar else None)
        if await self._store(f"{self._epoch}|{opened}"):
            self._must_open = False

    Target._open_once = open_once  # type: ignore[method-assign]


def write_as_if_nobody_had_it_before() -> None:
    """Believe that an entry is new although another writer of the table had it."""
    write = Target.write

    async def write_as_new(
        self: Target, batch: Batch, stopping: asyncio.Event, *, redelivered: bool = False
    ) -> tuple[Written, Position | None] | None:
        return await write(self, batch, stopping)

    Target.write = write_as_new  # type: ignore[method-assign]


def write_again_what_was_fenced() -> None:
    """Reopen the table after another writer has taken entries over, and write what was read before."""
    write = Target._write_shared

    async def write_on(
        self: Target, batch: Batch, stopping: asyncio.Event, *, redelivered: bool
    ) -> tuple[Written, Position | None]:
        while True:
            try:
                return await write(self, batch, stopping, redelivered=redelivered)
            except BegunAnewError:
                await self.open(stopping)

    Target._write_shared = write_on  # type: ignore[method-assign]


def close_windows_at_once() -> None:
    """Close a window as soon as later records have come, whatever is on its way to it."""

    async def has_ended(self: Passage) -> bool:
        return True

    Passage.has_ended = has_ended  # type: ignore[method-assign]


def send_results_unchecked() -> None:
    """Believe that what was read of a window is still there; be slow, and say when, so that it is not."""
    _edit(SETTLE, "if not check[op.kind](op) then", "if group ~= '' and not check[op.kind](op) then")
    send = ResultSender.send

    sending = Path(os.environ.get("SHAKEN_ROOT", ".")) / f"sending-{os.getpid()}"

    async def late_send(self: ResultSender, batch: Batch, change: StateChange) -> bool:
        sending.touch()
        await asyncio.sleep(0.3)
        sent = await send(self, batch, change)
        sending.unlink()
        return sent

    ResultSender.send = late_send  # type: ignore[method-assign]


def _slow_down_the_disk() -> None:
    append = FileTarget.append

    def slow_append(self: FileTarget, data: bytes, records: int) -> None:
        append(self, data, records)
        time.sleep(DISK)

    take_over = OwnedFile.take_over

    def slow_take_over(self: OwnedFile, length: int, may: AbstractContextManager[None]) -> None:
        time.sleep(COPY)
        take_over(self, length, may)

    for name in ("write", "write_again"):
        setattr(SharedLedgerSink, name, _slowly(getattr(SharedLedgerSink, name)))
    FileTarget.append = slow_append  # type: ignore[method-assign]
    OwnedFile.take_over = slow_take_over  # type: ignore[method-assign]


def shorten_leases() -> None:
    """Shorten leases to `LEASE` and, as in the product, give up a command about when one lapses."""
    for module, name in (
        *((sink_worker, "SECONDS"), (source_worker, "SECONDS")),
        *((shared_source_worker, "SECONDS"), (closer, "LEASE")),
    ):
        vars(module)[name] = LEASE
    vars(shared_source_worker)["TURN"] = LEASE / 4
    vars(client)["COMMAND_TIMEOUT"] = LEASE


_Write: TypeAlias = Callable[[SharedLedgerSink, Batch], Written]


def _slowly(write: _Write) -> _Write:
    def slow_write(self: SharedLedgerSink, batch: Batch) -> Written:
        time.sleep(DISK)
        written = write(self, batch)
        time.sleep(DISK)
        return written

    return slow_write


def _edit(script: Script, old: str, new: str) -> None:
    assert old in script.source, f"{script.name}.lua has changed: {old!r} is not in it"
    script.source = script.source.replace(old, new)
    script.sha = hashlib.sha1(script.source.encode()).hexdigest()


if __name__ == "__main__":
    sabotage = {
        act.__name__: act
        for act in (
            none,
            settle_in_two_steps,
            settle_what_others_own,
            ingest_without_looking_at_the_position,
            change_state_unchecked,
            change_state_in_a_step_of_its_own,
            append_behind_uncommitted_lines,
            open_before_fencing,
            write_as_if_nobody_had_it_before,
            write_again_what_was_fenced,
            close_windows_at_once,
            send_results_unchecked,
        )
    }
    sabotage[sys.argv.pop(1)]()
    _slow_down_the_disk()
    shorten_leases()
    main()
