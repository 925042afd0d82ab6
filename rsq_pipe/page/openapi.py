"""OpenAPI: the description of the API in OpenAPI 3.1; a test compares it with the routes and answers."""

from __future__ import annotations

import re
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from rsq_pipe.page.answers import answer
from rsq_pipe.page.openapi_shapes import ANY, COUNT, FLAG, SCHEMAS, TEXT, by_name, many, maybe, ref, thing
from rsq_pipe.version import __version__

P = "/pipelines/{pipeline}"
S = f"{P}/stages/{{stage}}"
L = f"{S}/letters"

_ABOUT = {
    "pipeline": "The name of a pipeline.",
    "stage": "The name of a stage.",
    "letter": "The id of a dead letter, such as 1700000000000-0.",
    "record": "A record id, an entry id or a trace id.",
    "job": "The id of a job.",
}
_SEARCH = {
    "where": (TEXT, "Only those for which this expression is true. One that has no value means no."),
    "count": (COUNT, "How many, at most."),
}
_LETTERS = {
    "group": (TEXT, "Only those of this cause: `group` of the groups."),
    **_SEARCH,
    "after": (TEXT, "Behind this one: `next` of the page before."),
    "order": ({"enum": ["oldest", "newest"]}, "Which come first."),
}
_SET = {"set": by_name(ANY)}
_CHOICE = {
    "ids": many(TEXT),
    "group": TEXT,
    "where": TEXT,
    "all": FLAG,
    "dry_run": FLAG,
    "confirm": maybe(COUNT),
    "until": TEXT,
}
_PAGE_OF_LETTERS = thing(
    {
        "letters": many(ref("LetterInList")),
        "next": maybe(TEXT),
        "total": COUNT,
        "passed_over": COUNT,
        "why": TEXT,
    }
)
_GROUPS = thing({"groups": many(ref("Group")), "total": COUNT})
_WAITING = {
    "records": many(ref("Waiting")),
    "more": FLAG,
    "looked_at": COUNT,
    "passed_over": COUNT,
    "why": TEXT,
}
_WHO = thing({"processes": many(ref("Process")), "workers": many(ref("Worker"))})

# Path -> the answer to GET: (summary, the answer, the query).
READ: dict[str, tuple[str, Any, dict[str, Any]]] = {
    "/session": ("Who asks, and what they may do.", ref("Session"), {}),
    "/openapi.json": ("This description.", by_name(ANY), {}),
    "/pipelines": ("The pipelines of the server.", thing({"pipelines": many(ref("Listed"))}), {}),
    P: ("A pipeline: its graph, and each stage in numbers.", ref("Pipeline"), {}),
    f"{P}/events": ("The same every second, as server-sent events `status`.", None, {}),
    f"{P}/history": (
        *("Rates and backlogs, as the runs have kept them.", ref("History")),
        {"window": (TEXT, "Of the last 24h, 2h, 30m; 24h at most.")},
    ),
    f"{P}/letters/groups": ("The dead letters of all stages by cause.", _GROUPS, {}),
    f"{P}/workers": ("Processes and workers, with what they have in flight.", _WHO, {}),
    f"{P}/records/{{record}}": (
        "The path of a record, as far as the server knows it.",
        ref("RecordTrace"),
        {},
    ),
    f"{P}/jobs": ("Replays and purges of this page.", thing({"jobs": many(ref("Job"))}), {}),
    f"{P}/jobs/{{job}}": ("How far one is.", ref("Job"), {}),
    f"{P}/audit": (
        *("Who did what from a page, the newest first.", thing({"audit": many(ref("Noted"))})),
        {"count": (COUNT, "How many, at most; 1,000 are kept.")},
    ),
    S: ("A stage: settings, numbers, memory, last errors.", ref("Stage"), {}),
    f"{S}/backlog": ("The records it has to do, as one number; `text/plain` too.", ref("Backlog"), {}),
    f"{S}/records": ("The records that wait for it.", thing(_WAITING), _SEARCH),
    L: ("Its dead letters, page by page.", _PAGE_OF_LETTERS, _LETTERS),
    f"{L}/groups": ("Its dead letters by cause.", _GROUPS, {}),
    f"{L}/{{letter}}": ("One dead letter.", ref("Letter"), {}),
}
# Path -> the action of POST: (summary, the body, the answer).
ACT: dict[str, tuple[str, Any, Any]] = {
    "/login": ("Log a browser in.", thing({"token": TEXT}), ref("Name")),
    "/logout": ("Log it out.", thing({}), ref("Name")),
    f"{L}/{{letter}}/mend": (
        *(
            "Preview a corrected dead letter; nothing is written.",
            thing({}, {**_SET, "payload": by_name(ANY)}),
        ),
        ref("Mended"),
    ),
    f"{L}/replay": (
        *("Send dead letters back.", thing({}, {**_CHOICE, **_SET, "payload": by_name(ANY), "rate": ANY})),
        ref("Plan"),
    ),
    f"{L}/purge": ("Delete dead letters for good.", thing({}, _CHOICE), ref("Plan")),
    f"{S}/pause": (
        "Have it read nothing until it is resumed.",
        thing({}, {"why": TEXT}),
        ref("Paused"),
    ),
    f"{S}/resume": ("Have it go on.", thing({}), ref("Paused")),
    f"{P}/jobs/{{job}}/stop": ("End a job after the step under way.", thing({}), ref("Job")),
}


def document() -> dict[str, Any]:
    """Describe the API."""
    paths: dict[str, Any] = {}
    for path, (summary, shape, query) in READ.items():
        paths.setdefault(path, {})["get"] = {
            "summary": summary,
            "parameters": [*_places(path), *(_asked(name, *of) for name, of in query.items())],
            "responses": {"200": _reply(path, shape), "default": _error()},
        }
    for path, (summary, body, shape) in ACT.items():
        answers = {"200": _reply(path, shape)}
        if path.endswith(("/replay", "/purge")):
            answers["202"] = {**_reply(path, shape), "description": "It is still running: see the job."}
        paths.setdefault(path, {})["post"] = {
            "summary": summary,
            "parameters": _places(path),
            "requestBody": {"required": True, "content": {"application/json": {"schema": body}}},
            "responses": {**answers, "default": _error()},
        }
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "rsq-pipe",
            "version": __version__,
            "description": "docs/reference/api.md says more.",
        },
        "servers": [{"url": "/api/v1"}],
        "security": [{"token": []}, {"cookie": [], "csrf": []}, {}],
        "paths": paths,
        "components": {
            "schemas": SCHEMAS,
            "securitySchemes": {
                "token": {"type": "http", "scheme": "bearer"},
                "cookie": {"type": "apiKey", "in": "cookie", "name": "rsq_pipe_session_PORT"},
                "csrf": {"type": "apiKey", "in": "header", "name": "X-CSRF-Token"},
            },
        },
    }


def _places(path: str) -> list[dict[str, Any]]:
    return [
        {"name": name, "in": "path", "required": True, "description": _ABOUT[name], "schema": TEXT}
        for name in re.findall(r"{(\w+)}", path)
    ]


def _asked(name: str, schema: Any, about: str) -> dict[str, Any]:
    return {"name": name, "in": "query", "description": about, "schema": schema}


def _reply(path: str, shape: Any) -> dict[str, Any]:
    if shape is None:
        return {"description": "Events.", "content": {"text/event-stream": {"schema": TEXT}}}
    content: dict[str, Any] = {"application/json": {"schema": shape}}
    if path.endswith("/backlog"):
        content["text/plain"] = {"schema": TEXT}
    return {"description": "The answer.", "content": content}


def _error() -> dict[str, Any]:
    return {"description": "What is wrong.", "content": {"application/json": {"schema": ref("Error")}}}


async def openapi(_: Request) -> Response:
    """Return the description."""
    return answer(document())


ROUTES = [Route("/openapi.json", openapi)]
