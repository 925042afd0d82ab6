"""Pipelines: the routes of all pipelines of a server, of one of them, and of its events."""

from __future__ import annotations

from typing import Any

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from rsq_pipe.engine.housekeeping.history import STEP
from rsq_pipe.errors import NeverRanError, StreamError
from rsq_pipe.ops.history import history, last_seen
from rsq_pipe.ops.pipelines import Listed
from rsq_pipe.page import shapes
from rsq_pipe.page.answers import answer, bad, moment
from rsq_pipe.page.feeds import Feeds
from rsq_pipe.page.places import place_of
from rsq_pipe.page.site import Site, site_of
from rsq_pipe.page.status_cache import LiveStatus
from rsq_pipe.redaction import redact
from rsq_pipe.units import parse_duration

MOST = 24 * 3600
"""Maximum seconds of history that are stored."""


async def listed(request: Request) -> Response:
    """List the pipelines of the server."""
    site = site_of(request)
    found = [await _described(site, one) for one in await site.pipelines()]
    return answer({"pipelines": [one for one in found if one is not None]})


async def one(request: Request) -> Response:
    """Describe a pipeline."""
    place = await place_of(request)
    return answer(shapes.pipeline(await place.site.status_cache.of(place.pipeline)))


async def day(request: Request) -> Response:
    """Return rates and backlogs of the last day, or of a part of it."""
    place, text = await place_of(request), request.query_params.get("window", "24h")
    try:
        window = parse_duration(text)
    except ValueError as exc:
        raise bad(str(exc), "such as window=24h") from exc
    if not STEP <= window <= MOST:
        raise bad(f"window={text[:20]} is not between 1m and 24h", "what is older is not kept")
    found = await history(place.site.client, place.pipeline, window)
    stages = {
        name: {"t": line.times, "rate": line.rates, "backlog": line.backlogs}
        for name, line in found.stages.items()
    }
    return answer({"step_s": found.step, "stages": stages})


async def _described(site: Site, one: Listed) -> dict[str, Any] | None:
    """Describe a pipeline, or why it cannot be read; None if it has been deleted since."""
    live, fault, seen = None, one.fault, None
    try:
        if not fault:
            seen = await last_seen(site.client, one.name)
            live = await site.status_cache.of(one.name)
    except NeverRanError:
        return None
    except StreamError as exc:
        if exc.retryable:
            raise
        fault = str(exc)
    return {
        "name": one.name,
        "description": live.run.last.description if live else "",
        "state": shapes.state(live.status) if live else "unknown",
        "rate_per_s": _rate(live) if live else None,
        "backlog": sum(stage.backlog for stage in live.status.stages) if live else None,
        "dead": one.dead,
        "stages": len(one.stages),
        "running_processes": len(one.runs),
        "paused": [stage.name for stage in live.status.stages if stage.paused] if live else [],
        "failed": shapes.failed(live.status.failed) if live else None,
        "last_seen_running_at": moment(seen) if live else None,
        "last_record_at": moment(one.last.timestamp()) if one.last else None,
        "fault": redact(fault),
    }


def _rate(live: LiveStatus) -> float | None:
    """Return how many records enter per second: those that the first stages have finished."""
    rates = [
        stage.rate
        for stage, kept in zip(live.status.stages, live.run.graph.stages, strict=True)
        if all(ref.external for ref in kept.inputs)
    ]
    known = [rate for rate in rates if rate is not None]
    return round(sum(known), 3) if known else None


async def events(request: Request) -> Response:
    """Send events about a pipeline."""
    place = await place_of(request)
    if request.method == "HEAD":  # the events would not be read, for as long as the connection lasts
        return Response(media_type="text/event-stream")
    return _Listening(place.site.feeds, place.pipeline)


class _Listening(StreamingResponse):
    """Send events while the listener has a place."""

    def __init__(self, feeds: Feeds, pipeline: str) -> None:
        headers = {"cache-control": "no-store", "x-accel-buffering": "no"}
        super().__init__(feeds.listen(pipeline), media_type="text/event-stream", headers=headers)
        self._feeds = feeds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer; even of many concurrent requests, only a limited number get a place."""
        with self._feeds.seat():
            await super().__call__(scope, receive, send)


ROUTES = [
    Route("/pipelines", listed),
    Route("/pipelines/{pipeline}", one),
    Route("/pipelines/{pipeline}/history", day),
    Route("/pipelines/{pipeline}/events", events),
]
