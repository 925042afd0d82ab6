"""Records: the routes of a record's path, and of workers."""

from __future__ import annotations

from typing import Any

from msgspec import to_builtins
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from rsq_pipe.ops.trace.kept import Kept
from rsq_pipe.ops.trace.step import DEAD, Step
from rsq_pipe.ops.workers import runs, workers
from rsq_pipe.page.answers import Refusal, answer, moment
from rsq_pipe.page.places import Place, place_of


async def trace(request: Request) -> Response:
    """Describe the path of a record, if the server still has it."""
    place = await place_of(request)
    name = request.path_params["record"]
    async with place.site.scanning:
        found = await Kept(place.site.client, place.run.graph).trace(name)
    if not found.steps:
        fix = (
            "a record that every stage is done with is gone; with `telemetry: {journal: 100k}` in the file "
            "each stage remembers what became of its last records"
        )
        raise Refusal(404, f"the server holds nothing of {name[:200]!r}", fix)
    began, ended = found.span
    return answer(
        {
            "id": found.name,
            "rids": list(dict.fromkeys(step.rid for step in found.steps)),
            "began": moment(began),
            "ended": moment(ended),
            "trace_ids": list(found.trace_ids),
            "traces": [{"id": one, "url": place.trace_url(one)} for one in found.trace_ids],
            "steps": [_step(step, place) for step in found.steps],
        }
    )


def _step(step: Step, place: Place) -> dict[str, Any]:
    is_dead = step.outcome == DEAD
    return {
        **to_builtins(step),
        "began": moment(step.began),
        "ended": moment(step.ended),
        "ran": step.ran,
        "trace_url": place.trace_url(step.trace_id),
        # A dead letter's note is the command that shows it; the page has a view instead.
        "note": "" if is_dead else step.note,
        "letter": step.note.rpartition("/")[2] if is_dead else None,
    }


async def who_works(request: Request) -> Response:
    """List processes and workers."""
    place = await place_of(request)
    alive = await runs(place.site.client, place.pipeline)
    found = await workers(place.site.client, place.run.graph, alive)
    return answer(
        {
            "processes": [{**to_builtins(one), "last_seen": moment(one.last_seen)} for one in alive],
            "workers": [
                {
                    **to_builtins(one),
                    "since": moment(one.since),
                    "oldest": moment(one.oldest),
                    "last_seen": moment(one.last_seen),
                }
                for one in found
            ],
        }
    )


ROUTES = [
    Route("/pipelines/{pipeline}/records/{record:path}", trace),
    Route("/pipelines/{pipeline}/workers", who_works),
]
