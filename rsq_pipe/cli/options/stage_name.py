"""Stage name: an option's value that names a stage; the shell completes it from the pipeline file."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import rich_click as click
from click.shell_completion import CompletionItem

from rsq_pipe.errors import RsqPipeError
from rsq_pipe.spec.graph import Graph, Stage
from rsq_pipe.spec.loader import load
from rsq_pipe.suggestion import first_of, one_of, suggest


class StageName(click.ParamType[str]):
    """
    Complete the stages of the SPEC given before the option, and list them if none is named.

    Args:
        fits: Whether the command is of use for a stage.
    """

    name = "stage"

    def __init__(self, fits: Callable[[Stage], bool] = lambda _: True) -> None:
        self._fits = fits

    def shell_complete(
        self,
        ctx: click.Context,
        param: click.Parameter,  # noqa: ARG002  click's signature
        incomplete: str,
    ) -> list[CompletionItem]:
        """List the stages that begin with what is typed; none if the file is not a pipeline."""
        # An option whose value is still being typed stops click's parsing before the arguments.
        spec = ctx.params.get("spec") or next(iter(ctx.args), None)
        return [CompletionItem(name) for name in self._choices(spec) if name.startswith(incomplete)]

    def get_missing_message(
        self,
        param: click.Parameter,  # noqa: ARG002  click's signature
        ctx: click.Context | None,
    ) -> str | None:
        """List the stages to choose from; None if there are none, or the file is not a pipeline."""
        names = self._choices(ctx.params.get("spec") if ctx else None)
        return f"Name {one_of(first_of(names))}" if names else None

    def _choices(self, spec: str | Path | None) -> list[str]:
        try:
            stages = load(Path(spec), operate=True).stages if spec else ()
        except RsqPipeError:
            return []
        return [stage.name for stage in stages if self._fits(stage)]


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
