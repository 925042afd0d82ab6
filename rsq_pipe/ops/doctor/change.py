"""Change: whether a run of the pipeline's file would go on where the last one ended."""

from __future__ import annotations

from collections.abc import Iterator

from rsq_pipe.engine.changes.change import Plan
from rsq_pipe.ops.doctor.finding import Finding


def judge_change(found: Plan, spec: str) -> Iterator[Finding]:
    """Judge a file, `spec` in a command, that is another than the one that ran last."""
    if not found.differs:
        return
    if found.stranded:
        lost = "nothing is lost: `run` refuses it until you choose what becomes of what is left"
        yield Finding("plan", "warning", found.outlook, lost, f"rsq-pipe plan {spec}")
    else:
        yield Finding("plan", "note", found.outlook, "nothing is lost and nothing comes twice", "")
