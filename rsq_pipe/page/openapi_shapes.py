"""OpenAPI shapes: the API's answers as JSON Schema; a test checks the real answers against them."""

from __future__ import annotations

from typing import Any

Schema = dict[str, Any]

TEXT: Schema = {"type": "string"}
NUMBER: Schema = {"type": "number"}
COUNT: Schema = {"type": "integer", "minimum": 0}
FLAG: Schema = {"type": "boolean"}
MOMENT: Schema = {"type": "string", "format": "date-time"}
ANY: Schema = {}


def maybe(of: Schema) -> Schema:
    """Allow null, too."""
    return {"anyOf": [of, {"type": "null"}]}


def many(of: Schema) -> Schema:
    """Make a list of the schema."""
    return {"type": "array", "items": of}


def by_name(of: Schema) -> Schema:
    """Map names to the schema."""
    return {"type": "object", "additionalProperties": of}


def thing(fields: Schema, optional: Schema | None = None) -> Schema:
    """Make an object with exactly these fields, all required except the optional ones."""
    return {
        "type": "object",
        "properties": {**fields, **(optional or {})},
        "required": list(fields),
        "additionalProperties": False,
    }


def ref(name: str) -> Schema:
    """Refer to a shape by name."""
    return {"$ref": f"#/components/schemas/{name}"}


_FAILED = maybe(thing({"why": TEXT, "at": MOMENT, "seconds": NUMBER}))
_PAUSE = maybe(thing({"why": TEXT, "since": maybe(MOMENT), "seconds": NUMBER, "held": FLAG}))
_STAGE: Schema = {
    "state": {"enum": ["ok", "new", "lost"]},
    "read": COUNT,
    "emitted": COUNT,
    "dropped": COUNT,
    "stored": COUNT,
    "retried": COUNT,
    "settled": {"type": "integer"},
    "dead": COUNT,
    "dead_ever": COUNT,
    "rate_per_s": maybe(NUMBER),
    "backlog": COUNT,
    "backlog_exact": FLAG,
    "undelivered": maybe(COUNT),
    "pending": COUNT,
    "retries": COUNT,
    "again": COUNT,
    "oldest_age_s": maybe(NUMBER),
    "oldest_pending_age_s": maybe(NUMBER),
    "fused_into": maybe(TEXT),
    "paused": _PAUSE,
    "stale": _PAUSE,
    "limited": maybe(thing({"rate": TEXT, "seconds": NUMBER})),
    "waits_for": many(TEXT),
    "workers": COUNT,
    "gone_workers": COUNT,
    "handler_ms": maybe(thing({"p50": NUMBER, "p95": NUMBER})),
    "drops": by_name(COUNT),
    "unknown": by_name(COUNT),
    "remembers": maybe(thing({"keys": COUNT, "max_keys": COUNT, "evicted": COUNT})),
    "windows": maybe(
        thing(
            {
                "open": COUNT,
                "groups": COUNT,
                "watermark": maybe(TEXT),
                "behind_seconds": maybe(NUMBER),
                "closed": maybe(TEXT),
            }
        )
    ),
}
_NODE: Schema = {
    "name": TEXT,
    "verb": TEXT,
    "connector": maybe(TEXT),
    "target": TEXT,
    "fused_into": maybe(TEXT),
    "from": many(TEXT),
    "ports": many(TEXT),
    "writes": by_name(TEXT),
}
_FAILURE: Schema = {"rid": TEXT, "at": MOMENT, "reason": TEXT, "error_type": TEXT, "message": TEXT}
_PAYLOAD: Schema = {"payload": by_name(ANY), "raw": TEXT, "text": TEXT}
_PLAN: Schema = {
    "count": COUNT,
    "groups": many(ref("Group")),
    "left": many(thing({"count": COUNT, "why": TEXT})),
    "missing": COUNT,
    "passed_over": COUNT,
    "why": TEXT,
    "until": TEXT,
}

SCHEMAS: dict[str, Schema] = {
    "Error": {
        "type": "object",
        "properties": {"error": thing({"message": TEXT, "fix": TEXT})},
        "required": ["error"],
    },
    "Session": thing(
        {
            "authenticated": FLAG,
            "login_needed": FLAG,
            "read_only": FLAG,
            "token_name": maybe(TEXT),
            "csrf": TEXT,
            "jaeger": maybe(TEXT),
            "server": maybe(TEXT),
            "version": TEXT,
        }
    ),
    "Name": thing({"token_name": maybe(TEXT)}),
    "Listed": thing(
        {
            "name": TEXT,
            "description": TEXT,
            "state": {"enum": ["running", "paused", "resting", "lost", "unknown"]},
            "rate_per_s": maybe(NUMBER),
            "backlog": maybe(COUNT),
            "dead": COUNT,
            "stages": COUNT,
            "running_processes": COUNT,
            "paused": many(TEXT),
            "failed": _FAILED,
            "last_seen_running_at": maybe(MOMENT),
            "last_record_at": maybe(MOMENT),
            "fault": TEXT,
        }
    ),
    "Edge": thing({"from": maybe(TEXT), "port": TEXT, "to": TEXT, "stream": TEXT}),
    "Node": thing(_NODE),
    "Numbers": thing(_STAGE),
    "Pipeline": thing(
        {
            "name": TEXT,
            "description": TEXT,
            "file": TEXT,
            "state": {"enum": ["running", "paused", "resting", "lost"]},
            "at": MOMENT,
            "server": TEXT,
            "processes": COUNT,
            "drained": FLAG,
            "full": FLAG,
            "refusal": TEXT,
            "failed": _FAILED,
            "memory": maybe(thing({"used": COUNT, "limit": COUNT, "evicts": FLAG})),
            "graph": thing({"stages": many(ref("Node")), "edges": many(ref("Edge"))}),
            "stages": by_name(ref("Numbers")),
        }
    ),
    "History": thing(
        {
            "step_s": COUNT,
            "stages": by_name(
                thing({"t": many(COUNT), "rate": many(maybe(NUMBER)), "backlog": many(maybe(COUNT))})
            ),
        }
    ),
    "Stage": thing(
        {
            **_NODE,
            **_STAGE,
            "pipeline": TEXT,
            "reads": many(ref("Edge")),
            "settings": by_name(ANY),
            "memory": maybe(
                thing(
                    {
                        "keys": COUNT,
                        "max_keys": COUNT,
                        "evicted": COUNT,
                        "parts": COUNT,
                        "buckets": many(thing({"name": TEXT, "keys": COUNT, "due": maybe(MOMENT)})),
                    }
                )
            ),
            "errors": many(thing({"id": TEXT, **_FAILURE})),
        }
    ),
    "Backlog": thing({"backlog": COUNT}),
    "Waiting": thing(
        {
            "state": {"enum": ["pending", "waiting", "due", "retry"]},
            "stream": TEXT,
            "id": TEXT,
            "rid": TEXT,
            "headers": by_name(TEXT),
            "consumer": TEXT,
            "deliveries": COUNT,
            "idle_ms": COUNT,
            "due_in": maybe(NUMBER),
        },
        _PAYLOAD,
    ),
    "Group": thing(
        {
            "group": TEXT,
            "stage": TEXT,
            "reason": TEXT,
            "error_type": TEXT,
            "message": TEXT,
            "count": COUNT,
            "first": MOMENT,
            "last": MOMENT,
            "example": TEXT,
        }
    ),
    "LetterInList": thing({"id": TEXT, **_FAILURE, "attempts": COUNT, "trace_id": TEXT, "group": TEXT}),
    "Letter": thing(
        {
            "id": TEXT,
            "stage": TEXT,
            **_FAILURE,
            "attempts": COUNT,
            "entry": TEXT,
            "trace_id": TEXT,
            "traceback": TEXT,
            "headers": by_name(TEXT),
            "group": TEXT,
            "trace_url": maybe(TEXT),
        },
        _PAYLOAD,
    ),
    "Mended": thing({"before": maybe(by_name(ANY)), "after": maybe(by_name(ANY)), "changed": many(TEXT)}),
    "Job": thing(
        {
            "id": TEXT,
            "pipeline": TEXT,
            "stage": TEXT,
            "action": {"enum": ["replay", "purge"]},
            "state": {"enum": ["running", "done", "stopped", "failed"]},
            "total": COUNT,
            "done": COUNT,
            "held": COUNT,
            "gone": COUNT,
            "error": maybe(TEXT),
            "began": MOMENT,
            "ended": maybe(MOMENT),
        }
    ),
    "Plan": thing({"dry_run": FLAG, **_PLAN}, {"planned": COUNT, "job": ref("Job")}),
    "Noted": thing(
        {"id": TEXT, "at": MOMENT, "who": TEXT, "action": TEXT, "stage": TEXT, "state": TEXT},
        {
            "count": COUNT,
            "done": COUNT,
            "held": COUNT,
            "gone": COUNT,
            "job": TEXT,
            "chosen": by_name(ANY),
            "set": many(TEXT),
            "payload": FLAG,
            "rate": ANY,
            "error": maybe(TEXT),
            "ended": maybe(MOMENT),
            "why": TEXT,
            "seconds": NUMBER,
        },
    ),
    "Paused": thing(
        {"stage": TEXT, "paused": FLAG, "was_paused": FLAG}, {"why": TEXT, "since": maybe(MOMENT)}
    ),
    "Step": thing(
        {
            "stage": TEXT,
            "rid": TEXT,
            "outcome": TEXT,
            "began": maybe(MOMENT),
            "ended": maybe(MOMENT),
            "waited": maybe(NUMBER),
            "ran": maybe(NUMBER),
            "attempt": COUNT,
            "error": TEXT,
            "trace_id": TEXT,
            "trace_url": maybe(TEXT),
            "note": TEXT,
            "letter": maybe(TEXT),
        }
    ),
    "RecordTrace": thing(
        {
            "id": TEXT,
            "rids": many(TEXT),
            "began": MOMENT,
            "ended": MOMENT,
            "trace_ids": many(TEXT),
            "traces": many(thing({"id": TEXT, "url": maybe(TEXT)})),
            "steps": many(ref("Step")),
        }
    ),
    "Process": thing({"name": TEXT, "host": TEXT, "pid": maybe(COUNT), "last_seen": MOMENT, "gone": FLAG}),
    "Worker": thing(
        {
            "stage": TEXT,
            "consumer": TEXT,
            "host": TEXT,
            "pid": maybe(COUNT),
            "in_flight": COUNT,
            "since": maybe(MOMENT),
            "oldest": maybe(MOMENT),
            "last_seen": maybe(MOMENT),
            "gone": FLAG,
        }
    ),
}
