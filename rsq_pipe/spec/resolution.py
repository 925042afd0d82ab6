"""Resolution: turns checked settings into the graph that the runner runs."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

from rsq_pipe.spec.document import Document
from rsq_pipe.spec.graph import (
    BreakerPolicy,
    ConnectorRef,
    DeadLetterLimit,
    Graph,
    RetryPolicy,
    Stage,
    StreamRef,
    Telemetry,
    VerbName,
)
from rsq_pipe.spec.models import Pipeline, StageSettings, Tuning
from rsq_pipe.spec.on_error import OnError
from rsq_pipe.spec.rate_limit import rate_limit
from rsq_pipe.spec.remembering import REMEMBERS, remembers
from rsq_pipe.spec.stages.record_check import SchemaCheck
from rsq_pipe.spec.validation import validate
from rsq_pipe.spec.variables import SECRET
from rsq_pipe.spec.verbs import ParsedStage
from rsq_pipe.spec.wiring import Wiring


def resolve(
    document: Document,
    pipeline: Pipeline,
    parsed: Mapping[str, ParsedStage],
    wiring: Wiring,
    *,
    path: Path,
    root: Path,
) -> Graph:
    """Build the graph of a file; the only mistake left to report is a stage that contradicts the defaults."""
    stages = tuple(_stage(document, parsed[name], wiring) for name in wiring.order)
    return Graph(
        pipeline=pipeline.pipeline,
        stages=stages,
        root=root,
        path=path,
        redis_url=pipeline.redis.url,
        description=pipeline.description,
        max_backlog=pipeline.max_backlog,
        max_record=pipeline.max_record,
        keep=pipeline.keep,
        reclaim_idle=pipeline.reclaim.idle,
        drain_timeout=pipeline.drain_timeout,
        spec_hash=_spec_hash(document, pipeline, parsed, wiring),
        serializer=pipeline.serializer,
        text=document.text,
        places={
            name: document.spell_place((*parsed[name].path, str(parsed[name].verb))) for name in wiring.order
        },
        secrets=document.secrets,
        telemetry=Telemetry(
            pipeline.telemetry.sample,
            pipeline.telemetry.ui,
            pipeline.telemetry.trust,
            pipeline.telemetry.journal,
        ),
    )


def _input(ref: StreamRef) -> list[Any]:
    """Digest an input; the position where reading begins does not affect the results."""
    form = ref.form
    read = [] if form is None or form.is_plain else [form.format, form.field, dict(form.types)]
    return [ref.name, ref.external, *read]


def _stage(document: Document, parsed_stage: ParsedStage, wiring: Wiring) -> Stage:
    tuning = _tuning(document, parsed_stage)
    passes = isinstance(parsed_stage.options, ConnectorRef) and parsed_stage.options.type == "stream"
    return Stage(
        name=parsed_stage.name,
        verb="pass" if passes else cast(VerbName, parsed_stage.verb),
        options=None if passes else parsed_stage.options,
        values=getattr(parsed_stage.settings, "with_", {}),
        inputs=wiring.inputs[parsed_stage.name],
        outputs=wiring.outputs[parsed_stage.name],
        batch_size=tuning.batch.size,
        batch_wait=tuning.batch.wait,
        timeout=tuning.timeout,
        retry=_retry(tuning),
        on_error="dlq" if isinstance(tuning.on_error, OnError) else tuning.on_error,
        workers=tuning.workers,
        concurrency=tuning.concurrency,
        fuse=tuning.fuse,
        breaker=_breaker(tuning),
        dead_letters=_dead_letters(tuning),
        rate=None if parsed_stage.settings is None else rate_limit(parsed_stage.settings),
        digests=_digests(document, parsed_stage),
        description="" if parsed_stage.settings is None else parsed_stage.settings.description,
    )


def _retry(tuning: Tuning) -> RetryPolicy:
    retry, backoff = tuning.retry, tuning.retry.backoff
    return RetryPolicy(retry.attempts, backoff.first, backoff.max, backoff.jitter, retry.deliveries)


def _breaker(tuning: Tuning) -> BreakerPolicy | None:
    found = tuning.breaker
    return None if found is None else BreakerPolicy(found.failures, found.first, found.max)


def _dead_letters(tuning: Tuning) -> DeadLetterLimit | None:
    if not isinstance(tuning.on_error, OnError):
        return None
    found = tuning.on_error.dlq
    return DeadLetterLimit(found.max.text, found.max.value, found.over, found.then)


def _tuning(document: Document, parsed_stage: ParsedStage) -> Tuning:
    """Merge a stage's own settings into the pipeline's defaults; groups are merged key by key."""
    spec = document.value
    own = {
        key: value for key, value in spec["stages"][parsed_stage.name].items() if key in Tuning.model_fields
    }
    # Each was valid alone; together they may still contradict each other.
    merged = validate(document, Tuning, _merge(spec.get("defaults", {}), own), parsed_stage.path)
    return merged or Tuning()


def _digests(document: Document, parsed_stage: ParsedStage) -> dict[str, str]:
    """Digest each setting of a stage, including the pipeline's defaults, but not its inputs."""
    defaults = document.value.get("defaults", {})
    settings = _merge(defaults, document.value["stages"][parsed_stage.name]) | _schema(parsed_stage)
    found = {
        key: _digest(document, value) for key, value in settings.items() if key not in {"description", "from"}
    }
    by = remembers(parsed_stage.options)
    return found if by is None else found | {REMEMBERS: _digest(document, by)}


def _schema(parsed_stage: ParsedStage) -> dict[str, Any]:
    """Return the content of a schema's file, which belongs to the stage like its settings."""
    return {"schema": parsed_stage.options.schema} if isinstance(parsed_stage.options, SchemaCheck) else {}


def _digest(document: Document, value: Any) -> str:
    text = json.dumps(value, sort_keys=True)
    for secret in filter(None, document.secrets):
        text = text.replace(json.dumps(secret)[1:-1], "[secret]")
    text = SECRET.sub("[secret]", text)  # one that is not set is still written as a reference
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _merge(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(below)
    for key, value in above.items():
        kept = merged.get(key)
        merged[key] = _merge(kept, value) if isinstance(kept, dict) and isinstance(value, dict) else value
    return merged


def _spec_hash(
    document: Document, pipeline: Pipeline, parsed: Mapping[str, ParsedStage], wiring: Wiring
) -> str:
    """Digest what the pipeline does with a record: verbs, their settings, and the wiring; no secrets."""
    ignored = {"from", *StageSettings.model_fields}
    stages = {
        name: {key: value for key, value in document.value["stages"][name].items() if key not in ignored}
        | _schema(parsed[name])
        for name in sorted(wiring.order)
    }
    inputs = {name: [_input(ref) for ref in refs] for name, refs in wiring.inputs.items()}
    return _digest(document, [pipeline.pipeline, pipeline.serializer, stages, inputs])
