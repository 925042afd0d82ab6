"""Looks: how often a run looks at its pipeline."""

from __future__ import annotations

from tests.integration.engine.lab import Running


class Looks:
    """Count the whole looks of one run, and how often it asked for what another saw since the last."""

    def __init__(self, run: Running) -> None:
        self.whole = self.asked = 0
        channel = run.client.channel
        transaction, execute = channel.transaction, channel.execute

        async def counted_transaction(*args: object, **named: object) -> object:
            self.whole += 1
            self.asked = 0
            return await transaction(*args, **named)  # type: ignore[arg-type]

        async def counted_execute(*args: object, **named: object) -> object:
            self.asked += args[0] == "GET"
            return await execute(*args, **named)  # type: ignore[arg-type]

        channel.transaction = counted_transaction  # type: ignore[method-assign, assignment]
        channel.execute = counted_execute  # type: ignore[method-assign]
