"""Stages: the routes of a stage: settings and status, waiting records, and its backlog as a number."""

from __future__ import annotations

import math
import re
from typing import Any

from msgspec import to_builtins
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from rsq_pipe.ops import remembered
from rsq_pipe.ops.dead_letters.dead_letter_page import dead_letter_page
from rsq_pipe.ops.dead_letters.dead_letters import Turns, find
from rsq_pipe.ops.dead_letters.payload import Payloads
from rsq_pipe.ops.dead_letters.selection import Selection
from rsq_pipe.ops.peek import Filter, document, peek
from rsq_pipe.page import shapes
from rsq_pipe.page.answers import answer, bad, moment, number
from rsq_pipe.page.places import Place, place_of
from rsq_pipe.redaction import MASK, redact
from rsq_pipe.spec.expressions.expression import compile_expression
from rsq_pipe.spec.fusing import has_state
from rsq_pipe.spec.reading import stored_values
from rsq_pipe.units import format_moment

ERRORS = 10
"""Maximum number of the last dead letters that are shown."""

BUCKETS = 100
READ = 20_000
"""Maximum number of records tested with an expression."""

PATIENCE = 5.0
"""Seconds after which the records found so far are shown."""

MAX_DEPTH = 20
"""Maximum depth of a setting that is shown."""

_SECRET = re.compile(r"passw|secret|token|credential|api_?key|private_?key|authorization", re.IGNORECASE)
_VARIABLE = re.compile(r"\$\{[^}]*\}")


async def one(request: Request) -> Response:
    """Describe a stage."""
    place = await place_of(request)
    stage = place.known()
    live = await place.site.status_cache.of(place.pipeline)
    found = shapes.pipeline(live)
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
    found = await remembered.read_remembered(place.site.client, place.run.graph, place.known())
    return {
        "keys": found.keys,
        "max_keys": found.max_keys,
        "evicted": found.evicted,
        "parts": len(found.buckets),
        "buckets": [{**to_builtins(one), "due": moment(one.due)} for one in found.buckets[:BUCKETS]],
    }


async def _errors(place: Place) -> list[dict[str, Any]]:
    found = await find(place.site.client, place.pipeline, place.run.graph, Selection((place.stage,)))
    page = await dead_letter_page(found, "", ERRORS, newest_first=True)
    return [
        {
            "id": one.id,
            "rid": one.rid,
            "at": format_moment(one.at),
            "reason": one.reason,
            "error_type": one.error_type,
            "message": one.message[:500],
        }
        for one in page.letters
    ]


async def backlog(request: Request) -> Response:
    """Return one number for autoscalers: the records that a stage still has to handle."""
    place = await place_of(request)
    stage = place.known().name
    live = await place.site.status_cache.of(place.pipeline)
    count = next(one.backlog for one in live.status.stages if one.name == stage)
    wants = request.headers.get("accept", "")
    if wants.startswith("text/plain"):
        return PlainTextResponse(f"{count}\n")
    return answer({"backlog": count})


async def records(request: Request) -> Response:
    """Show the records that wait for a stage."""
    place = await place_of(request)
    stage, query = place.known(), request.query_params
    if stage.verb == "source":
        raise bad(f"stage {stage.name!r} is a source: no records wait for it", "name a stage below it")
    where = query.get("where", "").strip()
    payloads = Payloads(place.run.graph.serializer)
    sieve = Filter(compile_expression(where) if where else None, payloads)
    most, more, read = number(request, "count", 20, 500), False, 0
    turns = Turns()
    shown: list[dict[str, Any]] = []
    async with place.site.scanning:
        async for found in peek(place.site.client, place.run.graph, stage):
            read += 1
            if read > READ or len(shown) == most or turns.seconds > PATIENCE:
                more = True
                break
            if sieve.passes(found):
                shown.append(document(found, payloads))
            await turns.others()
    page = {"records": shown, "more": more, "looked_at": read - more}
    return answer({**page, "passed_over": sieve.passed_over, "why": sieve.why})


def settings_of(text: str, stage: str) -> dict[str, Any]:
    """
    Read a stage's settings from a pipeline's file, with variables and secrets as written.

    Returns:
        Setting -> value; empty if the file is not stored, or invalid.
    """
    file = stored_values(text)
    stages = file.get("stages") if isinstance(file, dict) else None
    settings = stages.get(stage) if isinstance(stages, dict) else None
    return _masked(settings, "", 0) if isinstance(settings, dict) else {}


def _masked(value: Any, name: str, depth: int) -> Any:
    if depth > MAX_DEPTH:
        return "..."
    if isinstance(value, dict):
        return {str(key): _masked(one, str(key), depth + 1) for key, one in value.items()}
    if isinstance(value, list):
        return [_masked(one, name, depth + 1) for one in value]
    if isinstance(value, str):
        if _SECRET.search(name) and not _VARIABLE.fullmatch(value.strip()):
            return MASK
        return redact(value)
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value


_BASE = "/pipelines/{pipeline}/stages/{stage}"
ROUTES = [
    Route(_BASE, one),
    Route(f"{_BASE}/backlog", backlog),
    Route(f"{_BASE}/records", records),
]
