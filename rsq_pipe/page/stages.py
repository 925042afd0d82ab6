"""The routes of a stage: what it is and does, what stands before it, and its backlog as one number."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from rsq_pipe.ops import remembered
from rsq_pipe.ops.dead_letters.dead_letters import find
from rsq_pipe.ops.dead_letters.letter_page import letter_page
from rsq_pipe.ops.dead_letters.payload import Payloads
from rsq_pipe.ops.dead_letters.selection import Selection, iso
from rsq_pipe.ops.dead_letters.turns import Turns
from rsq_pipe.ops.peek import Filter, peek
from rsq_pipe.ops.peek_json import document
from rsq_pipe.page import shapes
from rsq_pipe.page.answers import answer, bad, moment, number
from rsq_pipe.page.places import Place, place_of
from rsq_pipe.page.settings import settings_of
from rsq_pipe.spec.expressions.expression import compile_expression
from rsq_pipe.spec.fusing import has_state

ERRORS = 10
"""Of the last dead letters, as many are shown."""

BUCKETS = 100
READ = 20_000
"""Records that are looked at for those an expression is true for."""

PATIENCE = 5.0
"""Seconds after which what was found by then is shown."""


async def one(request: Request) -> Response:
    """Describe a stage."""
    place = await place_of(request)
    stage = place.known()
    look = await place.site.looks.at(place.pipeline)
    found = shapes.pipeline(look)
    node = next(one for one in found["graph"]["stages"] if one["name"] == stage.name)
    return answer(
        {
            **node,
            **found["stages"][stage.name],
            "pipeline": place.pipeline,
            "reads": [edge for edge in found["graph"]["edges"] if edge["to"] == stage.name],
            "settings": settings_of(place.run.last.text, stage.name),
            "memory": await _memory(place) if has_state(stage) else None,
            "errors": await _errors(place),
        }
    )


async def _memory(place: Place) -> dict[str, Any]:
    found = await remembered.look(place.site.client, place.run.graph, place.known())
    return {
        "keys": found.keys,
        "max_keys": found.max_keys,
        "evicted": found.evicted,
        "parts": len(found.buckets),
        "buckets": [{**asdict(one), "due": moment(one.due)} for one in found.buckets[:BUCKETS]],
    }


async def _errors(place: Place) -> list[dict[str, Any]]:
    found = await find(place.site.client, place.pipeline, place.run.graph, Selection((place.stage,)))
    page = await letter_page(found, "", ERRORS, newest_first=True)
    return [
        {
            "id": one.id,
            "rid": one.rid,
            "at": iso(one),
            "reason": one.reason,
            "error_type": one.error_type,
            "message": one.message[:500],
        }
        for one in page.letters
    ]


async def backlog(request: Request) -> Response:
    """Give one number: the records that a stage still has to do, as scalers ask for it."""
    place = await place_of(request)
    stage = place.known().name
    look = await place.site.looks.at(place.pipeline)
    count = next(one.backlog for one in look.status.stages if one.name == stage)
    wants = request.headers.get("accept", "")
    if wants.startswith("text/plain"):
        return PlainTextResponse(f"{count}\n")
    return answer({"backlog": count})


async def records(request: Request) -> Response:
    """Show what stands before a stage."""
    place = await place_of(request)
    stage, query = place.known(), request.query_params
    if stage.verb == "source":
        raise bad(f"stage {stage.name!r} is a source: nothing stands before it", "name a stage below it")
    where = query.get("where", "").strip()
    payloads = Payloads(place.run.graph.serializer)
    sieve = Filter(compile_expression(where) if where else None, payloads)
    most, more, looked = number(request, "count", 20, 500), False, 0
    turns = Turns()
    shown: list[dict[str, Any]] = []
    async with place.site.scanning:
        async for found in peek(place.site.client, place.run.graph, stage):
            looked += 1
            if looked > READ or len(shown) == most or turns.seconds > PATIENCE:
                more = True
                break
            if sieve.passes(found):
                shown.append(document(found, payloads))
            await turns.others()
    told = {"records": shown, "more": more, "looked_at": looked - more}
    return answer({**told, "passed_over": sieve.passed_over, "why": sieve.why})


_BASE = "/pipelines/{pipeline}/stages/{stage}"
ROUTES = [
    Route(_BASE, one),
    Route(f"{_BASE}/backlog", backlog),
    Route(f"{_BASE}/records", records),
]
