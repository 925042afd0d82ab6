"""Lost writes: whether the server is back at an earlier moment, as after a failover or a restore."""

from __future__ import annotations

from collections.abc import Mapping

from rsq_pipe.engine.state.count_fields import appended
from rsq_pipe.engine.state.state import PipelineState


def lost_writes(
    before: PipelineState | None, totals: Mapping[str, int], state: PipelineState
) -> dict[str, int]:
    """
    Return the counters that are lower than they were, though they only grow, and by how many records.

    Args:
        before: The state at the look before.
        totals: What settlements had reported when the server was asked for `state`; of other counters than
            those of `before`, or newer.
        state: The state now.
    """
    known = {**(before.counters if before is not None else {}), **totals}
    found = {
        **state.counters,
        **{appended(stream): done + state.backlog[stream] for stream, done in state.settled.items()},
    }
    # What a stage has settled of a stream follows from what was written to it, and is not read alone.
    return {
        name: count - found.get(name, 0)
        for name, count in known.items()
        if count > found.get(name, 0) and not name.startswith("settled:")
    }
