"""Actions: the routes for pausing, resuming and running jobs; and the audit list."""

from __future__ import annotations

from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from rsq_pipe.ops import audit
from rsq_pipe.ops.hold import pause, resume
from rsq_pipe.page.answers import answer, bad, body, moment, number
from rsq_pipe.page.places import Place, place_of
from rsq_pipe.page.session import who
from rsq_pipe.redaction import redact


async def paused(request: Request) -> Response:
    """Pause a stage until it is resumed."""
    place, content = await place_of(request), await body(request, ("why",))
    stage = place.known().name
    why = content.get("why") or "from the page"
    if not isinstance(why, str) or len(why) > 300:
        raise bad("`why` is not text of at most 300 characters")
    before = await pause(place.site.client, place.run.graph, stage, why)
    if before is None:
        await _note(request, place, "pause", why=why)
    held = {"why": redact(before.why if before else why), "since": moment(before.since) if before else None}
    return answer({"stage": stage, "paused": True, "was_paused": before is not None, **held})


async def resumed(request: Request) -> Response:
    """Resume a stage."""
    place = await place_of(request)
    await body(request)
    stage = place.known().name
    before = await resume(place.site.client, place.run.graph, stage)
    if before is not None:
        await _note(request, place, "resume", why=before[0].why, seconds=round(before[1], 1))
    return answer({"stage": stage, "paused": False, "was_paused": before is not None})


async def jobs(request: Request) -> Response:
    """List the jobs of a pipeline."""
    place = await place_of(request)
    return answer({"jobs": [job.document() for job in place.site.jobs.of(place.pipeline)]})


async def job(request: Request) -> Response:
    """Report the progress of a job."""
    place = await place_of(request)
    return answer(place.site.jobs.find(place.pipeline, request.path_params["job"]).document())


async def stopped(request: Request) -> Response:
    """Stop a job after its current step."""
    place = await place_of(request)
    await body(request)
    found = place.site.jobs.find(place.pipeline, request.path_params["job"])
    if found.state == "running":
        found.progress.stopping.set()
        await audit.note(
            *(place.site.client, place.pipeline),
            who=who(request),
            action="stop",
            stage=found.stage,
            job=found.id,
            state="done",
        )
    return answer(found.document())


async def audited(request: Request) -> Response:
    """List the actions and who did them, newest first."""
    place = await place_of(request)
    count = number(request, "count", audit.KEPT, audit.KEPT)
    found = await audit.noted(place.site.client, place.pipeline, count)
    return answer({"audit": [{**one, "at": moment(one["at"])} for one in found]})


async def _note(request: Request, place: Place, action: str, **more: Any) -> None:
    await audit.note(
        *(place.site.client, place.pipeline),
        **{"who": who(request), "action": action, "stage": place.stage, "state": "done", **more},
    )


_STAGE = "/pipelines/{pipeline}/stages/{stage}"
_JOB = "/pipelines/{pipeline}/jobs"
ROUTES = [
    Route(f"{_STAGE}/pause", paused, methods=["POST"]),
    Route(f"{_STAGE}/resume", resumed, methods=["POST"]),
    Route(_JOB, jobs),
    Route(f"{_JOB}/{{job}}", job),
    Route(f"{_JOB}/{{job}}/stop", stopped, methods=["POST"]),
    Route("/pipelines/{pipeline}/audit", audited),
]
