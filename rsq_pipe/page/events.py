"""The route of events: how a pipeline goes on."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from rsq_pipe.page.feeds import Feeds
from rsq_pipe.page.places import place_of


async def events(request: Request) -> Response:
    """Tell how a pipeline goes on."""
    place = await place_of(request)
    if request.method == "HEAD":  # nobody would read what is told, for as long as the connection lasts
        return Response(media_type="text/event-stream")
    return _Listening(place.site.feeds, place.pipeline)


class _Listening(StreamingResponse):
    """Tell events for as long as there is a place for the listener."""

    def __init__(self, feeds: Feeds, pipeline: str) -> None:
        headers = {"cache-control": "no-store", "x-accel-buffering": "no"}
        super().__init__(feeds.listen(pipeline), media_type="text/event-stream", headers=headers)
        self._feeds = feeds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer; of many that ask at once, too, only so many get a place."""
        with self._feeds.seat():
            await super().__call__(scope, receive, send)


ROUTES = [Route("/pipelines/{pipeline}/events", events)]
