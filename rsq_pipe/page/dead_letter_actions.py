"""Dead letter actions: the routes for replay and purge of dead letters, each with a preview first."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Mapping
from functools import partial
from typing import Any

from msgspec import Struct, field
from msgspec.structs import replace
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from rsq_pipe.ops import audit
from rsq_pipe.ops.dead_letters.dead_letters import DeadLetters
from rsq_pipe.ops.dead_letters.progress import Preview, Progress
from rsq_pipe.ops.dead_letters.purge import preview_purge, purge
from rsq_pipe.ops.dead_letters.replay import preview_replay, replay
from rsq_pipe.ops.dead_letters.selection import DeadLetterName, parse_name
from rsq_pipe.page.answers import Refusal, answer, bad, body
from rsq_pipe.page.dead_letters import find_dead_letters, group_document, groups_of, selected
from rsq_pipe.page.edits import EDITS, edits_of
from rsq_pipe.page.jobs import Job
from rsq_pipe.page.places import Place, place_of
from rsq_pipe.page.session import who
from rsq_pipe.redaction import redact
from rsq_pipe.streams.entry import id_number
from rsq_pipe.units import counted, parse_rate

MOST_IDS = 20_000
CHOICE = ("ids", "group", "where", "all", "dry_run", "confirm", "until")
"""The keys that say which dead letters are meant, and confirm it."""

Work = Callable[[Progress], Coroutine[Any, Any, None]]


class Asked(Struct, frozen=True):
    """
    Hold an action as requested.

    Args:
        place: The pipeline and stage.
        who: Who asks.
        content: The body of the request.
        action: `replay` or `purge`.
        found: The selected dead letters.
        noted: Further data for the audit list.
    """

    place: Place
    who: str
    content: Mapping[str, Any]
    action: str
    found: DeadLetters
    noted: Mapping[str, Any] = field(default_factory=dict)


async def replayed(request: Request) -> Response:
    """Send dead letters back to the stage that failed them."""
    place, content = await place_of(request), await body(request, (*CHOICE, *EDITS, "rate"))
    ids = content.get("ids")
    one = f"{place.stage}/{ids[0]}" if isinstance(ids, list) and len(ids) == 1 else ""
    edits, rate = edits_of(content, one), _rate(content.get("rate"))
    found = await _meant(place, content)
    plan = await preview_replay(found, edits)
    noted = {"set": sorted(content.get("set") or {}), "rate": content.get("rate")}
    noted["payload"] = content.get("payload") is not None
    asked = Asked(place, who(request), content, "replay", found, noted)
    return await _carried_out(asked, plan, partial(replay, found, edits, rate=rate))


async def purged(request: Request) -> Response:
    """Delete dead letters for good."""
    place, content = await place_of(request), await body(request, CHOICE)
    found = await _meant(place, content)
    plan = await preview_purge(found)
    asked = Asked(place, who(request), content, "purge", found)
    return await _carried_out(asked, plan, partial(purge, found))


async def _meant(place: Place, content: dict[str, Any]) -> DeadLetters:
    """Find the dead letters of an action: nothing is selected by default."""
    ids, group, where = content.get("ids"), content.get("group", ""), content.get("where", "")
    if not isinstance(group, str) or not isinstance(where, str):
        raise bad("`group` and `where` are texts")
    if not (ids or group or where.strip() or content.get("all") is True):
        raise bad("which dead letters are meant is not said", "send `ids`, `group`, `where` or `all`: true")
    index = await groups_of(place)
    if group:
        await index.refresh()
    found = await find_dead_letters(
        place, selected(place, index, where=where, group=group, names=_names(place, ids))
    )
    until = content.get("until")
    if until:
        if not isinstance(until, str) or parse_name(until) is None:
            raise bad("`until` is not an id", "send the value from the dry run")
        found.queues = [
            replace(queue, newest=min(queue.newest or until, until, key=id_number)) for queue in found.queues
        ]
    return found


def _names(place: Place, ids: Any) -> tuple[DeadLetterName, ...]:
    if ids is None:
        return ()
    if not isinstance(ids, list) or len(ids) > MOST_IDS:
        raise bad(f"`ids` is not a list of at most {MOST_IDS:,} ids", "name a `group`, or say `where`")
    names = [parse_name(one) if isinstance(one, str) else None for one in ids]
    if None in names:
        raise bad("`ids` contains something that is not a dead letter id", "such as 1700000000000-0")
    return tuple(DeadLetterName(name.id, place.stage) for name in names if name)


def _rate(text: Any) -> float | None:
    if text is None or text == "":
        return None
    if isinstance(text, bool) or not isinstance(text, int | float | str):
        raise bad("`rate` is not a rate", "write 100/s, or a number a second")
    try:
        rate = parse_rate(text) if isinstance(text, str) else float(text)
    except (ValueError, OverflowError) as exc:
        raise bad(f"`rate` is not a rate: {exc}", "write 100/s, or a number a second") from exc
    if not 0 < rate < float("inf"):
        raise bad("a rate is more than nothing", "such as 100/s")
    return rate


async def _carried_out(asked: Asked, plan: Preview, work: Work) -> Response:
    """Return what would be done; or do it, if the request confirms the count of that answer."""
    preview = _previewed(asked.found, plan)
    if asked.content.get("dry_run") is True:
        return answer({"dry_run": True, **preview})
    confirm = asked.content.get("confirm")
    if type(confirm) is not int or confirm != plan.count:
        are = "is" if plan.count == 1 else "are"
        message = f"{counted(plan.count, 'dead letter')} {are} meant, and `confirm` is {str(confirm)[:40]}"
        raise Refusal(409, message, f"look again, and send `confirm`: {plan.count}", **preview)
    place = asked.place
    job = Job(place.pipeline, place.stage, asked.action, plan.count)
    place.site.jobs.refuse_more()
    action = _noted(asked, job)
    await action.begin()

    async def ended(job: Job) -> None:
        document = job.document()
        await action.end(
            **{key: document[key] for key in ("state", "done", "held", "gone", "error", "ended")}
        )

    await place.site.jobs.run(job, work, ended)
    done = job.document()
    preview |= {"dry_run": False, "count": done["done"], "planned": plan.count, "job": done}
    return answer(preview, 202 if job.state == "running" else 200)


def _previewed(found: DeadLetters, plan: Preview) -> dict[str, Any]:
    return {
        "count": plan.count,
        "groups": [group_document(group) for group in plan.groups],
        "left": [{"count": left.count, "why": redact(left.why)} for left in plan.left],
        "missing": sum(plan.missing.values()),
        "passed_over": found.sieve.passed_over,
        "why": found.sieve.why,
        "until": max((queue.newest for queue in found.queues if queue.newest), key=id_number, default=""),
    }


def _noted(asked: Asked, job: Job) -> audit.Action:
    """Describe the action for the audit list."""
    content = asked.content
    chosen = {key: content[key] for key in ("group", "where", "all") if content.get(key)}
    if content.get("ids"):
        chosen["ids"] = len(content["ids"])
    return audit.Action(
        *(asked.place.site.client, asked.place.pipeline),
        who=asked.who,
        action=asked.action,
        stage=asked.place.stage,
        count=job.total,
        job=job.id,
        chosen=chosen,
        **{key: value for key, value in asked.noted.items() if value},
    )


_LETTERS = "/pipelines/{pipeline}/stages/{stage}/letters"
ROUTES = [
    Route(f"{_LETTERS}/replay", replayed, methods=["POST"]),
    Route(f"{_LETTERS}/purge", purged, methods=["POST"]),
]
