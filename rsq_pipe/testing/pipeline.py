"""run_pipeline: runs a whole pipeline on given records, on its own server."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from shutil import rmtree
from tempfile import TemporaryDirectory
from types import MappingProxyType

from rsq_pipe.server.embedded import acquire
from rsq_pipe.spec.loader import load
from rsq_pipe.testing.own_loop import own_loop
from rsq_pipe.testing.pipeline_test import Given, prepare
from rsq_pipe.testing.runs import PipelineRun

TIMEOUT = 30.0
"""Seconds a pipeline may take, unless the test says otherwise."""

_NOTHING: Given = MappingProxyType({})


def run_pipeline(
    spec: str | Path,
    sources: Given = _NOTHING,
    *,
    streams: Given = _NOTHING,
    timeout: float = TIMEOUT,
) -> PipelineRun:
    """
    Run a whole pipeline on given records, on a private server, until it is drained.

    Given records replace those that the sources would read, and records that reach the sinks are collected:
    no
    file, stream or server that the pipeline names is accessed. Handlers and the resources they open are real.
    Settings of sources and sinks, such as a CSV source's types or a CSV sink's fields, are not applied.
    Failed records are tried as often as the pipeline says, but without pauses: a test must not wait out a
    backoff. Blocks; the server takes a fraction of a second to start.

    Args:
        spec: The pipeline file.
        sources: Source stage -> its records; every source must be named.
        streams: Key of a stream from outside -> its records; every stream that only others write must be
            named.
        timeout: Seconds the pipeline may take.

    Raises:
        SpecError: The pipeline file is wrong; all mistakes at once.
        EncodeError: A given record cannot be held by a stream.
        ValueError: A source or a stream is not named, or a name belongs to neither.
        TimeoutError: The pipeline was not drained in time; the message says where its records are.
        HandlerError: A stage with `on_error: stop` stopped.
        ServerStartError: The private server cannot be started.
        RuntimeError: The calling thread runs an event loop; `await asyncio.to_thread(run_pipeline, ...)`.
    """
    # Imported here: run_stage needs no server, so a test file that calls only that need not import the
    # client.
    from rsq_pipe.testing.execution import execute  # noqa: PLC0415

    graph = load(Path(spec), connect=False)
    with TemporaryDirectory(prefix="rsq-test-") as name:
        test = prepare(graph, Path(name), sources, streams)
        with _private_server(Path(name)) as address:
            return own_loop("run_pipeline", lambda: execute(test, address, timeout))


@contextmanager
def _private_server(folder: Path) -> Iterator[str]:
    with acquire(folder) as server:
        try:
            yield server.url
        finally:
            # Before the server is stopped: its last write would collide with the folder's removal.
            rmtree(folder / ".rsq")
