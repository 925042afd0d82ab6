"""The route of events: how a pipeline goes on."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from rsq_pipe.page.places import place_of


async def events(request: Request) -> Response:
    """Tell how a pipeline goes on."""
    place = await place_of(request)
    feeds = place.site.feeds
    feeds.refuse_more()
    headers = {"cache-control": "no-store", "x-accel-buffering": "no"}
    return StreamingResponse(feeds.listen(place.pipeline), media_type="text/event-stream", headers=headers)


ROUTES = [Route("/pipelines/{pipeline}/events", events)]
