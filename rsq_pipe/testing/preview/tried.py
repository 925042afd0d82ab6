"""Tried: runs one stage's verb on some records, with its state in memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from msgspec.structs import replace

from rsq_pipe.engine.chain import Chain, Link
from rsq_pipe.engine.failures.failing import Fault, fault, reason_of, too_many_keys
from rsq_pipe.engine.packing import Port
from rsq_pipe.error_text import full_text
from rsq_pipe.errors import HandlerError, HandlerNotFoundError, TableError
from rsq_pipe.model.batch import Batch
from rsq_pipe.model.outcome import Failure, Outcomes, Reject, Retry
from rsq_pipe.model.state import Page, Timers
from rsq_pipe.redaction import redact
from rsq_pipe.spec.fusing import closes
from rsq_pipe.spec.graph import Graph, Stage
from rsq_pipe.streams.serializers import Serializer
from rsq_pipe.telemetry.observer import StageObserver
from rsq_pipe.testing.preview.passage import Made, Passage, StagePreview
from rsq_pipe.testing.state_in_memory import StateInMemory
from rsq_pipe.verbs.build import build, leaving
from rsq_pipe.verbs.verb import Verb


async def tried(
    graph: Graph,
    stage: Stage,
    batch: Batch,
    form: Serializer,
    *,
    verb: Verb | None = None,
    clock: Callable[[], float] | None = None,
    until_final: bool = False,
) -> StagePreview:
    """
    Let a stage handle records, and close everything it has open afterwards.

    Args:
        graph: The pipeline.
        stage: The stage; not a source or a sink, and not one that asks a server.
        batch: The records.
        form: The pipeline's serializer.
        verb: Replaces the stage's own verb.
        clock: Returns milliseconds since 1970, for a stage with state.
        until_final: Whether a failing record is retried at once, as often as the stage says; otherwise each
            is handled once.
    """
    found = StagePreview(stage)
    state = StateInMemory() if clock is None else StateInMemory(clock)
    ports = {
        port: Port(ref.key(graph.pipeline), form, max_record=graph.max_record)
        for port, ref in stage.outputs.items()
    }
    try:
        verb = verb or build(stage, root=graph.root, pipeline=graph.pipeline, form=form, state=state)
    except (HandlerError, HandlerNotFoundError, ImportError) as exc:
        found.stopped = str(exc)
        found.note = f"it cannot go on: {exc}"
        return found
    chain = Chain(Link(stage, verb, StageObserver(), ports), form)
    try:
        await chain.open()
        for _, part in batch.slices(stage.batch_size):
            await _handle(found, chain, state, part, form, until_final=until_final)
        if closes(stage):
            found.left = await _left(graph, stage, state, form)
    except (HandlerError, TableError) as exc:  # not a record's error: the stage cannot go on
        found.stopped = str(exc)
        found.note = f"it cannot go on: {exc}"
    finally:
        await chain.close()
    return found


async def _handle(
    found: StagePreview,
    chain: Chain,
    state: StateInMemory,
    part: Batch,
    form: Serializer,
    *,
    until_final: bool,
) -> None:
    stage = found.stage
    while len(part):
        (step,) = await chain.process(part)
        change = step.outcomes.state
        if change is not None and state.settle(change):
            raise too_many_keys(stage, change.most)
        again = _again(stage, part, step.outcomes) if until_final else []
        passages = list(_passages(stage, part, step.outcomes, form, last=until_final))
        found.passages += [passage for at, passage in enumerate(passages) if at not in again]
        attempts = {at: part.attempts_at(place) + 1 for at, place in enumerate(again)}
        part = replace(part.only(again), attempts=attempts)
        for at in range(len(part)):  # decoded again: the handler may have changed its copy
            part.records[at] = form.decode(part.original(at))


def _again(stage: Stage, batch: Batch, outcomes: Outcomes) -> list[int]:
    """List the places of records that get another attempt."""
    return [
        place
        for place, outcome in sorted(outcomes.failed.items())
        if not isinstance(outcome, Reject)
        and not fault(outcome, stage.name).final
        and batch.attempts_at(place) + 1 < stage.retry.attempts
    ]


def _passages(
    stage: Stage, batch: Batch, outcomes: Outcomes, form: Serializer, *, last: bool
) -> Iterator[Passage]:
    made: dict[int, list[Made]] = {}
    for port, emitted in outcomes.emitted.items():
        columns = zip(emitted.sources, emitted.rids, emitted.records, strict=True)
        for at, (place, rid, record) in enumerate(columns):
            headers = emitted.headers.get(at, {})
            made.setdefault(place, []).append(Made(port, rid, form.decode(form.encode(record)), headers))
    dropped = {place: reason for reason, places in outcomes.dropped.items() for place in places}
    for place, rid in enumerate(batch.rids):
        # Decoded again: the handler may have changed its copy.
        before = form.decode(batch.original(place))
        if place in outcomes.failed:
            yield _failed(stage, rid, before, outcomes.failed[place], last=last)
        elif place in made:
            yield Passage(rid, before, "emitted", made=made[place])
        elif place in dropped:
            yield Passage(rid, before, "dropped", dropped[place])
        else:
            yield Passage(rid, before, "written" if place in outcomes.done else "stored")


def _failed(
    stage: Stage, rid: str, before: dict[str, Any], outcome: Failure | Retry | Reject, *, last: bool
) -> Passage:
    found = fault(outcome, stage.name)
    is_final = last or found.final or stage.retry.attempts == 1
    error = redact(full_text(found.error))
    reason = _word(found)
    if stage.on_error == "drop" and is_final and reason != "rejected":
        return Passage(rid, before, "dropped", f"on_error: {reason}: {error}", reason=reason, error=error)
    why = error
    if isinstance(outcome, Reject):
        why = f"rejected: {error}"
    elif not is_final:
        again = "to be tried again" if isinstance(outcome, Retry) else "fails"
        why = f"{again}, {stage.retry.attempts} attempts in a run: {error}"
    return Passage(rid, before, "failed", why, reason=reason, error=error)


def _word(found: Fault) -> str:
    return "rejected" if isinstance(found.error, str) else reason_of(found.error)


async def _left(graph: Graph, stage: Stage, state: StateInMemory, form: Serializer) -> list[Made]:
    """Close everything that is open, and turn it into records."""
    verb = leaving(stage, form, any_size=graph.serializer == "json")
    made: list[Made] = []
    (due,) = await state.ask(Timers())
    for bucket in due:
        ((_, fields),) = await state.ask(Page(bucket))
        batch = verb.batch(int(bucket), sorted(fields.items()))
        outcomes = await verb.process(batch)
        for port, emitted in outcomes.emitted.items():
            pairs: Sequence[tuple[str, dict[str, object]]] = list(
                zip(emitted.rids, emitted.records, strict=True)
            )
            made += [Made(port, rid, form.decode(form.encode(record))) for rid, record in pairs]
    return made
