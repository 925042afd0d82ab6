"""The dlt source and sink, loads of 5,000 records into DuckDB, compared with dlt alone."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.measure import Figures, Job, Stopwatch
from benchmarks.single import batches, made, read, timed, written
from rsq_pipe.connectors.dlt.quiet import dlt
from rsq_pipe.model.batch import Batch

TITLE = "By dlt: loads of 5,000 records, merged into DuckDB by id; a resource of its own"
SIZE = (4, 1)
BESIDE = {"source dlt": "bare resource", "sink dlt": "bare pipeline of dlt's"}
ROOT = Path(__file__).parents[1]
ROWS = 5_000


def whole(count: int) -> list[Batch]:
    """Make batches without a field that is always null: dlt warns about it."""
    given = list(batches(count, ROWS))
    for batch in given:
        for record in batch.records:
            del record["tail"]
    return given


def resource(count: int) -> Any:
    """Make a resource that yields records."""

    def rows() -> Iterator[dict[str, Any]]:
        for batch in whole(count):
            yield from batch.records

    return dlt().resource(rows, name="rows")


def bare_source(count: int) -> Figures:
    made_here = resource(count)
    watch = Stopwatch()
    return watch.figures(sum(1 for _ in made_here))


def source(count: int) -> Figures:
    function: dict[str, Any] = {"call": f"{__name__}:resource", "with": {"count": count}}
    return read(made("source", "dlt", root=ROOT, **function))


def bare_sink(count: int) -> Figures:
    with tempfile.TemporaryDirectory() as folder:
        destination = dlt().destinations.duckdb(f"{folder}/x.duckdb")
        pipeline = dlt().pipeline("bare", pipelines_dir=folder, destination=destination, dataset_name="bench")

        def write(batch: Batch) -> None:
            pipeline.run(batch.records, table_name="t", write_disposition="merge", primary_key="id")

        return timed(whole(count), write)


def sink(count: int) -> Figures:
    with tempfile.TemporaryDirectory() as folder:
        where: dict[str, Any] = {"destination": "duckdb", "credentials": f"{folder}/x.duckdb"}
        loading = made("sink", "dlt", root=Path(folder), dataset="bench", table="t", key=["id"], **where)
        return written(loading, whole(count))


@contextmanager
def contenders(count: int) -> Iterator[dict[str, Job]]:
    """Name the contenders for which dlt does the work."""
    yield {
        "bare resource": partial(bare_source, 10 * count),
        "source dlt": partial(source, 10 * count),
        "bare pipeline of dlt's": partial(bare_sink, count),
        "sink dlt": partial(sink, count),
    }
