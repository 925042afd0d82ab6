"""
What the sink `objects` guarantees: each record in one part, whoever is killed or paused, and when.

`STRIKES=120 SEED=7 pytest tests/integration/connectors/test_object_sink_contract.py` strikes more often.
"""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import Any

import pytest

from tests.integration.connectors.struck_writer import TOTAL, Place, Writer, each_once
from tests.support.object_store import Bucket, ObjectStore

STRIKES = int(os.environ.get("STRIKES", "12"))
SEED = os.environ.get("SEED", "1")


ONE = {"path": "o/{part}.jsonl"}
BY_KIND = {"path": "o/kind={kind}/{part}.jsonl", "partition_by": "kind"}


@pytest.fixture
def place(object_store: ObjectStore, names: dict[str, str]) -> Place:
    options: dict[str, Any] = {}
    buckets: list[Bucket] = []

    def clear() -> None:
        new = object_store.bucket()
        buckets.append(new)
        given = {"url": new.url(names["path"]), "timeout": "2s"}
        options.update({**new.settings, **given, **{k: v for k, v in names.items() if k != "path"}})

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
    """List the records in the parts: in the place their names say, and under numbers without a gap."""
    found: list[int] = []
    numbers: set[int] = set()
    for path, data in bucket.objects().items():
        kind, number = re.fullmatch(r"o/(?:kind=(\d)/)?(\d{8})\.jsonl", path).groups()  # type: ignore[union-attr]
        own = [json.loads(line)["id"] for line in data.splitlines()]
        assert kind is None or {n % 3 for n in own} <= {int(kind)}
        numbers.add(int(number))
        found += own
    assert numbers == set(range(1, len(numbers) + 1))
    return found


@pytest.mark.parametrize(
    ("names", "without", "batch"),
    [
        (ONE, "carried", 3),
        (ONE, "begun", 3),
        (ONE, "condition", 4),
        (BY_KIND, "carried", 3),
        (BY_KIND, "begun", 3),
        (BY_KIND, "condition", 4),
        (BY_KIND, "decided", 4),
    ],
)
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


@pytest.mark.parametrize("names", [ONE, BY_KIND], ids=["one", "by_kind"])
@pytest.mark.chaos
@pytest.mark.timeout(60 + 10 * STRIKES)
def test_each_record_stands_in_one_object_whoever_is_killed_or_paused(place: Place, tmp_path: Path) -> None:
    each_once(place, tmp_path, STRIKES, SEED)
