"""Dead letters: the routes that show them: by cause, page by page, one of them, and one after an edit."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from rsq_pipe.ops.dead_letters.dead_letter import DeadLetter
from rsq_pipe.ops.dead_letters.dead_letter_groups import DeadLetterGroups
from rsq_pipe.ops.dead_letters.dead_letter_json import described
from rsq_pipe.ops.dead_letters.dead_letter_page import dead_letter_page
from rsq_pipe.ops.dead_letters.dead_letters import DeadLetters, find
from rsq_pipe.ops.dead_letters.failure_groups import FailureGroup
from rsq_pipe.ops.dead_letters.payload import as_json
from rsq_pipe.ops.dead_letters.selection import DeadLetterName, Selection, parse_name
from rsq_pipe.page.answers import Refusal, answer, bad, body, number
from rsq_pipe.page.edits import EDITS, edits_of
from rsq_pipe.page.places import Place, place_of
from rsq_pipe.page.site import site_of
from rsq_pipe.spec.expressions.expression import Expression, compile_expression
from rsq_pipe.units import format_moment

MOST = 1_000
SHOWN = 500
"""Maximum characters of a message in a list."""


async def listed(request: Request) -> Response:
    """List dead letters, a page at a time."""
    place, query = await place_of(request), request.query_params
    order, after = query.get("order", "oldest"), query.get("after", "")
    if order not in {"oldest", "newest"}:
        raise bad(f"order={order[:20]} is none", "write order=oldest or order=newest")
    if after and parse_name(after) is None:
        raise bad(f"after={after[:60]} is not a dead letter id", "take `next` of the page before")
    index = await groups_of(place)
    selection = selected(place, index, where=query.get("where", ""), group=query.get("group", ""))
    found = await find_dead_letters(place, selection)
    page = await dead_letter_page(
        found, after, number(request, "count", 100, MOST), newest_first=order == "newest"
    )
    return answer(
        {
            "letters": [{**_in_list(one), "group": index.key_of(one)} for one in page.letters],
            "next": page.next or None,
            "total": await found.total(),
            "passed_over": page.passed_over,
            "why": page.why,
        }
    )


async def grouped(request: Request) -> Response:
    """Group dead letters by cause."""
    place = await place_of(request)
    await find_dead_letters(place, Selection(stages=(place.stage,)))  # reports an unknown stage
    index = await groups_of(place)
    groups = await index.refresh()
    return answer({"groups": [group_document(group) for group in groups], "total": groups.total})


async def one(request: Request) -> Response:
    """Show a dead letter."""
    place = await place_of(request)
    found, letter = await _find_one(request, place)
    index = await groups_of(place)
    document = {**described(letter, found.payloads), "group": index.key_of(letter)}
    return answer({**document, "trace_url": place.trace_url(letter.trace_id)})


async def mended(request: Request) -> Response:
    """Show a dead letter before and after an edit; nothing is written."""
    place = await place_of(request)
    content = await body(request, EDITS)
    found, letter = await _find_one(request, place)
    edits = edits_of(content, letter.name)
    data = edits.applied(letter, found.payloads, must_be_record=False)
    before = found.payloads.decode(letter.raw)
    after = before if data is None else found.payloads.decode(data)
    changed = sorted(name for name in {*(before or {}), *(after or {})} if _differs(before, after, name))
    return answer({"before": as_json(before), "after": as_json(after), "changed": changed})


def _differs(before: Mapping[str, Any] | None, after: Mapping[str, Any] | None, name: str) -> bool:
    missing = object()
    return bool((before or {}).get(name, missing) != (after or {}).get(name, missing))


async def _find_one(request: Request, place: Place) -> tuple[DeadLetters, DeadLetter]:
    name = parse_name(request.path_params["letter"])
    if name is None:
        raise bad(f"{request.path_params['letter'][:60]!r} is not a dead letter id")
    found = await find_dead_letters(
        place, Selection((place.stage,), names=(DeadLetterName(name.id, place.stage),))
    )
    async for page in found.pages():
        return found, page.letters[0]
    fix = "it was replayed or purged in the meantime; GET .../audit may say by whom"
    raise Refusal(404, f"stage {place.stage!r} has no dead letter {name.id}", fix)


async def find_dead_letters(place: Place, selection: Selection) -> DeadLetters:
    """
    Find the dead letters of a stage of the last run, or of one removed since.

    Raises:
        UnknownStageError: There never was such a stage.
    """
    return await find(place.site.client, place.pipeline, place.run.graph, selection)


async def groups_of(place: Place) -> DeadLetterGroups:
    """Return the grouped dead letters of a stage."""
    return place.site.dead_letter_groups(place.pipeline, place.stage)


def selected(
    place: Place,
    index: DeadLetterGroups,
    *,
    where: str = "",
    group: str = "",
    names: tuple[DeadLetterName, ...] = (),
) -> Selection:
    """Read from a request which dead letters are selected."""
    condition: Expression | None = compile_expression(where) if where.strip() else None
    belongs = (lambda letter: index.key_of(letter) == group) if group else None
    return Selection((place.stage,), where=condition, names=names, belongs=belongs)


def group_document(group: FailureGroup) -> dict[str, Any]:
    """Describe a group."""
    return {
        "group": group.key,
        "stage": group.stage,
        "reason": group.reason,
        "error_type": group.error_type,
        "message": group.message,
        "count": group.count,
        "first": format_moment(group.first),
        "last": format_moment(group.last),
        "example": group.example.rpartition("/")[2],
    }


def _in_list(letter: DeadLetter) -> dict[str, Any]:
    message = letter.message
    return {
        "id": letter.id,
        "rid": letter.rid,
        "at": format_moment(letter.at),
        "reason": letter.reason,
        "error_type": letter.error_type,
        "message": message if len(message) <= SHOWN else f"{message[: SHOWN - 1]}…",
        "attempts": letter.attempts,
        "trace_id": letter.trace_id,
    }


async def all_of(site_request: Request) -> Response:
    """Group the dead letters of all stages by cause."""
    site = site_of(site_request)
    pipeline = site_request.path_params["pipeline"]
    run = await site.run_of(pipeline)
    found = await find(site.client, pipeline, run.graph)
    groups = []
    for queue in found.queues:
        if queue.newest:
            index = site.dead_letter_groups(pipeline, queue.stage)
            groups += [group_document(group) for group in await index.refresh()]
    return answer({"groups": groups, "total": await found.total()})


_BASE = "/pipelines/{pipeline}/stages/{stage}/letters"
ROUTES = [
    Route("/pipelines/{pipeline}/letters/groups", all_of),
    Route(_BASE, listed),
    Route(f"{_BASE}/groups", grouped),
    Route(f"{_BASE}/{{letter}}", one),
    Route(f"{_BASE}/{{letter}}/mend", mended, methods=["POST"]),
]
