"""Shapes: pipelines and stages in the form of the API, as defined in openapi.json."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from msgspec import to_builtins

from rsq_pipe.engine.changes.last_run import LastRun, LastStage
from rsq_pipe.ops.failed_run import FailedRun
from rsq_pipe.ops.stage_status import StagePause, StageStatus
from rsq_pipe.ops.status import PipelineStatus
from rsq_pipe.page.answers import moment
from rsq_pipe.page.status_cache import LiveStatus
from rsq_pipe.redaction import redact


def pipeline(live: LiveStatus) -> dict[str, Any]:
    """Describe a pipeline: its graph, and each of its stages."""
    status = live.status
    return {
        "name": status.pipeline,
        "description": live.run.last.description,
        "file": live.run.last.file,
        "state": state(status),
        "at": moment(status.at),
        "server": status.server,
        "processes": len(status.runs),
        "drained": status.drained,
        "full": status.full,
        "refusal": redact(status.refusal),
        "failed": failed(status.failed),
        "memory": to_builtins(status.memory) if status.memory else None,
        "graph": graph(live.run.last),
        "stages": {one.name: stage(one, live.calls.get(one.name)) for one in status.stages},
    }


def state(status: PipelineStatus) -> str:
    """Return the state of a pipeline as one word: `running`, `paused`, `lost`, `resting`."""
    if any(one.state == "lost" for one in status.stages):
        return "lost"
    if not status.runs:
        return "resting"
    return "paused" if any(one.paused is not None for one in status.stages) else "running"


def graph(last: LastRun) -> dict[str, Any]:
    """Describe stages and the streams between them."""
    writers = {key: (one.name, port) for one in last.stages for port, key in one.writes.items()}
    dead = {f":{one.name}:dlq": one.name for one in last.stages}
    stages, edges = [], []
    for one in last.stages:
        above: list[str] = []
        for key in one.reads:
            own = key[key.find("}") + 1 :]
            source, port = writers.get(key) or (dead.get(own), "errors" if own in dead else "")
            edges.append({"from": source, "port": port, "to": one.name, "stream": key})
            if source:
                above.append(source)
        stages.append(_node(one, above))
    return {"stages": stages, "edges": edges}


def _node(one: LastStage, above: list[str]) -> dict[str, Any]:
    return {
        "name": one.name,
        "verb": one.verb,
        "connector": one.target.split(" ")[0] if one.target else None,
        "target": redact(one.target),
        "fused_into": one.fused or None,
        "from": list(dict.fromkeys(above)),
        "ports": list(one.writes),
        "writes": dict(one.writes),
    }


def stage(one: StageStatus, calls: tuple[float, float] | None) -> dict[str, Any]:
    """Describe a stage in numbers."""
    if one.verb == "source":
        calls = None  # it makes no calls
    counted = one.counters
    return {
        "state": one.state,
        "read": counted["in"],
        "emitted": counted["out"],
        "dropped": counted["dropped"],
        "stored": counted["stored"],
        "retried": counted["retried"],
        "settled": one.done,
        "dead": one.dead,
        "dead_ever": counted["dead"],
        "rate_per_s": None if one.rate is None else round(one.rate, 3),
        "backlog": one.backlog,
        "backlog_exact": one.lag is not None,
        "undelivered": one.lag,
        "pending": one.pending,
        "retries": one.retry,
        "again": one.again,
        "oldest_age_s": _rounded(one.oldest_seconds),
        "oldest_pending_age_s": _rounded(one.oldest_pending_seconds),
        "fused_into": one.fused,
        "paused": _pause(one.paused),
        "stale": _pause(one.stale),
        "limited": to_builtins(one.limited) if one.limited else None,
        "waits_for": list(one.waits_for),
        "workers": one.alive,
        "gone_workers": one.gone,
        "handler_ms": {"p50": _ms(calls[0]), "p95": _ms(calls[1])} if calls else None,
        "drops": _redacted(one.drops),
        "unknown": _redacted(one.unknown),
        "remembers": to_builtins(one.remembers) if one.remembers else None,
        "windows": to_builtins(one.windows) if one.windows else None,
    }


def failed(one: FailedRun | None) -> dict[str, Any] | None:
    """Describe how the last run failed; None if it did not."""
    if one is None:
        return None
    return {"why": redact(one.why), "at": moment(one.at), "seconds": round(one.seconds, 1)}


def _pause(one: StagePause | None) -> dict[str, Any] | None:
    if one is None:
        return None
    since = moment(one.since) if one.since > 0 else None
    return {"why": redact(one.why), "since": since, "seconds": round(one.seconds, 1), "held": one.held}


def _redacted(counts: Mapping[str, int]) -> dict[str, int]:
    return {redact(name): count for name, count in counts.items()}


def _ms(seconds: float) -> float:
    return round(seconds * 1000, 3)


def _rounded(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds, 3)
