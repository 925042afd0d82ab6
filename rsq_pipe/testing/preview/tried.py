"""Tried: one stage's verb on some records, with what it remembers in memory."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rsq_pipe.engine.chain import Chain, Link
from rsq_pipe.engine.failing import fault, reason_of, too_many_keys
from rsq_pipe.engine.packing import Port
from rsq_pipe.errors import HandlerError
from rsq_pipe.model.batch import Batch
from rsq_pipe.model.outcome import Outcomes, Reject, Retry
from rsq_pipe.model.state import Page, Timers
from rsq_pipe.redaction import redact
from rsq_pipe.spec.fusing import closes
from rsq_pipe.spec.graph import Graph, Stage
from rsq_pipe.streams.dead_letter import told
from rsq_pipe.streams.serializers import Serializer
from rsq_pipe.telemetry.observer import StageObserver
from rsq_pipe.testing.preview.passage import Made, Passage, StagePreview
from rsq_pipe.testing.state_in_memory import StateInMemory
from rsq_pipe.verbs.build import build
from rsq_pipe.verbs.leaving import leaving


async def tried(graph: Graph, stage: Stage, batch: Batch, form: Serializer) -> StagePreview:
    """
    Have a stage handle records, each once, and close what it has open when they are done.

    Args:
        graph: The pipeline.
        stage: The stage; not a source or a sink, and not one that asks a server.
        batch: The records.
        form: How the pipeline writes records.
    """
    found = StagePreview(stage)
    state = StateInMemory()
    verb = build(stage, root=graph.root, pipeline=graph.pipeline, form=form, state=state)
    ports = {
        port: Port(ref.key(graph.pipeline), form, max_record=graph.max_record)
        for port, ref in stage.outputs.items()
    }
    chain = Chain(Link(stage, verb, StageObserver(), ports), form)
    await chain.open()
    try:
        for _, part in batch.slices(stage.batch_size):
            (step,) = await chain.process(part)
            found.passages += _passages(stage, part, step.outcomes, form)
            change = step.outcomes.state
            if change is not None and state.settle(change):
                raise too_many_keys(stage, change.most)
        if closes(stage):
            found.left = await _left(stage, state, form)
    except HandlerError as exc:  # not of a record: the stage cannot go on
        found.note = f"it cannot go on: {exc}"
    finally:
        await chain.close()
    return found


def _passages(stage: Stage, batch: Batch, outcomes: Outcomes, form: Serializer) -> Iterator[Passage]:
    made: dict[int, list[Made]] = {}
    for port, emitted in outcomes.emitted.items():
        columns = zip(emitted.sources, emitted.rids, emitted.records, strict=True)
        for at, (place, rid, record) in enumerate(columns):
            headers = emitted.headers.get(at, {})
            made.setdefault(place, []).append(Made(port, rid, form.decode(form.encode(record)), headers))
    dropped = {place: reason for reason, places in outcomes.dropped.items() for place in places}
    for place, rid in enumerate(batch.rids):
        # Decoded again: the handler may have changed the one it got.
        before = form.decode(batch.original(place))
        if place in outcomes.failed:
            yield _failed(stage, rid, before, outcomes.failed[place])
        elif place in made:
            yield Passage(rid, before, "emitted", made=made[place])
        elif place in dropped:
            yield Passage(rid, before, "dropped", dropped[place])
        else:
            yield Passage(rid, before, "written" if place in outcomes.done else "stored")


def _failed(stage: Stage, rid: str, before: dict[str, object], outcome: object) -> Passage:
    found = fault(outcome, stage.name)  # type: ignore[arg-type]
    why = redact(told(found.error))
    final = found.final or isinstance(outcome, Reject) or stage.retry.attempts == 1
    if isinstance(outcome, Reject):
        return Passage(rid, before, "failed", f"rejected: {why}")
    if not final:
        again = "to be tried again" if isinstance(outcome, Retry) else "fails"
        return Passage(rid, before, "failed", f"{again}, {stage.retry.attempts} attempts in a run: {why}")
    if stage.on_error == "drop":
        word = reason_of(found.error) if isinstance(found.error, BaseException) else "rejected"
        return Passage(rid, before, "dropped", f"on_error: {word}: {why}")
    return Passage(rid, before, "failed", why)


async def _left(stage: Stage, state: StateInMemory, form: Serializer) -> list[Made]:
    """Close everything that is open, and make records of it."""
    verb = leaving(stage, form)
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
