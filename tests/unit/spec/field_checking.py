"""Pipelines for the tests of the check of field names."""

from __future__ import annotations

from pathlib import Path

from rsq_pipe.spec.loader import check

HEAD = "version: 1\npipeline: p\nstages:\n"
CSV = "  read: {source: {type: csv, path: orders.csv, types: {total: int}}}\n"
STREAM = "  read: {source: {type: stream, stream: in}}\n"
END = "  end: {sink: {type: stdout}}\n"


def told(root: Path, stages: str) -> list[str]:
    spec = root / "p.yaml"
    spec.write_text(HEAD + stages)
    return [str(one).removeprefix(f"{spec}:") for one in check(spec, root=root).problems]


SOLD = "  read: {source: {type: csv, path: sold.csv}}\n"
