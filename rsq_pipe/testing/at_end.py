"""At the end: what leaves the state of a stage when all of its input has ended."""

from __future__ import annotations

from rsq_pipe.model.batch import Batch
from rsq_pipe.model.outcome import Outcomes
from rsq_pipe.model.partials import unpacked
from rsq_pipe.spec.graph import Stage
from rsq_pipe.spec.stages.aggregate import Aggregation
from rsq_pipe.testing.state_in_memory import StateInMemory
from rsq_pipe.verbs.windows.results import Group, Results
from rsq_pipe.verbs.windows.window_state import SESSIONS, window_end


async def leaving(stage: Stage, state: StateInMemory) -> tuple[Batch, Outcomes]:
    """Make the results of what an `aggregate` has in windows, in their order; nothing of other stages."""
    if not isinstance(stage.options, Aggregation):
        return Batch([], []), Outcomes()
    results = Results(stage.name, stage.options)
    batch = results.of(sorted(_groups(stage.options, state)))
    return batch, await results.process(batch)


def _groups(of: Aggregation, state: StateInMemory) -> list[Group]:
    found: list[Group] = []
    for bucket, fields in state.hashes.items():
        if bucket == SESSIONS and of.windows is not None:
            gap = of.windows.gap
            found += [
                Group(one[0], one[1] + gap, name, one[2:])
                for name, value in fields.items()
                for one in unpacked(value)
            ]
        elif bucket.lstrip("-").isdigit():
            start = int(bucket)
            end = window_end(start, of.windows)
            found += [Group(start, end, name, unpacked(value)) for name, value in fields.items()]
    return found
