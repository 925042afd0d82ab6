"""StoredState: reads a stage's state from the server, for its verb."""

from __future__ import annotations

import asyncio
from typing import Any

from rsq_pipe.engine.keyspace import Keyspace
from rsq_pipe.model.state import Question, StateChange
from rsq_pipe.spec.graph import Stage
from rsq_pipe.streams.backoff import Backoff
from rsq_pipe.streams.client import StreamClient
from rsq_pipe.streams.settlement import StateOf
from rsq_pipe.streams.state_reading import ask


class StoredState:
    """
    Read the state of one stage; only its settlements write it.

    Args:
        client: The server.
        pipeline: The pipeline's name.
        stage: The stage.
    """

    def __init__(self, client: StreamClient, pipeline: str, stage: Stage) -> None:
        keys = Keyspace(pipeline)
        self._client = client
        self._at = StateOf(keys.state(stage), keys.timers(stage), StateChange())
        self._backoff = Backoff(f"{stage.name} (state)")
        self._stopping = asyncio.Event()
        self.refused = 0
        """How many changes were not written because the state they were based on had changed."""

    async def ask(self, *questions: Question) -> list[Any]:
        """
        Ask several questions at once; keep trying while the server is unreachable, until `stop`.

        Raises:
            StreamError: An error that waiting does not repair, or, after `stop`, an unreachable server.

        Redis: like `ask` in `streams/state_reading.py`.
        """
        return await self._backoff.until_works(lambda: ask(self._client, self._at, questions), self._stopping)

    def stop(self) -> None:
        """Stop waiting for the server."""
        self._stopping.set()
