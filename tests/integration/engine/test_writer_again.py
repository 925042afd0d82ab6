"""A process that becomes the writer of a target again, after another was: what it says about outages."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping

import pytest

from rsq_pipe.connectors.sink import TargetUnavailableError, Written
from rsq_pipe.engine.sinks import target as targets
from rsq_pipe.engine.sinks.target import BegunAnewError, Target
from rsq_pipe.model.batch import Batch
from tests.integration.engine.lab import READ, Lab


class Table:
    """A sink that several processes may write, and whose server goes and comes back."""

    target = "table t"
    guarantee = "exactly-once"
    exclusive = True
    writers = 1
    is_away = False

    def open(
        self,
        position: str | None,
        *,
        fresh: bool = False,
        still: Callable[[], bool] = lambda: True,
    ) -> str:
        return "0"

    def take(self, shard: int, positions: Mapping[int, str]) -> None:
        pass

    def write(self, batch: Batch) -> Written:
        if self.is_away:
            raise TargetUnavailableError("terminating connection")
        return Written(str(len(batch)), {})

    write_again = write

    def close(self) -> None:
        pass


async def test_an_outage_that_ended_while_another_process_was_the_writer_is_not_said_to_end_now(
    lab: Lab, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    table, batch, never = Table(), Batch([{"n": 1}], ["read:1"]), asyncio.Event()
    monkeypatch.setattr(targets, "sink_of", lambda *_: table)
    lab.spec(f"{READ}\nstore: {{sink: {{type: sqlite, path: t.db, table: t}}}}")
    told: list[str] = []
    target = Target(lab.client, lab.graph, lab.graph.stages[1], away=told.append)
    target.begin(1)
    await target.open(never)
    table.is_away = True
    with pytest.raises(BegunAnewError):
        await target.write(batch, never)
    table.is_away = False

    target.begin(3)  # the second writer was another process
    await target.open(never)
    assert told[-1] == "", "it is not away any more"
    written = await target.write(batch, never)
    assert written is not None
    assert written[1] is not None
    target.stored(written[1])

    assert "trying again" in caplog.text
    assert "works again" not in caplog.text
