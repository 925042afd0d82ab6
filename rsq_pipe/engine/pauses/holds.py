"""Holds: stages paused, by hand or for too many dead letters, until an operator resumes them."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Collection, Mapping

import structlog
from msgspec import Struct
from msgspec.structs import replace

from rsq_pipe.engine.keyspace import Keyspace
from rsq_pipe.engine.pauses.dead_letter_share import DeadLetterShare
from rsq_pipe.engine.pauses.read_pause import ReadPause
from rsq_pipe.engine.state.hold import Hold, hold_field, resumed_field
from rsq_pipe.engine.state.state import PipelineState
from rsq_pipe.errors import HandlerError
from rsq_pipe.model.counters import finished
from rsq_pipe.spec.graph import DeadLetterLimit, Graph, Stage
from rsq_pipe.streams.client import StreamClient
from rsq_pipe.streams.script import HOLD

_REASON = "held"


class _OwnHold(Struct, frozen=True):
    """
    Describe a hold that this process has begun.

    Args:
        hold: The hold.
        resumed: How often the stage had been resumed when the reason was seen.
        written: When it was written to the server, by `time.monotonic`.
    """

    hold: Hold
    resumed: int
    written: float = math.inf


class Holds:
    """
    Keep workers of held stages from reading; hold stages with too many dead letters.

    Args:
        client, graph: The pipeline.
        halt: Called with an error that must end the run.
        by: The process's name, as others read it.
    """

    def __init__(
        self, client: StreamClient, graph: Graph, halt: Callable[[BaseException], None], by: str = ""
    ) -> None:
        self._client = client
        self._meta = Keyspace(graph.pipeline).meta
        self._halt = halt
        self._by = by
        self._held: dict[str, Hold] = {}
        self._own: dict[str, _OwnHold] = {}  # those not yet seen in a look
        self._resumed: Mapping[str, int] = {}
        self._counters: dict[str, int] = {}
        self._read_pauses: list[tuple[Collection[str], ReadPause]] = []
        self.limits = [
            (stage, stage.dead_letters, DeadLetterShare(stage.dead_letters))
            for stage in graph.stages
            if stage.dead_letters is not None
        ]
        """The stages with a limit of dead letters: `check_limits` is for these."""
        self._log = structlog.get_logger("rsq_pipe").bind(pipeline=graph.pipeline)

    def watch(self, stages: Collection[str], read_pause: ReadPause) -> None:
        """Keep a worker from reading while one of its stages is held."""
        self._read_pauses.append((stages, read_pause))
        self._pause_readers()

    def update(self, state: PipelineState, asked: float) -> None:
        """Update from the server's answer; `asked` is when it was asked, by `time.monotonic`."""
        for name in {*state.resumed, *self._resumed}:
            if state.resumed.get(name, 0) != self._resumed.get(name, 0):
                self._own.pop(name, None)  # someone has dealt with what this process saw
        # A hold written after the question is not in the answer; that does not mean it was resumed.
        self._own = {name: own for name, own in self._own.items() if own.written >= asked}
        held = {**state.held, **{name: own.hold for name, own in self._own.items()}}
        for name in held.keys() - self._held.keys():
            self._log.warning("paused until it is resumed", stage=name, reason=held[name].why)
        released = self._held.keys() - held.keys()
        for name in released:
            self._log.warning("goes on: it was resumed", stage=name)
        for stage, _, share in self.limits:
            was_resumed = state.resumed.get(stage.name, 0) != self._resumed.get(stage.name, 0)
            if stage.name in released or was_resumed:  # what was handled before no longer counts
                share.begin(*_handled(stage, self._raise_counters(state.counters)))
        self._held, self._resumed = held, state.resumed
        self._pause_readers()
        self.check_limits(state.counters)

    def check_limits(self, counters: Mapping[str, int]) -> None:
        """Check the limits against counters of a look or settlement; lower values than known are ignored."""
        known = self._raise_counters(counters)
        for stage, limit, share in self.limits:
            if stage.name in self._held:
                continue
            why = share.too_many(*_handled(stage, known))
            if why:
                self._exceeded(stage, limit, why)

    async def publish(self) -> None:
        """
        Write to the server which stages this process has begun to hold.

        Raises:
            ServerUnavailableError: It cannot be reached.

        Redis: hold.lua; the first hold stays.
        """
        for name, own in tuple(self._own.items()):
            if own.written < math.inf:
                continue
            fields = (hold_field(name), own.hold.dump(), resumed_field(name), own.resumed)
            holds = await self._client.channel.run(HOLD, [self._meta], [*fields])
            if self._own.get(name) is own:
                # If it was resumed in the meantime, the next look finds out.
                self._own[name] = replace(own, written=time.monotonic() if holds else -math.inf)

    def _raise_counters(self, counters: Mapping[str, int]) -> Mapping[str, int]:
        """Take in counters, which may be older than those known; return the highest known of each."""
        for name, count in counters.items():
            self._counters[name] = max(count, self._counters.get(name, 0))
        return self._counters

    def _exceeded(self, stage: Stage, limit: DeadLetterLimit, why: str) -> None:
        if limit.then == "stop":
            what = f"stage {stage.name!r} stopped: {why}. Nothing is lost: fix the cause, and run again"
            self._halt(HandlerError(what, stage=stage.name))
            return
        hold = Hold(why, time.time(), self._by)
        self._held[stage.name] = hold
        self._own[stage.name] = _OwnHold(hold, self._resumed.get(stage.name, 0))
        self._log.warning("paused until it is resumed", stage=stage.name, reason=why)
        self._pause_readers()

    def _pause_readers(self) -> None:
        """Keep the workers of held stages from reading, and let the others read."""
        for stages, read_pause in self._read_pauses:
            if any(name in self._held for name in stages):
                read_pause.pause(_REASON)
            else:
                read_pause.resume(_REASON)


def _handled(stage: Stage, counters: Mapping[str, int]) -> tuple[int, int]:
    """Read how many records a stage has finished, and how many of them became dead letters."""

    def counted(what: str) -> int:
        return counters.get(f"{stage.name}:{what}", 0)

    return finished(counted, is_source=stage.verb == "source"), counted("dead")
