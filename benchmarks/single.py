"""One connector at work, without a pipeline around it: runs it on given records, and measures that."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import closing
from inspect import signature
from pathlib import Path
from typing import Any

from benchmarks.measure import Figures, Stopwatch
from rsq_pipe.connectors.table import Kind, connector
from rsq_pipe.model.batch import Batch

ROWS = 500
"""How many records a batch has, unless stated otherwise."""

_HERE = Path()


def batches(count: int, rows: int = ROWS) -> Iterator[Batch]:
    """Make batches of records of five fields, each with an id of its own."""
    for number in range(count):
        ids = range(number * rows, (number + 1) * rows)
        yield Batch(
            [
                {"id": n, "carrier": "UA", "name": "United Air Lines Inc.", "delay": 2.5, "tail": None}
                for n in ids
            ],
            [f"read:orders.jsonl:{n}" for n in ids],
        )


def made(kind: Kind, name: str, /, root: Path = _HERE, **options: Any) -> Any:
    """Make a source or sink from its settings; nothing is opened yet."""
    found = connector(kind, name)
    settings = found.options.model_validate(options)
    stage = "read" if kind == "source" else "write"
    return found.made(settings, pipeline="bench", stage=stage, root=root)


def timed(given: list[Batch], write: Callable[[Batch], Any]) -> Figures:
    """Write batches that already exist."""
    watch = Stopwatch()
    for batch in given:
        write(batch)
    return watch.figures(sum(map(len, given)))


def written(sink: Any, given: list[Batch]) -> Figures:
    """Write batches to a sink, and close it: what it does then, such as finishing a file, counts."""
    sink.open(None, fresh=True)
    stored = getattr(sink, "stored", lambda: None)
    watch = Stopwatch()
    with closing(sink):
        for batch in given:
            sink.write(batch)
            stored()
    return watch.figures(sum(map(len, given)))


def sender(name: str, /, **options: Any) -> Any:
    """Make the verb that sends records, from its settings."""
    found = connector("sink", name)
    assert found.sender is not None
    more = {"root": Path()} if "root" in signature(found.sender).parameters else {}
    return found.sender(found.options.model_validate(options), stage="send", timeout=30.0, **more)


def sent(verb: Any, given: list[Batch]) -> Figures:
    """Send batches with a sink that sends records, as a stage's verb does."""

    async def send() -> Figures:
        watch = Stopwatch()
        for batch in given:
            outcomes = await verb.process(batch)
            assert not outcomes.failed, outcomes.failed
        await verb.close()
        return watch.figures(sum(map(len, given)))

    return asyncio.run(send())


def read(source: Any, size: int = ROWS, total: int = 0) -> Figures:
    """
    Read a source to its end, or until it has given so many records.

    Args:
        source: The source; if it waits for its records to be stored, it is told at once that they are.
        size: The most records of a chunk.
        total: How many records there are, if it does not end; 0 if it does.
    """
    watch, found = Stopwatch(), 0
    for shard in source.shards():
        with closing(source.read(shard, "", size)) as chunks:
            for chunk in chunks:
                assert not chunk.broken, chunk.broken
                found += len(chunk)
                if chunk.settled is not None:
                    chunk.settled(True)  # noqa: FBT003  as the runner calls it
                if total and found >= total:
                    break
    return watch.figures(found)
