"""Bounds: limits of what a stage may hold, checked by a probe."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from msgspec import Struct

from rsq_pipe.ops.memory_use import MemoryUse
from rsq_pipe.ops.stage_status import StageStatus
from rsq_pipe.ops.status import PipelineStatus
from rsq_pipe.streams.memory import NO_REPLICAS, REPLICA
from rsq_pipe.units import counted, format_duration

_MIB = 1 << 20

_WORTH_NAMING = 0.1
"""The share of a full server's memory from which on it is said what takes it."""

_PURGE = "`rsq-pipe dlq export` and then `rsq-pipe dlq purge` {}"


class Breach(Struct, frozen=True):
    """
    Describe a limit that is exceeded, or why a stage or the whole pipeline cannot go on.

    Args:
        bound: `max-lag`, `max-oldest`, `max-dlq`, `lost`, `full`, `refusal`, or `never-ran`.
        stage: The stage; empty for `full`, `refusal` and `never-ran`, which concern no stage.
        seen: Entries, seconds, or for `full` bytes; None if the server cannot tell.
        limit: The bound, for `full` the server's maxmemory; None for those without a number.
        text: The sentence for users.
    """

    bound: str
    stage: str
    seen: float | None
    limit: float | None
    text: str


class Bounds(Struct, frozen=True):
    """
    Define what each stage may hold; None for no limit.

    Args:
        lag: Entries not yet delivered.
        oldest: Seconds since its oldest unsettled entry was written.
        dlq: Dead letters.
    """

    lag: int | None = None
    oldest: float | None = None
    dlq: int | None = None

    def breaches(self, status: PipelineStatus) -> tuple[Breach, ...]:
        """
        List the limits that are exceeded.

        A full server or disk and a stage that lost its place are listed in any case. A pipeline that never
        ran is listed if any limit is set: a probe of the wrong server must not succeed.
        """
        whole = (*_full(status), *_refusal(status))
        if not status.ran and self != Bounds():
            return (*whole, _never_ran(status))
        return (*whole, *(breach for stage in status.stages for breach in self._of(stage)))

    def _of(self, stage: StageStatus) -> Iterator[Breach]:
        name = stage.name
        if stage.state == "lost":
            yield Breach(
                *("lost", name, None, None),
                f"stage {name!r} lost its place: a consumer group it had is gone; `run` says what to do",
            )
        # If the server cannot count, the upper limit is compared: a probe must not pass by luck.
        most = stage.lag_at_most if stage.lag is None else stage.lag
        if self.lag is not None and stage.state != "lost" and most > self.lag:
            lag = f"{stage.lag:,}" if stage.lag is not None else f"unknown, at most {most:,}"
            yield Breach(
                *("max-lag", name, stage.lag, self.lag),
                f"stage {name!r}: lag is {lag}; --max-lag is {self.lag:,}",
            )
        if self.oldest is not None and (stage.oldest_seconds or 0) > self.oldest:
            yield Breach(
                *("max-oldest", name, stage.oldest_seconds, self.oldest),
                f"stage {name!r}: its oldest entry has waited {stage.oldest_seconds:,.0f}s; "
                f"--max-oldest is {format_duration(self.oldest)}",
            )
        if self.dlq is not None and stage.dead > self.dlq:
            yield Breach(
                *("max-dlq", name, stage.dead, self.dlq),
                f"stage {name!r}: {counted(stage.dead, 'dead letter')}; --max-dlq is {self.dlq:,}",
            )


def _never_ran(status: PipelineStatus) -> Breach:
    where = f"on {status.server}" if status.server else "on the embedded server"
    return Breach(
        *("never-ran", "", None, None),
        f"no bound can be measured: pipeline {status.pipeline!r} never ran {where}, or that was flushed "
        "since; look at the address (--redis, RSQ_PIPE_REDIS), or start `rsq-pipe run`",
    )


def _refusal(status: PipelineStatus) -> Iterator[Breach]:
    if status.refusal:
        mend = "Free space on its disk, or repair it"
        if status.refusal.startswith(REPLICA):
            mend = "Make it the primary again, or name that with --redis; `rsq-pipe doctor` says more"
        elif status.refusal.startswith(NO_REPLICAS):
            mend = "Start the replicas that are missing"
        yield Breach(
            *("refusal", "", None, None),
            f"the server refuses to write: {status.refusal.rstrip('.')}. {mend}; sources and stages wait "
            "until then, and go on by themselves",
        )


def _full(status: PipelineStatus) -> Iterator[Breach]:
    memory = status.memory
    if memory is None or not memory.is_full:
        return
    yield Breach(
        *("full", "", memory.used, memory.limit),
        f"the server is full, and what sources bring has to wait: {memory.used / _MIB:,.1f} MiB used of "
        f"maxmemory {memory.limit / _MIB:,.1f} MiB. {_held(status)}: {_mend(status)}",
    )


def _held(status: PipelineStatus) -> str:
    """Say what takes room."""
    if status.memory_use:
        sizes = (f"{_named(status, use)} {use.bytes / _MIB:,.1f} MiB" for use in _large(status))
        return f"Memory is taken by {', '.join(sizes)}"
    waiting = {stage.name: stage.backlog for stage in status.stages if stage.backlog}
    dead = [f"{stage.dead:,} of stage {stage.name!r}" for stage in status.stages if stage.dead]
    held = [f"dead letters, {', '.join(dead)}"] if dead else []
    if waiting:
        most = max(waiting, key=waiting.__getitem__)
        total = sum(waiting.values())
        who = "record that waits" if total == 1 else "records that wait, most"
        held.insert(0, f"{total:,} {who} for stage {most!r}")
    return f"It holds {', and '.join(held)}" if held else "Nothing of this pipeline is shown to take room"


def _large(status: PipelineStatus) -> list[MemoryUse]:
    """Choose what is worth naming, the largest first."""
    least = _WORTH_NAMING * sum(use.bytes for use in status.memory_use)
    return [use for use in status.memory_use if use.bytes >= least]


def _named(status: PipelineStatus, use: MemoryUse) -> str:
    match use.what:
        case "input":
            to_do = counted(_backlog(status, use.name), "record")
            return f"the input of stage {use.name!r} ({to_do} to do)"
        case "dead":
            dead = next((stage.dead for stage in status.stages if stage.name == use.name), 0)
            return f"{counted(dead, 'dead letter')} of stage {use.name!r}"
        case "state":
            return f"the state of stage {use.name!r}"
        case "published":
            return f"the published stream {use.name!r}"
        case "reports":
            return "journals and counters of the pipeline"
        case "others":
            return "other keys of the server"
        case "server":
            return "the server itself and its clients"


def _backlog(status: PipelineStatus, name: str) -> int:
    return next((stage.backlog for stage in status.stages if stage.name == name), 0)


def _mend(status: PipelineStatus) -> str:
    """Say what makes room."""
    paused = [stage.name for stage in status.stages if stage.backlog and stage.paused and stage.paused.held]
    mend = ["raise maxmemory"]
    if paused:
        mend.append(f"`rsq-pipe resume` what is paused, {', '.join(map(repr, paused))}")
    if not status.memory_use and any(stage.dead for stage in status.stages):
        mend.append(_PURGE.format("the dead letters"))
    mend += [how for use in _large(status) if (how := _how(status, use, paused))]
    if len(mend) == 1 and not status.memory_use:
        mend.append("let the stages work off what waits, or look at who else uses the server")
    return ", or ".join(mend)


def _how(status: PipelineStatus, use: MemoryUse, paused: Sequence[str]) -> str:
    """Say how one kind of data becomes less; empty if it cannot, or that is said already."""
    match use.what:
        case "input" if use.name not in paused:
            if not status.runs:
                return "run the pipeline"
            if not _backlog(status, use.name):
                return "make `keep` shorter: what stages have handled is kept that long"
            return f"let stage {use.name!r} work off what waits"
        case "dead":
            return _PURGE.format(f"the dead letters of stage {use.name!r}")
        case "state":
            return f"give stage {use.name!r} a smaller `max_keys` or shorter windows"
        case "published":
            return f"let its readers acknowledge {use.name!r} through a group, or trim it"
        case "others":
            return "look at who else uses the server"
    return ""
