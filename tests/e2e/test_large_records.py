"""Large records: a run's memory is that of the batches in flight, however many records there are."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from tests.support.command_line import rsq_pipe
from tests.support.project import Project

RECORDS = int(os.environ.get("SOAK_RECORDS", "300"))  # SOAK_RECORDS=15000 for a long look
SIZE = 300_000  # bytes of one record
BATCH = 20
MAY_GROW = 80 * SIZE  # from a third of the run on: four batches

HANDLERS = """
    import resource
    from rsq_pipe import batch_handler

    def peak():
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

    def sync(record):
        return {**record, "rss": peak()}

    @batch_handler
    def batch(records):
        return [{**record, "rss": peak()} for record in records]

    async def waits(record):
        return {**record, "rss": peak()}
"""


@pytest.mark.slow
@pytest.mark.timeout(60 + RECORDS // 10)
@pytest.mark.parametrize("handler", ["sync", "batch", "waits"])
def test_memory_does_not_grow_with_large_records(tmp_path: Path, name: str, handler: str) -> None:
    project = Project(tmp_path, name)
    project.handlers(HANDLERS)
    project.records(range(RECORDS), blob="x" * SIZE)
    project.spec(
        f"""
        read: {{source: {{type: jsonl, path: in.jsonl}}}}
        work: {{call: 'handlers:{handler}'}}
        seen: {{from: work, map: {{blob: null}}}}
        out: {{sink: {{type: jsonl, path: out/all.jsonl}}}}
        """,
        defaults=f"defaults: {{batch: {{size: {BATCH}}}}}\nmax_backlog: {2 * BATCH}",
    )

    run = rsq_pipe("run", project.path, cwd=tmp_path, timeout=50 + RECORDS // 10)

    assert run.returncode == 0, run.stderr
    peaks = [kibibytes(line) for line in (tmp_path / "out/all.jsonl").read_text().splitlines()]
    assert len(peaks) == RECORDS
    assert (peaks[-1] - peaks[RECORDS // 3]) * 1024 < MAY_GROW, peaks[:: RECORDS // 20]


def kibibytes(line: str) -> int:
    """Read a record's `rss`; macOS counts bytes."""
    found: int = json.loads(line)["rss"]
    return found // 1024 if os.uname().sysname == "Darwin" else found
