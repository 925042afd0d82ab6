"""Running: passes a test's records through its stages, in memory."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from rsq_pipe.engine.encoding.codecs import serializer
from rsq_pipe.errors import EncodeError
from rsq_pipe.ids import record_id
from rsq_pipe.model.batch import Batch
from rsq_pipe.spec.expressions.expression import compile_expression
from rsq_pipe.spec.graph import Stage, StreamRef
from rsq_pipe.streams.headers import WHY
from rsq_pipe.testing.cases.case import Case, Dead, Happened
from rsq_pipe.testing.cases.mocks import looking_up, lookups
from rsq_pipe.testing.preview.inputs import batch_of, inputs_of
from rsq_pipe.testing.preview.passage import Made, Passage, StagePreview
from rsq_pipe.testing.preview.tried import tried
from rsq_pipe.testing.preview.written import written


async def run_case(case: Case) -> Happened:
    """
    Pass the records of a test through its stages, one stage after another.

    A failing record is retried at once, as often as its stage says. Stages with state start empty, and close
    everything open after their last record. Only handlers have effects outside.

    Raises:
        EncodeError: A given record cannot be held by a stream.
    """
    run = _Run(case)
    for stage in case.stages:
        await run.pass_on(stage)
    return run.happened


class _Run:
    """Keep the records between the stages."""

    def __init__(self, case: Case) -> None:
        self._case = case
        self._form = serializer(case.graph)
        self._streams = {ref: self._entered(ref, records) for ref, records in case.given.items()}
        self._clock: Callable[[], float] | None = None
        if case.now is not None:
            moment = case.now * 1000
            self._clock = lambda: moment
        self.happened = Happened()

    async def pass_on(self, stage: Stage) -> None:
        """Let a stage handle the records that wait for it."""
        happened = self.happened
        found = await self._handled(stage)
        made = [one for passage in found.passages for one in passage.made] + found.left
        for port, ref in stage.outputs.items():
            self._streams.setdefault(ref, []).extend(one for one in made if one.port == port)
            happened.streams[ref] = [one.record for one in self._streams[ref]]
        if stage.verb == "sink":
            happened.streams[stage.name] = [
                passage.before or {}
                for passage in found.passages
                if passage.outcome in {"written", "emitted"}
            ]
        if found.stopped and not happened.stopped:
            happened.stopped = found.stopped
        for passage in found.passages:
            self._note(stage, passage)

    def _note(self, stage: Stage, passage: Passage) -> None:
        happened = self.happened
        if passage.outcome == "dropped":
            why = f"on_error: {passage.reason}" if passage.reason else passage.why
            happened.dropped[why] = happened.dropped.get(why, 0) + 1
        if passage.outcome != "failed" or passage.before is None:
            return
        if stage.on_error == "stop":
            happened.stopped = happened.stopped or f"stage {stage.name!r}: {passage.error}"
            return
        happened.dead.append(Dead(stage.name, passage.error, passage.reason, passage.before))
        headers = {f"{WHY}stage": stage.name, f"{WHY}error": passage.error, f"{WHY}reason": passage.reason}
        self._streams.setdefault(stage.dlq, []).append(Made("", passage.rid, passage.before, headers))

    async def _handled(self, stage: Stage) -> StagePreview:
        batch = self._batch(stage)
        if stage.verb == "sink":
            return StagePreview(stage, self._written(stage, batch))
        rows = lookups(self._case.test).get(stage.name)
        verb = None if rows is None else looking_up(stage, rows)
        return await tried(
            *(self._case.graph, stage, batch, self._form), verb=verb, clock=self._clock, until_final=True
        )

    def _written(self, stage: Stage, batch: Batch) -> list[Passage]:
        mock = self._case.test.mocks.sinks.get(stage.name)
        if mock is None:
            return list(written(stage, batch))
        refuses = compile_expression(mock.refuse)
        return [
            Passage(rid, record, "failed", mock.error, reason="handler_error", error=mock.error)
            if refuses.evaluate(record)
            else Passage(rid, record, "written")
            for rid, record in zip(batch.rids, batch.records, strict=True)
        ]

    def _entered(self, ref: StreamRef, records: Any) -> list[Made]:
        headers: Mapping[str, str] = self._case.test.headers
        entered: list[Made] = []
        for number, record in enumerate(records, 1):
            try:
                plain = self._form.decode(self._form.encode(record))
            except EncodeError as exc:
                raise EncodeError(f"record {number} given: {exc}", record) from exc
            entered.append(Made("", record_id(ref.name, str(number)), plain, dict(headers)))
        return entered

    def _batch(self, stage: Stage) -> Batch:
        moment = 0 if self._case.now is None else round(self._case.now * 1000)
        return batch_of(inputs_of(self._case.graph, stage, self._streams), self._form, moment)
