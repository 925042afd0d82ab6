"""A sink by the ledger under a new name: each record stands in its target once, as before."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable

import pytest

from rsq_pipe.connectors.table import connector
from rsq_pipe.engine.sinks.target import position_field
from rsq_pipe.model.batch import Batch
from rsq_pipe.ops.rename import rename
from tests.integration.connectors.ledger_places import place
from tests.integration.connectors.struck_writer import Place
from tests.integration.engine.lab import Lab
from tests.support.signals import wait_until

__all__ = ["place"]

READ = "read: {source: {type: jsonl, path: in.jsonl}}"


def write(lab: Lab, numbers: Iterable[int]) -> None:
    with (lab.root / "in.jsonl").open("a") as file:
        file.writelines(json.dumps({"id": n, "pad": "x"}) + "\n" for n in numbers)


def spec(lab: Lab, place: Place, *names: str) -> None:
    sink = json.dumps({"type": place.kind, **place.options})
    lab.spec("\n".join([READ, *(f"{name}: {{from: read, sink: {sink}}}" for name in names)]))


async def test_a_renamed_sink_goes_on_where_it_was(lab: Lab, place: Place) -> None:
    write(lab, range(20))
    spec(lab, place, "out")
    await lab.run()
    write(lab, range(20, 40))
    spec(lab, place, "write")
    await rename(lab.client, lab.graph, "out", "write")

    await lab.run()

    assert sorted(await asyncio.to_thread(place.ids)) == list(range(40))


async def test_what_was_committed_and_not_settled_under_the_old_name_is_not_written_again(
    lab: Lab, place: Place
) -> None:
    write(lab, range(20))
    spec(lab, place, "out")
    reading = await lab.up(stages=["read"])

    async def all_wait() -> bool:
        return await lab.records_in("read") == 20

    await wait_until(all_wait, what="all records wait for the sink")
    await reading.stop()
    await commit_unsettled(lab, range(10))
    spec(lab, place, "write")
    await rename(lab.client, lab.graph, "out", "write")

    await lab.run()

    assert sorted(await asyncio.to_thread(place.ids)) == list(range(20))


@pytest.mark.parametrize("place", ["postgres", "mysql"], indirect=True)
async def test_a_new_stage_of_the_old_name_has_a_ledger_of_its_own(lab: Lab, place: Place) -> None:
    write(lab, range(20))
    spec(lab, place, "out")
    await lab.run()
    spec(lab, place, "write")
    await rename(lab.client, lab.graph, "out", "write")
    spec(lab, place, "write", "out")
    await lab.run()
    write(lab, range(20, 40))

    await lab.run()

    # The new one begins at what its stream still holds: what came after it was there.
    found = await asyncio.to_thread(place.ids)
    assert sorted(set(found)) == list(range(40))
    assert [found.count(n) for n in range(20, 40)] == [2] * 20


@pytest.mark.parametrize("place", ["sqlite", "postgres"], indirect=True)
async def test_renamed_there_and_back_and_begun_anew_it_still_has_its_ledger(lab: Lab, place: Place) -> None:
    place.options["fresh"] = "empty"
    write(lab, range(20))
    for old, new in (("", "out"), ("out", "write"), ("write", "out"), ("out", "last")):
        spec(lab, place, new)
        if old:
            await rename(lab.client, lab.graph, old, new)
        await lab.run()
    await lab.run(fresh=True)
    write(lab, range(20, 40))

    await lab.run()

    assert sorted(await asyncio.to_thread(place.ids)) == list(range(40))


async def commit_unsettled(lab: Lab, numbers: Iterable[int]) -> None:
    """Do what a sink does that is killed when its first batch is committed, and before that is settled."""
    stage = lab.graph.stage("out")
    made = connector("sink", stage.options.type).made(
        stage.options.options, pipeline=lab.pipeline, stage="out", root=lab.root, client=lab.client
    )
    field = position_field(stage, made.target)
    sunk = Batch([{"id": n, "pad": "x"} for n in numbers], [f"read:in.jsonl:{n + 1}" for n in numbers])
    # As the runner does, in threads.
    position = await asyncio.to_thread(made.open, None)
    await lab.redis("HSET", lab.key("meta"), field, f"0|{position}")
    await asyncio.to_thread(made.write, sunk)
    await asyncio.to_thread(made.close)
