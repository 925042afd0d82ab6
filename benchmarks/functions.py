"""The sources `generate` and `python` and the sink `python`, without server or file, compared with loops."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks import ours
from benchmarks.measure import Figures, Job, Stopwatch
from benchmarks.single import ROWS, batches, made, read, sent, timed
from rsq_pipe.connectors.table import connector
from rsq_pipe.spec.expressions.expression import compile_expression
from rsq_pipe.spec.loader import load
from rsq_pipe.streams.serializers import JsonSerializer
from rsq_pipe.verbs.build import build

TITLE = "Made here and taken by functions here, by 500 records"
SIZE = (200, 4)
BESIDE = {"source generate": "bare loop", "source python": "bare loop"}
ROOT = Path(__file__).parents[1]
STORE = """
def store(records, rids):
    for record, rid in zip(records, rids, strict=True):
        assert record["id"] >= 0 <= len(rid)
"""


def rows(count: int) -> Iterator[dict[str, Any]]:
    """Yield records, for the source `python`."""
    for n in range(count):
        yield {"id": n, "total": n * 0.5, "large": n > 90}


def looped(count: int) -> Figures:
    """Make the same records, and do nothing with them."""
    watch = Stopwatch()
    return watch.figures(len([*rows(count)]))


def generated(count: int) -> Figures:
    found = connector("source", "generate")
    fields = {"id": "n", "total": "round(random * 100, 2)", "large": "total > 90"}
    compiled = {name: compile_expression(text) for name, text in fields.items()}
    options = found.options(count=count).model_copy(update={"fields": compiled})
    return read(found.made(options, pipeline="bench", stage="read", root=Path()))


def yielded(count: int) -> Figures:
    function: dict[str, Any] = {"call": f"{__name__}:rows", "with": {"count": count}}
    return read(made("source", "python", root=ROOT, **function))


def called(count: int) -> Figures:
    """Call the function, and nothing else."""
    namespace: dict[str, Any] = {}
    exec(STORE, namespace)
    return timed(list(batches(count)), lambda batch: namespace["store"](batch.records, batch.rids))


def stored(count: int) -> Figures:
    with tempfile.TemporaryDirectory(prefix="rsq-") as folder:
        stages = {
            "read": {"source": {"type": "generate", "count": 1, "fields": {"id": "n"}}},
            "write": {"sink": {"type": "python", "call": "stores:store"}},
        }
        spec = ours.project(Path(folder), "bench", stages)
        (spec.parent / "stores.py").write_text(STORE)
        graph = load(spec)
        (stage,) = (one for one in graph.stages if one.name == "write")
        return sent(
            build(stage, root=graph.root, pipeline="bench", form=JsonSerializer()), list(batches(count))
        )


@contextmanager
def contenders(count: int) -> Iterator[dict[str, Job]]:
    """Name the contenders that need no server and no file."""
    yield {
        "bare loop": partial(looped, count * ROWS),
        "source generate": partial(generated, count * ROWS),
        "source python": partial(yielded, count * ROWS),
        "bare calls": partial(called, count),
        "sink python": partial(stored, count),
    }
