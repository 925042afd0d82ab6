"""Namesakes: pipeline files that name the same pipeline, and so would share its streams."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from rsq_pipe.spec.loader import Checked
from rsq_pipe.spec.problem import Problem


class Namesakes:
    """Remember which file was the first to name a pipeline, and warn of another one that names it."""

    def __init__(self) -> None:
        self._first: dict[tuple[str, str], tuple[Path, str]] = {}

    def told(self, path: Path, checked: Checked) -> Checked:
        """
        Return what a check found, with a warning where an earlier file names the same pipeline.

        No more than a warning: it harms only where both run on one server, and `--redis` has the last word.
        """
        graph = checked.graph
        if graph is None or checked.named_at is None:
            return checked
        line, column = checked.named_at
        # By what the files say, pipelines on two servers share nothing; each root has its own embedded one.
        name = (graph.pipeline, graph.redis_url or str(graph.root))
        file, place = self._first.setdefault(name, (path.resolve(), f"{path}:{line}"))
        if file == path.resolve():
            return checked
        what = f"{place} names its pipeline {graph.pipeline!r} too; on one server they share all streams"
        problem = Problem(str(path), line, column, "pipeline", what, "give each its own name", "warning")
        return replace(checked, problems=tuple(sorted((*checked.problems, problem))))
