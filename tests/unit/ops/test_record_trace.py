"""The steps of a record in order: by time, and those of one moment as the pipeline has their stages."""

from __future__ import annotations

from rsq_pipe.ops.trace.step import RecordTrace, Step


def test_what_fused_stages_did_at_one_moment_stands_in_the_pipelines_order() -> None:
    steps = [Step(stage, "read:1", "emitted", ended=30.0) for stage in ("route", "enrich", "large", "price")]
    steps += [Step("enrich", "read:1", "dead-lettered", ended=24.0)]

    trace = RecordTrace.of("read:1", steps, ["read", "enrich", "price", "route", "large"])

    assert [step.stage for step in trace.steps] == ["enrich", "enrich", "price", "route", "large"]
    assert trace.steps[0].outcome == "dead-lettered"
