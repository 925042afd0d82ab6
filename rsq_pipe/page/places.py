"""Place: the pipeline and the stage that a request is about."""

from __future__ import annotations

from msgspec import Struct
from starlette.requests import Request

from rsq_pipe.errors import UnknownStageError
from rsq_pipe.ops.as_run import AsRun
from rsq_pipe.page.site import Site, site_of
from rsq_pipe.spec.graph import Stage
from rsq_pipe.suggestion import suggest


class Place(Struct, frozen=True):
    """
    Identify the subject of a request.

    Args:
        site: The shared objects of the routes.
        run: The pipeline as last run.
        stage: The stage's name; empty if it is about the whole pipeline.
    """

    site: Site
    run: AsRun
    stage: str = ""

    @property
    def pipeline(self) -> str:
        """The pipeline's name."""
        return self.run.graph.pipeline

    def known(self) -> Stage:
        """
        Find the stage in the pipeline as last run.

        Raises:
            UnknownStageError: It has no stage of that name.
        """
        names = [one.name for one in self.run.graph.stages]
        if self.stage not in names:
            what = (
                f"pipeline {self.pipeline!r} has no stage {self.stage[:60]!r}; {suggest(self.stage, names)}"
            )
            raise UnknownStageError(what, stage=self.stage)
        return self.run.graph.stage(self.stage)

    def trace_url(self, trace_id: str) -> str | None:
        """Return the URL of a trace; None if unknown, or if there is no trace."""
        ui = self.site.jaeger or self.run.last.ui
        if not trace_id or not ui.startswith(("http://", "https://")):
            return None
        return f"{ui.rstrip('/')}/trace/{trace_id}"


async def place_of(request: Request) -> Place:
    """
    Find the subject of a request.

    Raises:
        NeverRanError: The pipeline does not exist.
    """
    site = site_of(request)
    run = await site.run_of(request.path_params["pipeline"])
    return Place(site, run, request.path_params.get("stage", ""))
