"""
What the sink `objects` guarantees: each record in one part, whoever is killed or paused, and when.

`STRIKES=120 SEED=7 pytest tests/integration/connectors/test_object_sink_contract.py` strikes more often.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from tests.integration.connectors.struck_writer import TOTAL, Place, Writer, each_once
from tests.support.object_store import Bucket, ObjectStore

STRIKES = int(os.environ.get("STRIKES", "12"))
SEED = os.environ.get("SEED", "1")


@pytest.fixture
def place(object_store: ObjectStore) -> Place:
    options: dict[str, Any] = {}
    buckets: list[Bucket] = []

    def clear() -> None:
        new = object_store.bucket()
        buckets.append(new)
        options.update({**new.settings, "url": new.url("o/{part}.jsonl"), "timeout": "2s"})

    clear()
    return Place(
        "objects",
        options,
        lambda: ids(buckets[-1]),
        clear,
        writer="object_writer",
        batches=10,
        waits=False,
    )


def ids(bucket: Bucket) -> list[int]:
    """List the records in the parts, whose numbers have no gap."""
    objects = bucket.objects()
    assert sorted(objects) == [f"o/{n + 1:08}.jsonl" for n in range(len(objects))]
    return [json.loads(line)["id"] for data in objects.values() for line in data.splitlines()]


@pytest.mark.parametrize(("without", "batch"), [("carried", 3), ("begun", 3), ("condition", 4)])
@pytest.mark.chaos
@pytest.mark.timeout(180)
def test_with_a_safety_of_the_object_sink_switched_off_records_are_lost_or_doubled(
    place: Place, tmp_path: Path, without: str, batch: int
) -> None:
    paused = Writer(place, tmp_path, kind="SIGSTOP", call=-batch, seed="a", without=without)
    assert paused.stopped()
    try:
        Writer(place, tmp_path, seed="b", without=without).end()
    finally:
        paused.resume()
    paused.end()

    assert sorted(place.ids()) != list(range(TOTAL))


@pytest.mark.chaos
@pytest.mark.timeout(60 + 10 * STRIKES)
def test_each_record_stands_in_one_object_whoever_is_killed_or_paused(place: Place, tmp_path: Path) -> None:
    each_once(place, tmp_path, STRIKES, SEED)
