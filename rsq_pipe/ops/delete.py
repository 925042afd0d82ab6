"""Delete: removes every key of a pipeline, without needing its file."""

from __future__ import annotations

import contextlib

from rsq_pipe.engine.changes.last_run import marks
from rsq_pipe.engine.changes.past import read_past
from rsq_pipe.engine.keyspace import Keyspace
from rsq_pipe.engine.ownership.presence import SECONDS, Presence
from rsq_pipe.engine.state.state_keys import keys_like
from rsq_pipe.errors import SettleError
from rsq_pipe.streams.client import StreamClient
from rsq_pipe.streams.script import CLEAR

_ROUNDS = 5
"""Number of passes over the remaining keys: a process that was paused may still write some."""


async def keys_of(client: StreamClient, pipeline: str) -> list[str]:
    """
    List the keys of a pipeline.

    Redis: SCAN, in steps of `SCAN` keys, on the server that holds the pipeline.
    """
    keys = Keyspace(pipeline)
    return await keys_like(client, keys.pattern, keys.meta)


async def delete(client: StreamClient, pipeline: str) -> int:
    """
    Delete every key of a pipeline: streams, dead letters, state, positions, counters.

    Streams from outside stay, but the pipeline's groups on them go. Files that its sinks wrote stay.

    Returns:
        How many keys were deleted.

    Raises:
        PipelineBusyError: A process runs it; nothing was deleted.

    Cancellation: between two steps; calling again continues.
    Redis: SCAN, XGROUP DESTROY per group on a stream from outside, then clear.lua, which checks once more
    whether a process runs it, and deletes all or nothing.
    """
    presence, keys = Presence(client, pipeline), Keyspace(pipeline)
    await presence.refuse_others()
    past = await read_past(client, pipeline)
    deleted = 0
    for _ in range(_ROUNDS):
        found = [key for key in await keys_of(client, pipeline) if key not in {keys.meta, keys.runs}]
        if deleted and not found:
            break
        gone = await presence.gone()
        count, *others = await client.channel.run(
            CLEAR,
            [keys.meta, keys.runs, *found],
            [presence.name, SECONDS, len(gone), *gone],
        )
        if others:
            raise presence.busy([name.decode() for name in others])
        deleted += int(count)
        deleted += int(await client.channel.execute("DEL", keys.runs, key=keys.runs))
    # Groups go last: while the pipeline existed, a starting run would have created them again.
    for stage, stream in marks(past.fields):
        if not stream.startswith(f"{{{pipeline}}}:"):
            with contextlib.suppress(SettleError):  # the stream does not exist
                await client.channel.execute("XGROUP", "DESTROY", stream, stage, key=stream)
    return deleted
