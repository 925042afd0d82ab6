"""The source and sink `objects` against Azure Blob Storage, which differs from S3 in more than its login."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from rsq_pipe.connectors.sink import TargetUnavailableError
from rsq_pipe.connectors.table import connector
from rsq_pipe.errors import SinkError
from rsq_pipe.model.batch import Batch
from tests.integration.connectors.struck_writer import Place, each_once
from tests.support.azure_store import AzureStore, Container, azure_store, container

__all__ = ["azure_store", "container"]

STRIKES = 6


def made(kind: Any, container: Container, path: str, **given: Any) -> Any:
    """Make a source or sink of a container, as a new process would."""
    found = connector(kind, "objects")
    options = found.options(**{"url": container.url(path), "timeout": "5s", **container.settings, **given})
    return found.made(options, pipeline="p", stage="it", root=Path("/"))


def batch(*numbers: int) -> Batch:
    return Batch([{"id": n, "kind": n % 3} for n in numbers], [f"read:{n}" for n in numbers])


def put(sink: Any, given: Batch) -> str:
    """Write a batch as the runner does; return the position that is stored then."""
    sink.prepare(given)
    position: str = sink.write(given).position
    sink.stored()
    return position


def in_parts(container: Container) -> dict[str, list[int]]:
    return {
        name: [json.loads(line)["id"] for line in data.splitlines()]
        for name, data in container.objects().items()
    }


def test_parts_are_made_once_and_what_was_not_settled_is_left_out_when_it_comes_again(
    container: Container,
) -> None:
    died = made("sink", container, "o/{part}.jsonl")
    died.open(None)
    given = batch(1, 2, 3)
    position = died.prepare(given)
    died.write(given)

    successor = made("sink", container, "o/{part}.jsonl")
    position = successor.open(position)
    position = put(successor, batch(3, 4))
    third = made("sink", container, "o/{part}.jsonl")
    third.open(position)
    put(third, batch(1, 2, 5))

    assert in_parts(container) == {
        "o/00000001.jsonl": [1, 2, 3],
        "o/00000002.jsonl": [4],
        "o/00000003.jsonl": [5],
    }


def test_a_request_that_arrives_late_is_refused(container: Container) -> None:
    late = made("sink", container, "o/{part}.jsonl")
    late.open(None)
    given = batch(1, 2)
    position = late.prepare(given)
    successor = made("sink", container, "o/{part}.jsonl")
    successor.open(position)
    put(successor, batch(1))

    with pytest.raises(TargetUnavailableError, match="another writer has created az://"):
        late.write(given)


def test_names_with_values_of_fields_come_back_as_they_were(container: Container) -> None:
    sink = made("sink", container, "k={k}/{part}.jsonl", partition_by="k")
    sink.open(None)
    put(sink, Batch([{"id": 1, "k": "a/b 50%"}], ["read:1"]))
    again = made("sink", container, "k={k}/{part}.jsonl", partition_by="k", exists="append")
    position = json.loads(again.open(None))

    assert in_parts(container) == {"k=a%2Fb%2050%25/00000001.jsonl": [1]}
    assert position == {"next": 2}


def test_fresh_deletes_the_parts(container: Container) -> None:
    sink = made("sink", container, "o/{part}.jsonl")
    sink.open(None)
    put(sink, batch(1))
    with pytest.raises(SinkError, match="exists and was not written by this pipeline"):
        made("sink", container, "o/{part}.jsonl").open(None)

    fresh = made("sink", container, "o/{part}.jsonl")
    fresh.open(None, fresh=True)
    put(fresh, batch(2))
    assert in_parts(container) == {"o/00000002.jsonl": [2]}


def test_what_was_written_is_read(container: Container) -> None:
    sink = made("sink", container, "o/kind={kind}/{part}.jsonl.gz", partition_by="kind")
    sink.open(None)
    put(sink, batch(1, 2, 3))

    source = made("source", container, "o/**/*.jsonl.gz")
    chunks = [chunk for shard in source.shards() for chunk in source.read(shard, "", 10)]
    assert sorted(one.data["id"] for chunk in chunks for one in chunk.arrivals) == [1, 2, 3]


def test_a_wrong_key_is_told(container: Container) -> None:
    login = {**container.settings["credentials"], "account_key": "AAAA"}

    with pytest.raises(SinkError, match="check `credentials`, and what they may do in the bucket"):
        made("sink", container, "o/{part}.jsonl", credentials=login).open(None)


def test_a_container_that_is_not_there_is_told(container: Container) -> None:
    container.name = "no-such-container"

    with pytest.raises(SinkError, match="there is no bucket 'no-such-container'; make it, or correct `url`"):
        made("sink", container, "o/{part}.jsonl").open(None)


@pytest.mark.parametrize(
    "names",
    [{"path": "o/{part}.jsonl"}, {"path": "o/kind={kind}/{part}.jsonl", "partition_by": "kind"}],
    ids=["one", "by_kind"],
)
@pytest.mark.chaos
@pytest.mark.timeout(180)
def test_each_record_stands_in_one_blob_whoever_is_killed_or_paused(
    azure_store: AzureStore, tmp_path: Path, names: dict[str, str]
) -> None:
    options: dict[str, Any] = {}
    containers: list[Container] = []

    def clear() -> None:
        new = azure_store.container()
        containers.append(new)
        by = {"partition_by": names["partition_by"]} if "partition_by" in names else {}
        options.update({**new.settings, "url": new.url(names["path"]), "timeout": "5s", **by})

    def ids() -> list[int]:
        return [n for part in in_parts(containers[-1]).values() for n in part]

    clear()
    place = Place("objects", options, ids, clear, writer="object_writer", batches=10, waits=False)
    each_once(place, tmp_path, STRIKES, "1")
