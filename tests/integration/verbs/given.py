"""What the tests of lookups in servers are given: a stage, and batches."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rsq_pipe.errors import TableUnavailableError
from rsq_pipe.model.outcome import Failure, Outcomes
from rsq_pipe.spec.graph import Stage
from rsq_pipe.spec.loader import load
from rsq_pipe.streams.client import StreamClient
from rsq_pipe.verbs.build import looking_up
from rsq_pipe.verbs.verb import Verb
from tests.unit.verbs.given import batch


def stage_of(root: Path, lookup: str, environ: Mapping[str, str] | None = None, **more: str) -> Stage:
    """The stage of a pipeline file with `lookup: {LOOKUP}`."""
    (root / "pyproject.toml").touch()
    further = "".join(f", {name}: {text}" for name, text in more.items())
    path = root / "lookup.yaml"
    path.write_text(
        "version: 1\npipeline: p\nstages:\n"
        f"  enrich: {{from: {{stream: in}}, lookup: {{{lookup}}}, to: {{stream: out}}{further}}}\n"
    )
    return load(path, environ=environ or {}).stage("enrich")


def verb_of(
    root: Path,
    lookup: str,
    client: StreamClient | None = None,
    environ: Mapping[str, str] | None = None,
    **more: str,
) -> Verb:
    """Its verb."""
    return looking_up(stage_of(root, lookup, environ, **more), root, client)


async def looked(verb: Verb, *records: Any) -> Outcomes:
    """What becomes of some records."""
    return await verb.process(batch(*records))


def sent(outcomes: Outcomes) -> list[Any]:
    return outcomes.emitted[""].records if outcomes.emitted else []


def unavailable(outcomes: Outcomes) -> str:
    """The one error of all records, for which none is to blame."""
    (error,) = {str(failure.error) for failure in outcomes.failed.values() if isinstance(failure, Failure)}
    assert all(
        isinstance(one, Failure) and one.retryable and isinstance(one.error, TableUnavailableError)
        for one in outcomes.failed.values()
    )
    return error
