"""A project whose runs are traced: by command line, in a process of its own, with an endpoint."""

from __future__ import annotations

import os
import subprocess
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from tests.support import preloaded
from tests.support.guarded_server import least
from tests.support.otlp_receiver import ReceivedSpan
from tests.support.preloaded import COMMAND, PreloadedProcess
from tests.support.signals import PATIENCE, TO_END

TRACE_ALL = {"OTEL_TRACES_SAMPLER": "always_on"}


def run(
    root: Path, *arguments: str, environ: Mapping[str, str] | None = None, timeout: float = TO_END
) -> subprocess.CompletedProcess[str]:
    """Run `rsq-pipe ...` in a folder to its end, with nothing of OpenTelemetry set but what is given."""
    words, variables = least(arguments, clean_environ() | dict(environ or {}))
    return preloaded.run([COMMAND, *words], cwd=root, env=variables, timeout=timeout)


@contextmanager
def lasting(root: Path, *arguments: str, environ: Mapping[str, str] | None = None) -> Iterator[None]:
    """Run `rsq-pipe run ...` in a folder for as long as the block lasts, and let it drain."""
    words, variables = least(["run", *arguments], clean_environ() | dict(environ or {}))
    process = PreloadedProcess([COMMAND, *words], cwd=root, env=variables)
    try:
        yield
    finally:
        process.terminate()
        process.wait(PATIENCE)


def clean_environ() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith(("RSQ_", "OTEL_"))}


def to(endpoint: str, **others: str) -> dict[str, str]:
    """The variables that send everything to a collector, and have every record traced."""
    return {"OTEL_EXPORTER_OTLP_ENDPOINT": endpoint, **TRACE_ALL, **others}


def traces(spans: Iterable[ReceivedSpan]) -> dict[str, list[ReceivedSpan]]:
    """Sort the records' spans by trace."""
    found: dict[str, list[ReceivedSpan]] = defaultdict(list)
    for span in spans:
        if not span.is_batch:
            found[span.trace].append(span)
    return found


def ways(trace: Iterable[ReceivedSpan]) -> list[list[ReceivedSpan]]:
    """Follow a trace from its one root along all its branches; every span must be on one of them."""
    spans = list(trace)
    below: dict[str, list[ReceivedSpan]] = defaultdict(list)
    for span in spans:
        below[span.parent].append(span)
    ids = {span.id for span in spans}
    roots = [span for span in spans if span.parent not in ids]
    assert len(roots) == 1, f"a trace has {len(roots)} beginnings: {[span.name for span in roots]}"

    def follow(span: ReceivedSpan) -> list[list[ReceivedSpan]]:
        further = below.get(span.id, [])
        return [[span, *rest] for child in further for rest in follow(child)] if further else [[span]]

    found = follow(roots[0])
    assert {span.id for way in found for span in way} == ids
    return found
