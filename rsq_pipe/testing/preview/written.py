"""Written: determines in a temporary folder what a sink would write."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from rsq_pipe.connectors.objects.sink import parts_of
from rsq_pipe.connectors.sink import Sink
from rsq_pipe.connectors.table import connector
from rsq_pipe.engine.failures.failing import reason_of
from rsq_pipe.error_text import full_text
from rsq_pipe.model.batch import Batch
from rsq_pipe.spec.graph import Stage
from rsq_pipe.testing.preview.passage import Made, Passage

_TRIED = frozenset(("csv", "jsonl", "parquet", "objects"))


def written(stage: Stage, batch: Batch) -> Sequence[Passage]:
    """
    Return which records a sink would write, using a file that is deleted, or a part that is not uploaded.

    Args:
        stage: The sink.
        batch: The records.
    """
    failures = _failures(stage, batch) if stage.options.type in _TRIED and len(batch) else {}
    columns = _columns(stage, [record for place, record in enumerate(batch.records) if place not in failures])
    return [
        Passage(
            *(rid, record, "failed", full_text(failures[place])),
            reason=reason_of(failures[place]),
            error=full_text(failures[place]),
        )
        if place in failures
        else Passage(rid, record, "written", made=_made(columns, rid, record))
        for place, (rid, record) in enumerate(zip(batch.rids, batch.records, strict=True))
    ]


def _columns(stage: Stage, records: Sequence[Any]) -> Sequence[str] | None:
    """Name the only fields that the sink writes, if it leaves others out."""
    options = stage.options.options
    if getattr(options, "extra", "error") != "ignore" or not records:
        return None
    named = options.fields if stage.options.type == "csv" else options.columns
    return [*(named if named is not None else records[0])]


def _made(columns: Sequence[str] | None, rid: str, record: dict[str, Any]) -> Sequence[Made]:
    """Return the written fields of a record, if the sink leaves some out."""
    if columns is None or record.keys() <= {*columns}:
        return ()
    return [Made("", rid, {name: record[name] for name in columns if name in record})]


def _failures(stage: Stage, batch: Batch) -> dict[int, Exception]:
    ref = stage.options
    if ref.type == "objects":
        return dict(parts_of(ref.options).of(batch)[1])
    connect = connector("sink", ref.type).connect
    assert connect is not None
    with TemporaryDirectory(prefix="rsq-preview-") as folder:
        options = ref.options.model_copy(update={"path": "records"})
        sink: Sink = connect(options, stage=stage.name, root=Path(folder))
        sink.open(None)
        try:
            return dict(sink.write(batch).failures)
        finally:
            sink.close()
