"""Stage name: an option's value that names a stage; the shell completes it from the pipeline file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import rich_click as click
from click.shell_completion import CompletionItem

from rsq_pipe.errors import RsqPipeError
from rsq_pipe.spec.graph import Graph
from rsq_pipe.spec.loader import load
from rsq_pipe.suggestion import suggest


class StageName(click.ParamType[str]):
    """Complete the stages of the SPEC given before the option."""

    name = "stage"

    def shell_complete(
        self,
        ctx: click.Context,
        param: click.Parameter,  # noqa: ARG002  click's signature
        incomplete: str,
    ) -> list[CompletionItem]:
        """List the stages that begin with what is typed; none if the file is not a pipeline."""
        # An option whose value is still being typed stops click's parsing before the arguments.
        spec = ctx.params.get("spec") or next(iter(ctx.args), None)
        try:
            graph = load(Path(spec), operate=True) if spec else None
        except RsqPipeError:
            graph = None
        stages = graph.stages if graph else ()
        return [CompletionItem(stage.name) for stage in stages if stage.name.startswith(incomplete)]


STAGE = StageName()


def known(graph: Graph, names: Sequence[str]) -> Sequence[str]:
    """Return stage names as they are, or refuse those the pipeline does not have."""
    there = [stage.name for stage in graph.stages]
    for name in names:
        if name not in there:
            raise click.UsageError(
                f"pipeline {graph.pipeline!r} has no stage {name!r}; {suggest(name, there)}"
            )
    return names
