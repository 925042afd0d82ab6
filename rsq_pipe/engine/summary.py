"""Summary: what a pipeline did while a run was active, stage by stage."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from msgspec import Struct, field
from msgspec.structs import replace

from rsq_pipe.engine.state.hold import Hold
from rsq_pipe.engine.state.paused import Paused
from rsq_pipe.spec.graph import Graph

if TYPE_CHECKING:  # the test kit, which has no server, need not load a client
    from rsq_pipe.engine.state.state import PipelineState


class StageSummary(Struct, frozen=True):
    """
    Count one stage's records.

    Args:
        received: Records that were settled; a retried one counts each time.
        emitted: Records written to the streams below, or to a sink's target.
        dropped: Records that ended here on purpose.
        retried: Attempts that failed and were put off.
        dead: Dead letters written.
        drops: Reason -> how many records were dropped for it, most frequent first.
        stored: Records that went into the stage's state.
        unknown: Key that a lookup did not find -> how many records had it, most frequent first.
    """

    received: int
    emitted: int
    dropped: int
    retried: int
    dead: int
    drops: Mapping[str, int] = field(default_factory=dict)
    stored: int = 0
    unknown: Mapping[str, int] = field(default_factory=dict)

    @property
    def records(self) -> int:
        """Records that it finished, each counted once, however many attempts it took."""
        return self.received - self.retried


class Summary(Struct, frozen=True):
    """
    Count a run.

    The numbers are differences of counters that Redis moves in the same step that settles a batch. So they
    are exact, whatever was killed and repeated, and cover all processes that worked on the pipeline.

    Args:
        stages: By name, in the pipeline's order.
        seconds: How long the run took.
        finished: Whether all sources ended and everything was drained; False after a stop.
        dead_letters: Dead letters in all queues now, older ones included.
        untouched: Whether no record has ever moved in this pipeline.
        paused: Stages that are paused at the end.
        waiting: Records that each stage still has to handle, including those whose retry is not due yet.
        others: How many other processes ran the pipeline when this run began or ended.
    """

    stages: Mapping[str, StageSummary]
    seconds: float
    finished: bool
    dead_letters: int
    untouched: bool = False
    paused: Mapping[str, Paused | Hold] = field(default_factory=dict)
    waiting: Mapping[str, int] = field(default_factory=dict)
    others: int = 0

    @property
    def dead(self) -> int:
        """Dead letters written during the run."""
        return sum(stage.dead for stage in self.stages.values())

    @property
    def nothing_new(self) -> bool:
        """Whether no record moved."""
        return not any(stage.received or stage.emitted or stage.dead for stage in self.stages.values())


def _of_now(paused: Mapping[str, Paused | Hold], *, finished: bool) -> Mapping[str, Paused | Hold]:
    """Leave out what an earlier run said before it was stopped: a pause of this run keeps it from its end."""
    return {name: one for name, one in paused.items() if not finished or isinstance(one, Hold)}


def by_frequency(counts: Mapping[str, int]) -> dict[str, int]:
    """Sort by count, the highest first; equal counts by name."""
    return dict(sorted(counts.items(), key=lambda pair: (-pair[1], pair[0])))


def summarize(
    graph: Graph,
    before: Mapping[str, int],
    after: Mapping[str, int],
    *,
    seconds: float,
    finished: bool,
    dead_letters: int,
    paused: Mapping[str, Paused | Hold] | None = None,
) -> Summary:
    """Subtract the counters at the start of a run from those at its end."""

    def moved(stage: str, what: str) -> int:
        name = f"{stage}:{what}"
        return max(
            0, after.get(name, 0) - before.get(name, 0)
        )  # a server may come back with less than before

    def named(stage: str, what: str) -> dict[str, int]:
        prefix = f"{stage}:{what}:"
        names = [name.removeprefix(prefix) for name in after if name.startswith(prefix)]
        found = {name: moved(stage, f"{what}:{name}") for name in names}
        return by_frequency({name: count for name, count in found.items() if count})

    stages = {}
    for stage in graph.stages:
        out, dead = moved(stage.name, "out"), moved(stage.name, "dead")
        # A source has no entries to acknowledge: it counts what it wrote as received.
        received = out + dead if stage.verb == "source" else moved(stage.name, "in")
        stages[stage.name] = StageSummary(
            *(received, out, moved(stage.name, "dropped"), moved(stage.name, "retried"), dead),
            drops=named(stage.name, "dropped"),
            stored=moved(stage.name, "stored"),
            unknown=named(stage.name, "unknown"),
        )
    untouched = not any(after.values())
    return Summary(
        *(stages, seconds, finished, dead_letters),
        untouched=untouched,
        paused=_of_now(paused or {}, finished=finished),
    )


def summary_of(
    graph: Graph,
    before: Mapping[str, int],
    state: PipelineState,
    *,
    seconds: float,
    finished: bool,
    others: int = 0,
) -> Summary:
    """Summarize a run from what the pipeline holds at its end."""
    counted = summarize(
        *(graph, before, state.counters),
        seconds=seconds,
        finished=finished,
        dead_letters=sum(stage.dead for stage in state.stages.values()),
        paused=state.pauses,
    )
    return replace(
        counted, waiting={name: stage.backlog for name, stage in state.stages.items()}, others=others
    )
